"""The outbox over a log in memory, with faults; test_outbox_servers.py has real servers.

Whatever happens, the log holds each commit once, in order, and a reader that keeps to the rules
ends with all of them: it skips what it has, refuses a hole, and reads on after a lost tail.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from functools import partial

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from odds_service.bus.log import (
    LogInfo,
    MadeAnew,
    NotConnected,
    Stored,
    Unavailable,
)
from odds_service.bus.memory import MemoryLog, MemoryStream
from odds_service.bus.messages import Assembler, DecodedBatch, Freshness, Opened, decode, encode
from odds_service.bus.outbox import MESSAGE_CHANGES, Fenced, Outbox, RingTooShort
from odds_service.model.source import SourceState
from tests.support.examples import examples
from tests.support.log_rigs import run, until
from tests.support.observations import NOON
from tests.support.outbox_runs import (
    OPENED,
    Ingest,
    Replica,
    acked,
    commits_of,
    content,
    is_at,
    large_commit,
    opened_run,
)


class FaultyLog:
    """A log whose appends meet faults in turn: refused, no connection, reply or tail lost, slow."""

    def __init__(self, stream: MemoryStream, faults: list[str]) -> None:
        self._log = MemoryLog(stream)
        self._stream = stream
        self._faults = iter(faults)

    async def append(self, message: bytes, expect: int) -> int:
        fault = next(self._faults, "")
        if fault == "refused":
            await asyncio.sleep(0)
            raise Unavailable("a fault")
        if fault == "away":
            raise NotConnected("a fault")
        if fault == "tail":
            self._stream.lose_after(max(0, self._stream.last - 3))
        sequence = await self._log.append(message, expect)
        if fault == "reply":
            raise Unavailable("a fault")
        if fault == "slow":
            await asyncio.sleep(0.01)
        return sequence

    async def last(self) -> Stored | None:
        if next(self._faults, "") == "refused":
            raise Unavailable("a fault")
        return await self._log.last()

    async def info(self) -> LogInfo:
        return await self._log.info()

    async def at(self, sequence: int) -> Stored | None:
        return await self._log.at(sequence)

    def read_from(self, sequence: int) -> AsyncGenerator[Stored, None]:
        return self._log.read_from(sequence)

    async def aclose(self) -> None:
        await self._log.aclose()


faults = st.lists(st.sampled_from(["", "refused", "reply", "tail", "slow"]), max_size=40)


@settings(max_examples=examples(60), deadline=None)
@given(faults, st.integers(0, 20), st.lists(st.sampled_from([0.0, 0.0, 0.002, 0.008])))
def test_faults_lose_and_repeat_nothing(script: list[str], seed: int, pauses: list[float]) -> None:
    async def test() -> None:
        ingest, stream, replica = Ingest(), MemoryStream(), Replica()
        bus = FaultyLog(stream, script)
        following = asyncio.create_task(replica.follow(MemoryLog(stream)))
        running = asyncio.create_task(opened_run(ingest, bus))
        for place, commit in enumerate(commits_of(seed, 20)):
            ingest.publish(commit)
            if place < len(pauses):
                await asyncio.sleep(pauses[place])
        ingest.outbox.close()
        await running
        assert ingest.outbox.pending_changes == 0
        assert (await content(MemoryLog(stream))).commits == ingest.put
        await asyncio.sleep(0)
        await until(partial(is_at, replica, ingest))
        following.cancel()
        assert replica.commits == ingest.put

    run(test())


def outbox_test(
    ingest: Ingest, stream: MemoryStream, during: Callable[[], None], opened: Opened = OPENED
) -> Replica:
    """Run an outbox on a log in memory around a function; return what the log then holds."""
    found: list[Replica] = []

    async def test() -> None:
        bus = MemoryLog(stream)
        running = asyncio.create_task(opened_run(ingest, bus, opened, stream.last))
        await asyncio.sleep(0.02)
        during()
        await asyncio.sleep(0.02)
        ingest.outbox.close()
        await running
        found.append(await content(bus))

    run(test())
    return found[0]


def test_a_long_outage_makes_no_attempt_rarer() -> None:
    async def test() -> None:
        ingest = Ingest()
        ingest.outbox = Outbox(ingest.feed, 0, retry_s=0.05, clock=ingest.clock)
        bus = FaultyLog(MemoryStream(), ["", *["away"] * 12])
        ingest.publish(commits_of(1, 1)[0])
        ingest.outbox.close()
        began = asyncio.get_running_loop().time()
        await opened_run(ingest, bus)
        assert (await content(bus)).commits == ingest.put
        assert asyncio.get_running_loop().time() - began < 5.0  # 8.5 s, if waits doubled

    run(test())


def test_commits_at_once_share_messages() -> None:
    ingest, stream = Ingest(), MemoryStream()
    commits = commits_of(1, 60)

    def publish() -> None:
        for commit in commits:
            ingest.publish(commit)

    replica = outbox_test(ingest, stream, publish)
    assert replica.commits == commits
    assert stream.last <= 4  # the epoch, one of heartbeat, the commits
    assert replica.batches[-1].sent_at == NOON + timedelta(seconds=len(commits))


def test_a_commit_above_the_bound_travels_in_parts_between_others() -> None:
    ingest = Ingest()
    commits = commits_of(1, 3)
    commits.append(large_commit(commits[-1].last_revision + 1, 2))
    commits.append(large_commit(commits[-1].last_revision + 1, 1))

    def publish() -> None:
        for commit in commits:
            ingest.publish(commit)

    assert outbox_test(ingest, MemoryStream(), publish).commits == commits


@pytest.mark.parametrize("kept", range(9))
def test_a_tail_lost_amid_parts_is_written_again(kept: int) -> None:
    ingest, stream = Ingest(), MemoryStream()
    commits = [large_commit(1, 2), large_commit(2, 1)]

    async def test() -> None:
        bus = MemoryLog(stream)
        running = asyncio.create_task(opened_run(ingest, bus))
        for commit in commits:
            ingest.publish(commit)
            await until(partial(acked, ingest, commit.last_revision))
        assert stream.last > 8
        stream.lose_after(kept)
        ingest.publish(large_commit(3, 1))
        ingest.outbox.close()
        await running
        assembler, replica = Assembler(), Replica()
        for stored in stream.messages:  # parts that were cut off are written again from the first
            found = assembler.add(decode(stored.message))
            if isinstance(found, DecodedBatch):
                assert found.prev_revision == replica.revision  # once
            replica.apply(found)
        assert replica.commits == ingest.put

    run(test())


def test_a_lost_tail_is_written_again_without_news() -> None:
    """The message of each second finds it out."""
    ingest, stream = Ingest(), MemoryStream()
    commits = commits_of(2, 10)

    async def test() -> None:
        bus = MemoryLog(stream)
        running = asyncio.create_task(opened_run(ingest, bus))
        for commit in commits:
            ingest.publish(commit)
            await asyncio.sleep(0.006)
        await until(partial(acked, ingest, commits[-1].last_revision))
        stream.lose_after(stream.last - 3)
        lost = (await content(bus)).revision
        assert lost < commits[-1].last_revision
        async with asyncio.timeout(5):
            while (await content(bus)).revision <= lost:  # noqa: ASYNC110  # the log has to be asked
                await asyncio.sleep(0.05)
        ingest.outbox.close()
        await running
        assert (await content(bus)).commits == commits

    run(test())


def test_freshness_goes_with_the_newest_commit_and_only_the_latest() -> None:
    ingest, stream = Ingest(), MemoryStream()
    commits = commits_of(3, 400)  # more than one message takes
    assert commits[-1].last_revision > MESSAGE_CHANGES
    state = SourceState(source="toa", interval_s=60.0)
    snapshots = [snapshot for commit in commits for snapshot in commit.snapshots]
    again = [
        replace(each, confirmed_at=each.confirmed_at + timedelta(hours=1)) for each in snapshots
    ]

    for commit in commits:
        ingest.publish(commit)
    for each in [*snapshots, *again]:
        ingest.outbox.refresh(each)
    ingest.outbox.refresh("b")
    ingest.outbox.refresh(replace(state, quota_left=3))
    ingest.outbox.refresh(state)
    ingest.outbox.refresh(replace(state, source="b"))
    ingest.outbox.refresh("b")
    replica = outbox_test(ingest, stream, lambda: None)
    ((revision, fresh),) = replica.fresh
    assert revision == commits[-1].last_revision
    assert fresh == Freshness(tuple(again), (), (state,), ("b",))


def test_an_idle_outbox_tells_the_durable_revision_each_second() -> None:
    ingest, stream = Ingest(), MemoryStream()
    commits = commits_of(1, 3)

    async def test() -> None:
        bus = MemoryLog(stream)
        running = asyncio.create_task(opened_run(ingest, bus))
        for commit in commits:
            ingest.publish(commit)
        await until(partial(acked, ingest, commits[-1].last_revision))
        ingest.feed.advance_durable(commits[-1].last_revision)
        await asyncio.sleep(1.2)
        ingest.outbox.close()
        await running
        replica = await content(bus)
        assert replica.batches[-1].durable_revision == commits[-1].last_revision
        assert stream.last < 8

    run(test())


def test_a_newer_epoch_ends_the_writer() -> None:
    ingest, stream = Ingest(), MemoryStream()
    commits = commits_of(1, 8)

    async def test() -> None:
        running = asyncio.create_task(opened_run(ingest, MemoryLog(stream)))
        ingest.publish(commits[0])
        await until(partial(acked, ingest, commits[0].last_revision))
        newer = Opened((("e", 1), ("f", 50)), 50, commits[0].last_revision)
        assert await MemoryLog(stream).append(encode(newer)[0], stream.last) == stream.last
        held = stream.last
        ingest.publish(commits[1])
        async with asyncio.timeout(5):
            with pytest.raises(Fenced, match="newer epoch"):
                await running
        assert stream.last == held

    run(test())


def test_a_writer_that_was_overtaken_before_it_began_ends() -> None:
    stream, ingest = MemoryStream(), Ingest()
    stream.add(encode(OPENED)[0])
    stream.add(encode(Opened((("e", 1), ("f", 1)), 1, 0))[0])

    async def test() -> None:
        with pytest.raises(Fenced):
            await ingest.outbox.run(MemoryLog(stream), OPENED, 1)

    run(test())
    assert ingest.outbox.fenced


def test_an_outbox_holds_no_more_than_its_ring() -> None:
    with pytest.raises(AssertionError, match="on a ring of 5"):
        Ingest(capacity=6, ring=5)


def test_a_log_made_anew_ends_the_run() -> None:
    ingest, stream = Ingest(), MemoryStream()

    async def test() -> None:
        running = asyncio.create_task(opened_run(ingest, MemoryLog(stream)))
        await asyncio.sleep(0.02)
        stream.make_anew()
        ingest.publish(commits_of(1, 3)[0])
        with pytest.raises(MadeAnew):
            await running

    run(test())


def test_more_lost_than_the_ring_holds_is_told() -> None:
    ingest, stream = Ingest(capacity=5, ring=5), MemoryStream()
    commits = commits_of(2, 20)

    async def test() -> None:
        running = asyncio.create_task(opened_run(ingest, MemoryLog(stream)))
        for commit in commits[:-1]:
            ingest.publish(commit)
        await until(partial(acked, ingest, commits[-2].last_revision))
        ingest.feed.advance_durable(commits[-2].last_revision)
        stream.lose_after(1)
        ingest.publish(commits[-1])
        with pytest.raises(RingTooShort):
            await running

    run(test())


def test_the_epoch_message_is_written_again_if_it_was_lost() -> None:
    ingest, stream = Ingest(), MemoryStream()
    commits = commits_of(1, 4)

    def publish() -> None:
        ingest.publish(commits[0])
        stream.lose_after(0)
        for commit in commits[1:]:
            ingest.publish(commit)

    assert outbox_test(ingest, stream, publish).commits == commits
    assert decode(stream.messages[0].message) == OPENED


async def test_a_full_outbox_makes_detect_wait() -> None:
    stream = MemoryStream()
    opened = stream.add(encode(OPENED)[0])
    stream.interrupt()
    commits = commits_of(4, 40)
    ingest = Ingest(capacity=10)

    def on_the_bus_thread() -> None:
        run(ingest.outbox.run(MemoryLog(stream), OPENED, opened))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, on_the_bus_thread)
        for commit in commits:
            with trio.move_on_after(0.2) as waited:
                await ingest.outbox.room()
            if waited.cancelled_caught:
                break
            ingest.publish(commit)
        assert waited.cancelled_caught
        assert 10 <= ingest.outbox.pending_changes < 10 + max(len(c.changes) for c in commits)
        assert ingest.outbox.reason
        stream.available = True  # its readers are on the other thread, and there are none
        with trio.fail_after(20):
            for commit in commits[len(ingest.put) :]:
                await ingest.outbox.room()
                ingest.publish(commit)
        ingest.outbox.close()
    assert ingest.outbox.acked_revision == commits[-1].last_revision
    assert not ingest.outbox.reason
    with pytest.raises(trio.ClosedResourceError):
        ingest.outbox.put(commits[0])
