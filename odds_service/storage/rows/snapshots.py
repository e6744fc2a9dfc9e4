"""Snapshots as rows, and back."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Row

from odds_service.model.snapshot import Seen, Snapshot

_LAGGING: Final = msgspec.json.Decoder(dict[str, datetime])


def packed_lagging(lagging: Mapping[str, Seen]) -> str | None:
    """Return the column of market types that the last look did not show; None for none."""
    if not lagging:
        return None
    return msgspec.json.encode({name: seen.at for name, seen in lagging.items()}).decode()


def lagging_from(text: str | None) -> dict[str, Seen]:
    """Read the column back, without the boot clock, which was that of an earlier start."""
    if not text:
        return {}
    return {name: Seen(at, 0.0) for name, at in _LAGGING.decode(text).items()}


def snapshot_from(row: Row[*tuple[Any, ...]]) -> Snapshot:
    """Return a row of snapshots as the value."""
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
