"""Snapshots as JSON."""

from datetime import UTC, datetime, timedelta

from odds_service.model.snapshot import Seen, Snapshot
from odds_service.storage.rows.snapshots import StoredSnapshot, stored_snapshot

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def test_a_stored_snapshot_has_the_fields_of_a_snapshot_and_comes_back_equal() -> None:
    assert StoredSnapshot.__struct_fields__ == Snapshot.__struct_fields__
    later, last = NOON + timedelta(seconds=1), NOON + timedelta(seconds=2)
    snapshot = Snapshot(7, "x1", "toa", "alpha", NOON, later, last, {"h2h": Seen(NOON, 3.5)})
    assert stored_snapshot(snapshot).snapshot() == snapshot
