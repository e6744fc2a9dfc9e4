"""Snapshots as rows."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Row

from odds_service.model.snapshot import Seen, Snapshot

_LAGGING: Final = msgspec.json.Decoder(dict[str, datetime])


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
