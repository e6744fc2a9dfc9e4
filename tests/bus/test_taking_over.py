"""A new owner goes on where the former one left off, wherever a process died before.

The former owner's database holds less than its stream, as the writer comes after the outbox. After
a take-over database and stream hold the same log, and the former owner cannot append any more.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio

from odds_service.bridge import open_bridge
from odds_service.bus.log import LogError, WrongSequence
from odds_service.bus.memory import MemoryLog, MemoryStream
from odds_service.bus.messages import Assembler, Batch, DecodedBatch, Opened, Part, decode, encode
from odds_service.bus.taking_over import Taken, take_over
from odds_service.errors import StorageError, StorageUnavailable
from odds_service.loop_thread import LoopThread
from odds_service.model.change import Change, Commit
from odds_service.store import Store, WriteGroup
from tests.support.databases import MemoryPlace, Place
from tests.support.observations import cached
from tests.support.outbox_runs import large_commit
from tests.support.stories import SERIES, Story, random_series

ALL = 10**9
STORED, SENT = 4, 9  # commits of the former owner in its database, and in its stream


class Died(Exception):
    """The process has died."""


class Dying:
    """A store, or a log, with an error right after the first calls of one method.

    Args:
        target: The store or log.
        step: The method.
        error: The error; without one, the process dies.
        times: The number of calls that it follows.
    """

    def __init__(
        self, target: Any, step: str, error: Exception | None = None, times: int = 1
    ) -> None:
        self._target = target
        self._step = step
        self._error = error or Died()
        self._left = times

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._target, name)
        if name != self._step:
            return method

        async def fail(*args: Any) -> Any:
            result = await method(*args)
            self._left -= 1
            if self._left < 0:
                return result
            raise self._error

        return fail


class Scene:
    """A stream in memory, the database beside it, and what the former owner did with both."""

    def __init__(self, place: Place, thread: LoopThread, stream: MemoryStream) -> None:
        self.place = place
        self.thread = thread
        self.stream = stream
        self.story = Story(SERIES + random_series(5, 40))
        self.former: Taken

    @property
    def batches(self) -> Sequence[Commit]:
        return self.story.batches

    @property
    def log(self) -> MemoryLog:
        return MemoryLog(self.stream)

    async def take_over(self, store: Any, log: Any = None) -> Taken:
        return await take_over(store, log or self.log, self.thread.call, "ODDS")

    async def begin(self, stored: int = STORED, sent: int = SENT) -> None:
        """Let the former owner begin, store and send, and die."""
        async with self.place.opened() as store:
            self.former = await self.take_over(store)
            await store.write(WriteGroup(self.batches[:stored]))
        for commit in self.batches[:sent]:
            await self.send(commit)

    async def send(self, commit: Commit, epoch: str = "") -> bool:
        """Append a commit as the former owner would; return whether it could."""
        epoch = epoch or self.former.opened.epoch
        message = encode(Batch(epoch, commit.first_revision - 1, 0, [commit]))

        async def append() -> None:
            last = await self.log.last()
            if last is not None and decode(last.message).epoch != epoch:
                raise WrongSequence(0, last.sequence)
            for piece in message:
                await self.log.append(piece, self.stream.last)

        try:
            await self.thread.call(append)
        except WrongSequence:
            return False
        return True

    def sent(self) -> list[Change]:
        """Return the changes of the stream, which must be each revision once, in order."""
        changes: list[Change] = []
        assembler = Assembler()
        for stored in self.stream.messages:
            found = assembler.add(decode(stored.message))
            if isinstance(found, DecodedBatch):
                assert found.prev_revision == len(changes)
                changes += [change for each in found.batch().commits for change in each.changes]
        return changes

    async def agrees(self, store: Store, taken: Taken) -> None:
        """Assert that database and stream hold one log, which the new owner continues."""
        log, stored = self.sent(), taken.stored
        assert log == self.story.log[: len(log)]
        assert await store.history(0, ALL, ALL) == log
        assert await store.count_dead_letters() == 0
        assert stored.revision == len(log)
        newest = decode(self.stream.messages[-1].message)
        assert newest == taken.opened
        assert taken.sequence == self.stream.last
        assert taken.opened.epochs == tuple(stored.epochs)
        assert (taken.opened.first_revision, taken.opened.prev_revision) == (len(log) + 1, len(log))
        firsts = [first for _, first in stored.epochs]
        assert firsts == sorted(firsts)
        assert not await self.send(self.batches[-1])


@asynccontextmanager
async def scene(place: Place) -> AsyncIterator[Scene]:
    """Run a bus in memory on a loop of its own, beside an open bridge."""
    thread, ready = LoopThread("bus"), trio.Event()
    token, streams = trio.lowlevel.current_trio_token(), list[MemoryStream]()

    async def main(stop: Any) -> None:
        streams.append(MemoryStream())
        token.run_sync_soon(ready.set)
        await stop.wait()

    with trio.fail_after(60):
        async with open_bridge(), trio.open_nursery() as nursery:
            nursery.start_soon(thread.run, main)
            await ready.wait()
            yield Scene(place, thread, streams[0])
            thread.request_stop()


async def test_the_first_owner_opens_an_empty_log(place: Place) -> None:
    async with scene(place) as bus, place.opened() as store:
        taken = await bus.take_over(store)
        assert taken.opened == Opened(((taken.stored.epoch, 1),), 1, 0)
        assert taken.sequence == 1


async def test_the_surplus_of_the_stream_is_stored_before_the_epoch_is_opened(place: Place) -> None:
    async with scene(place) as bus:
        await bus.begin()
        async with place.opened() as store:
            taken = await bus.take_over(store)
            await bus.agrees(store, taken)
            assert taken.stored.revision == bus.batches[SENT - 1].last_revision
            for commit in bus.batches[SENT:]:
                await store.write(WriteGroup([commit]))
            assert await store.history(0, ALL, ALL) == bus.story.log
            assert (await store.verify()).faults == []
        async with place.opened() as store:
            after = await bus.take_over(store)
            assert cached({e.event.id: e for e in after.stored.events}) == cached(bus.story.events)


STEPS = ["fence", "last", "store_surplus", "open_epoch", "append", "load"]


@pytest.mark.parametrize("step", STEPS)
async def test_an_owner_that_died_after_a_step_leaves_all_to_the_next(
    place: Place, step: str
) -> None:
    async with scene(place) as bus:
        await bus.begin()
        async with place.opened() as store:
            dying: Any = Dying(store, step)
            with pytest.raises(Died):
                await bus.take_over(dying, Dying(bus.log, step))
        # Until the epoch is opened in the stream, the former owner may go on.
        assert await bus.send(bus.batches[SENT]) == (step not in ("append", "load"))
        async with place.opened() as store:
            await bus.agrees(store, await bus.take_over(store))


async def test_owners_that_die_one_after_another_leave_all_to_the_next(place: Place) -> None:
    async with scene(place) as bus:
        await bus.begin()
        for place_in_log, step in enumerate([*STEPS, *reversed(STEPS)]):
            async with place.opened() as store:
                dying: Any = Dying(store, step)
                with suppress(Died):  # without a surplus there is no such step
                    await bus.take_over(dying, Dying(bus.log, step))
            await bus.send(bus.batches[SENT + place_in_log])
        async with place.opened() as store:
            await bus.agrees(store, await bus.take_over(store))


async def test_a_message_that_comes_in_between_is_stored_too(place: Place) -> None:
    async with scene(place) as bus:
        await bus.begin()
        late = iter(bus.batches[SENT : SENT + 3])

        class Busy(MemoryLog):
            async def append(self, message: bytes, expect: int) -> int:
                commit = next(late, None)
                if commit is not None:
                    epoch = bus.former.opened.epoch
                    piece = encode(Batch(epoch, commit.first_revision - 1, 0, [commit]))[0]
                    bus.stream.add(piece)
                return await super().append(message, expect)

        async with place.opened() as store:
            taken = await bus.take_over(store, Busy(bus.stream))
            await bus.agrees(store, taken)
            assert taken.stored.revision == bus.batches[SENT + 2].last_revision


async def test_an_outage_of_the_bus_is_waited_out(place: Place) -> None:
    async with scene(place) as bus:
        await bus.begin()
        bus.stream.available = False
        async with place.opened() as store, trio.open_nursery() as nursery:

            async def come_back() -> None:
                await trio.sleep(0.3)
                bus.stream.available = True

            nursery.start_soon(come_back)
            await bus.agrees(store, await bus.take_over(store))


@pytest.mark.parametrize("step", ["fence", "store_surplus", "open_epoch", "load"])
async def test_an_outage_of_the_database_is_waited_out(place: Place, step: str) -> None:
    """The answer is lost: the step was taken, and is taken again."""
    async with scene(place) as bus:
        await bus.begin()
        async with place.opened() as store:
            faulty: Any = Dying(store, step, StorageUnavailable("an outage"), times=2)
            await bus.agrees(store, await bus.take_over(faulty))


async def test_a_database_ahead_of_the_stream_leaves_a_hole_that_the_message_names(
    place: Place,
) -> None:
    async with scene(place) as bus:
        await bus.begin(stored=SENT, sent=STORED)
        async with place.opened() as store:
            taken = await bus.take_over(store)
        stored, sent = (bus.batches[count - 1].last_revision for count in (SENT, STORED))
        assert (taken.opened.first_revision, taken.opened.prev_revision) == (stored + 1, sent)
        assert taken.stored.revision == stored


async def test_a_batch_whose_last_part_is_missing_does_not_count(place: Place) -> None:
    async with scene(place) as bus:
        await bus.begin()
        revision = bus.batches[SENT - 1].last_revision
        epoch = bus.former.opened.epoch
        pieces = encode(Batch(epoch, revision, 0, [large_commit(revision + 1, 2)]))
        assert isinstance(decode(pieces[0]), Part)
        for piece in pieces[:-1]:
            bus.stream.add(piece)
        async with place.opened() as store:
            await bus.agrees(store, await bus.take_over(store))


async def test_a_spill_that_the_stream_held_is_dropped(place: Place) -> None:
    async with scene(place) as bus:
        async with place.opened() as store:
            bus.former = await bus.take_over(store)
            await store.write(WriteGroup(bus.batches[:STORED]))
            store.spill(bus.batches[STORED:SENT])
        for commit in bus.batches[:SENT]:
            await bus.send(commit)
        async with place.opened() as store:
            await bus.agrees(store, await bus.take_over(store))
        assert not place.has_spill()


async def test_a_spill_beyond_the_stream_is_stored(place: Place) -> None:
    async with scene(place) as bus:
        async with place.opened() as store:
            bus.former = await bus.take_over(store)
            store.spill(bus.batches[:SENT])
        for commit in bus.batches[:STORED]:
            await bus.send(commit)
        async with place.opened() as store:
            taken = await bus.take_over(store)
            assert taken.stored.revision == bus.batches[SENT - 1].last_revision
            assert taken.opened.first_revision == taken.stored.revision + 1
            assert taken.opened.prev_revision == bus.batches[STORED - 1].last_revision
            assert await store.count_dead_letters() == 0


def foreign(bus: Scene) -> None:
    bus.stream.add(encode(Opened((("other", 1),), 1, 0))[0])


def gone(bus: Scene) -> None:
    bus.stream.exists = False


def holed(bus: Scene) -> None:
    epoch, commit = bus.former.opened.epoch, bus.batches[SENT + 1]
    bus.stream.add(encode(Batch(epoch, commit.first_revision - 1, 0, [commit]))[0])


def newer(bus: Scene) -> None:
    bus.stream.add(b"\x09" + encode(bus.former.opened)[0][1:])


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (foreign, "ends in epoch other, which this database does not know"),
        (gone, "there is no stream ODDS on the bus; run `odds-service bus init`"),
        (holed, "stream ODDS on the bus does not continue the database"),
        (newer, "stream ODDS on the bus cannot be read: a message of version 9"),
    ],
)
async def test_a_stream_that_does_not_fit_is_an_error_that_says_what_to_do(
    fault: Callable[[Scene], None], text: str
) -> None:
    place = MemoryPlace()
    async with scene(place) as bus:
        await bus.begin()
        fault(bus)
        async with place.opened() as store:
            with pytest.raises((LogError, StorageError), match=text):
                await bus.take_over(store)
