"""Groups of the writer: commits that come steadily share a transaction, and nobody waits for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio
import trio.lowlevel
import trio.testing

from odds_service.pipeline import write
from odds_service.pipeline.write import GATHER_S, MOST_GATHER_S, RESTS, Writer
from odds_service.storage.memory import Memory
from odds_service.storage.memory_store import MemoryStore
from odds_service.store import WriteGroup
from tests.pipeline.test_detect import H2H, Stage
from tests.support.observations import observe, offered

STEADY = 100
TURN_S = 0.001


class Timed(MemoryStore):
    """A store that notes when each group was written, and up to which revision.

    Args:
        takes_s: the duration of each transaction, in seconds.
    """

    def __init__(self, takes_s: float = 0.0) -> None:
        self.memory = Memory()
        super().__init__(self.memory)
        self.takes_s = takes_s
        self.groups: list[tuple[float, int | None]] = []

    async def write(self, group: WriteGroup) -> int:
        self.groups.append((trio.current_time(), group.last_revision))
        await trio.sleep(self.takes_s)
        return await super().write(group)


class Rig:
    def __init__(self, store: Timed) -> None:
        self.stage = Stage()
        self.store = store
        self.writer = Writer(store, self.stage.queue, self.stage.feed)
        self._price = 1.5

    async def commit(self) -> int:
        """Publish a commit, and return its last revision."""
        self._price += 0.01
        await self.stage.detector.observe(
            observe(offered({"e": {"b": {H2H: {"home": self._price}}}}))
        )
        return self.stage.feed.head_revision


@asynccontextmanager
async def writing(takes_s: float = 0.0) -> AsyncIterator[Rig]:
    store = Timed(takes_s)
    await store.begin()
    rig = Rig(store)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.writer.run)
        yield rig
        rig.stage.queue.close()


async def test_commits_that_come_steadily_share_transactions(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with writing() as rig:
        for _ in range(STEADY):
            await rig.commit()
            await trio.sleep(TURN_S)
    times = [at for at, _ in rig.store.groups]
    # The last group holds what was left at the end, and comes at once.
    assert all(after - before > GATHER_S - 1e-9 for before, after in pairwise(times[:-1]))
    assert len(times) <= STEADY * TURN_S / GATHER_S + 3
    assert rig.stage.feed.durable_revision == rig.stage.feed.head_revision
    assert rig.writer.report().state == "draining"


@pytest.mark.parametrize(
    ("takes_s", "rest_s"), [(0.001, GATHER_S), (0.01, RESTS * 0.01), (2.0, MOST_GATHER_S)]
)
async def test_a_slow_database_gets_larger_groups_within_a_bound(
    takes_s: float, rest_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    async with writing(takes_s) as rig:
        for _ in range(4 * STEADY):
            await rig.commit()
            await trio.sleep(max(TURN_S, takes_s / STEADY))
    times = [at for at, _ in rig.store.groups]
    between = [after - before for before, after in pairwise(times[:-1])]
    assert len(between) > 1
    # A commit may come just before the end of the rest, or just after.
    late = [each - takes_s - rest_s for each in between]
    assert min(late) > -1e-9
    assert max(late) < 1e-9 + max(TURN_S, takes_s / STEADY)


async def test_the_first_commit_after_a_pause_is_written_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with writing() as rig:
        for _ in range(3):
            await trio.sleep(2 * GATHER_S)
            began, revision = trio.current_time(), await rig.commit()
            await trio.lowlevel.checkpoint()
            await rig.writer.committed(revision)
            assert rig.store.groups[-1] == (began, revision)


async def test_who_waits_for_a_commit_does_not_wait_for_others(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with writing() as rig:
        began = trio.current_time()
        for _ in range(20):
            await rig.writer.committed(await rig.commit())
        assert trio.current_time() == began
        assert len(rig.store.groups) == 20


async def test_what_is_gathered_at_a_cancellation_is_spilled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(write, "GATHER_S", 60.0)
    monkeypatch.setattr(write, "MOST_GATHER_S", 60.0)
    store = Timed()
    await store.begin()
    rig = Rig(store)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.writer.run)
        await rig.writer.committed(await rig.commit())
        kept = rig.stage.feed.durable_revision
        await rig.commit()
        await trio.testing.wait_all_tasks_blocked()
        last = await rig.commit()
        nursery.cancel_scope.cancel()
    assert rig.stage.feed.durable_revision == kept
    ((_, spilled),) = store.memory.spilled
    assert [change.revision for commit in spilled for change in commit.changes] == list(
        range(kept + 1, last + 1)
    )
