"""The search for a revision in the log, against a scan of the whole log."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from odds_service.bus.finding import find
from odds_service.bus.log import Hole, Log, Stored, Unavailable
from odds_service.bus.memory import MemoryLog, MemoryStream
from odds_service.bus.messages import (
    Assembler,
    BadMessage,
    Batch,
    Opened,
    Part,
    decode,
    encode,
    end_revision,
)
from odds_service.model.change import Change, Commit
from tests.bus.test_log import send, two_logs
from tests.support.examples import examples
from tests.support.log_rigs import Rig, rig_makers, run
from tests.support.outbox_runs import commits_of


@cache
def any_change() -> Change:
    return commits_of(0, 5)[0].changes[0]


class Writer:
    """The writers of a log, one after the other, as bytes of messages in the order of the log."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.epochs: list[tuple[str, int]] = []
        self.open(0)

    @property
    def end(self) -> int:
        """The revision of the log, without an incomplete batch."""
        return end_revision(decode(self.messages[-1])) if self.messages else 0

    def open(self, skipped: int) -> None:
        """Take the log over; the database is `skipped` revisions ahead."""
        first = self.end + skipped + 1
        self.epochs.append((f"e{len(self.epochs)}", first))
        self.messages += encode(Opened(tuple(self.epochs), first, self.end))

    def batch(self, changes: int) -> Batch:
        after = self.end
        found = tuple(
            replace(any_change(), revision=after + number + 1) for number in range(changes)
        )
        return Batch(self.epochs[-1][0], after, 0, (Commit(found),) if found else ())

    def send(self, changes: int) -> None:
        self.messages += encode(self.batch(changes))

    def send_parts(self, changes: int, count: int, stored: int) -> None:
        """Send a batch in pieces, and stop after `stored` of them."""
        batch = self.batch(changes)
        (whole,) = encode(batch)
        size = -(-len(whole) // count)
        pieces = [whole[place : place + size] for place in range(0, len(whole), size)]
        for number, piece in enumerate(pieces[:stored], 1):
            part = Part(
                batch.epoch, batch.prev_revision, batch.revision, number, len(pieces), piece
            )
            self.messages += encode(part)

    def lose(self, count: int) -> None:
        """Lose the tail, which is then written in another way."""
        del self.messages[max(1, len(self.messages) - count) :]


class Unit(Struct, frozen=True):
    """A message, or the consecutive pieces of one batch, with the revision after it."""

    begin: int
    end: int


def units(messages: Sequence[bytes]) -> Iterator[Unit]:
    """Scan a log: its units, the last of which may be incomplete."""
    assembler, begin, part = Assembler(), 1, None
    for sequence, message in enumerate(map(decode, messages), 1):
        if part is not None and not (isinstance(message, Part) and message.number > 1):
            yield Unit(begin, part.prev_revision)  # its writer stopped in between
            begin = sequence
        part = message if isinstance(message, Part) else None
        found = assembler.add(message)
        if found is not None:
            yield Unit(begin, end_revision(found))
            begin, part = sequence + 1, None
    if part is not None:
        yield Unit(begin, part.revision)


def scanned(found: Sequence[Unit], messages: int, revision: int) -> int:
    return next((unit.begin for unit in found if unit.end >= revision), messages + 1)


def stream_of(messages: Sequence[bytes], discarded: int = 0) -> MemoryStream:
    stream = MemoryStream()
    for message in messages:
        stream.add(message)
    for _ in range(discarded):
        stream.messages.popleft()
    return stream


async def place_or_hole(log: Log, revision: int) -> int | Hole:
    try:
        return await find(log, revision)
    except Hole as hole:
        return hole


steps = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 3)),
    st.tuples(st.just("open"), st.integers(0, 3)),
    st.tuples(st.just("lose"), st.integers(1, 4)),
    st.tuples(st.just("send_parts"), st.integers(1, 4), st.integers(2, 5), st.integers(1, 5)),
)


