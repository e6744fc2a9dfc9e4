"""The sources as they were at a revision."""

from datetime import timedelta

import msgspec

from odds_service.model.change import (
    ChangeKind,
    Commit,
    SourceChange,
)
from odds_service.model.source import SourceState, SourceStatus
from odds_service.store import WriteGroup
from tests.storage.reads.test_closing_odds import pull
from tests.support.databases import Place
from tests.support.observations import NOON


async def test_the_sources_of_the_past_are_those_of_then(place: Place) -> None:
    def told(revision: int, status: SourceStatus, minute: int) -> SourceChange:
        kind = ChangeKind.SOURCE_UP if status is SourceStatus.UP else ChangeKind.SOURCE_DOWN
        reason = "" if status is SourceStatus.UP else "timeout"
        at = NOON + timedelta(minutes=minute)
        after = SourceState(
            source="toa", interval_s=60.0, status=status, reason=reason,
            last_success_at=NOON, consecutive_failures=0 if status is SourceStatus.UP else 5,
        )  # fmt: skip
        return SourceChange(revision, kind, reason, "toa", at, at, None, after)

    changes = [
        told(1, SourceStatus.UP, 0), told(2, SourceStatus.DOWN, 10), told(3, SourceStatus.UP, 20),
    ]  # fmt: skip
    async with place.begun() as (store, _):
        await store.write(WriteGroup([Commit([change]) for change in changes]))
        found = {}
        for revision, minute in ((0, -1), (1, 5), (2, 15), (3, 25)):
            states = await store.sources_at(revision, NOON + timedelta(minutes=minute))
            found[revision] = [(state.status, state.reason) for state in states]
        assert found == {
            0: [],
            1: [(SourceStatus.UP, "")],
            2: [(SourceStatus.DOWN, "timeout")],
            3: [(SourceStatus.UP, "")],
        }
        run = msgspec.structs.replace(
            pull(0), started_at=NOON, finished_at=NOON + timedelta(minutes=4)
        )
        await store.write(WriteGroup(runs=[run]))
        (state,) = await store.sources_at(1, NOON + timedelta(minutes=5))
        assert state.last_success_at == NOON + timedelta(minutes=4)
