"""Snapshots as rows."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import astuple
from sqlalchemy import Row

from odds_service.model.snapshot import Seen, Snapshot

_LAGGING: Final = msgspec.json.Decoder(dict[str, datetime])


class StoredSnapshot(Struct, frozen=True):
    """A Snapshot with the names of its fields, for JSON; its fields, in their order."""

    snapshot_id: int
    event_id: str
    source: str
    bookmaker: str
    observed_at: datetime
    confirmed_at: datetime
    source_updated_at: datetime | None
    lagging: Mapping[str, Seen] = {}

    def snapshot(self) -> Snapshot:
        """Return the snapshot."""
        return Snapshot(*astuple(self))


def stored_snapshot(snapshot: Snapshot) -> StoredSnapshot:
    """Return a snapshot for JSON."""
    return StoredSnapshot(*astuple(snapshot))


def packed_lagging(lagging: Mapping[str, Seen]) -> str | None:
    """Encode the market types that the last look did not show; None if there are none."""
    if not lagging:
        return None
    return msgspec.json.encode({name: seen.at for name, seen in lagging.items()}).decode()


def lagging_from(text: str | None) -> dict[str, Seen]:
    """Decode that column, without the boot clock, which belonged to an earlier start."""
    if not text:
        return {}
    return {name: Seen(at, 0.0) for name, at in _LAGGING.decode(text).items()}


def snapshot_values(snapshot: Snapshot, stored_time: Callable[[datetime], Any]) -> tuple[Any, ...]:
    """Encode a snapshot as the values of a row; see rows.history.history_values()."""
    claimed_at = snapshot.source_updated_at
    return (
        snapshot.snapshot_id,
        snapshot.event_id,
        snapshot.source,
        snapshot.bookmaker,
        stored_time(snapshot.observed_at),
        stored_time(snapshot.confirmed_at),
        None if claimed_at is None else stored_time(claimed_at),
        packed_lagging(snapshot.lagging),
    )


def snapshot_from(row: Row[*tuple[Any, ...]]) -> Snapshot:
    """Decode a row of snapshots."""
    return Snapshot(
        row.snapshot_id,
        row.event_id,
        row.source,
        row.bookmaker,
        row.observed_at,
        row.confirmed_at,
        row.source_updated_at,
        lagging_from(row.lagging),
    )