@settings(max_examples=examples(25))
@given(st.lists(steps, max_size=25), st.integers(0, 10))
def test_the_search_agrees_with_a_scan(script: list[tuple[object, ...]], discarded: int) -> None:
    writer = Writer()
    for name, *numbers in script:
        getattr(writer, str(name))(*numbers)
    messages = writer.messages
    discarded = min(discarded, len(messages))
    first = discarded + 1
    all_units = list(units(messages))
    places: set[int] = set()

    async def test() -> None:
        log = MemoryLog(stream_of(messages, discarded))
        for revision in range(writer.end + 6):
            expected = scanned(all_units, len(messages), revision)
            found = await place_or_hole(log, revision)
            if isinstance(found, Hole):
                # The log begins with later pieces of the batch in question.
                begun = decode(messages[discarded])
                assert isinstance(begun, Part)
                assert begun.number > 1
                assert (found.wanted, found.first) == (first - begun.number + 1, first)
                assert expected <= found.wanted
                continue
            assert found == max(expected, first)
            places.add(found)
        for place in places:
            assembler = Assembler()
            for message in messages[place - 1 :]:
                assembler.add(decode(message))  # no piece without its predecessor

    run(test())


def test_a_batch_that_is_being_written_is_found_at_its_first_piece() -> None:
    writer = Writer()
    writer.send(2)
    writer.send_parts(8, 4, 2)

    async def test() -> None:
        log = MemoryLog(stream_of(writer.messages))
        assert await find(log, 2) == 2
        assert [await find(log, revision) for revision in range(3, 12)] == [3] * 8 + [5]

    run(test())


def test_a_search_needs_few_reads() -> None:
    writer = Writer()
    for _ in range(1_000):
        writer.send(1)

    async def test() -> None:
        log = Counting(stream_of(writer.messages))
        assert await find(log, 500) == 501
        assert log.reads <= 11

    run(test())


class Counting(MemoryLog):
    """A log that counts its reads, and does something before each."""

    def __init__(self, stream: MemoryStream, before: Callable[[], None] = lambda: None) -> None:
        super().__init__(stream)
        self.reads = 0
        self._before = before

    async def at(self, sequence: int) -> Stored | None:
        self.reads += 1
        self._before()
        return await super().at(sequence)


def test_messages_that_leave_during_the_search_restart_it() -> None:
    writer = Writer()
    for _ in range(64):
        writer.send(1)
    stream = stream_of(writer.messages)
    left = itertools.count()

    def leave() -> None:
        if next(left) == 3:
            for _ in range(40):
                stream.messages.popleft()

    async def test() -> None:
        assert await find(Counting(stream, leave), 3) == 41
        stream.lose_after(50)
        assert await find(MemoryLog(stream), 60) == 51

    run(test())


def test_a_log_that_never_holds_still_is_unavailable() -> None:
    stream = MemoryStream()

    class Hollow(MemoryLog):
        async def at(self, sequence: int) -> Stored | None:
            return None

    stream.add(encode(Opened((("e", 1),), 1, 0))[0])

    async def test() -> None:
        with pytest.raises(Unavailable, match="faster than"):
            await find(Hollow(stream), 1)

    run(test())


def test_a_foreign_message_is_no_place() -> None:
    async def test() -> None:
        with pytest.raises(BadMessage, match="version 7"):
            await find(MemoryLog(stream_of([b"\x07x"])), 1)

    run(test())


@pytest.fixture(scope="module", params=["memory", "single"])
def make_rig(request: pytest.FixtureRequest) -> Iterator[Callable[[], Rig]]:
    with rig_makers(request.param) as make:
        yield make


def test_a_revision_is_found_on_a_bus(make_rig: Callable[[], Rig]) -> None:
    writer = Writer()
    for round_ in range(12):
        writer.send(round_ % 3)
        writer.send_parts(3, 3, 3 - round_ % 2)
        if round_ % 5 == 4:
            writer.open(round_ % 2)
    all_units = list(units(writer.messages))

    async def test() -> None:
        async with two_logs(make_rig()) as (log, reader):
            assert await find(reader, 0) == 1
            await send(log, writer.messages)
            for revision in range(writer.end + 3):
                expected = scanned(all_units, len(writer.messages), revision)
                assert await find(reader, revision) == expected

    run(test())


def test_a_discarded_beginning_is_found_on_a_bus(make_rig: Callable[[], Rig]) -> None:
    writer = Writer()

    async def test(log: Log, reader: Log) -> None:
        for number in range(1, 9):
            (message,) = encode(replace(writer.batch(1), epoch="e" * 60_000))
            writer.messages.append(message)
            await log.append(message, number - 1)
        first = (await reader.info()).first
        assert first > 3
        for revision in range(10):
            expected = max(revision, first)
            assert await find(reader, revision) == expected

    async def with_logs() -> None:
        async with two_logs(make_rig(), small=True) as (log, reader):
            await test(log, reader)

    run(with_logs())
