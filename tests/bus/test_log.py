"""The contract of Log, held by the log in memory, on a server, and on a cluster of three.

The servers are real ones, and an interruption is a SIGKILL.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any

import pytest

from odds_service.bus.log import (
    Gone,
    Hole,
    Log,
    LogError,
    MadeAnew,
    Stored,
    TailLost,
    Unavailable,
    WrongSequence,
)
from tests.support.log_rigs import SMALL_BYTES, Rig, rig_makers, run, until


@pytest.fixture(scope="module", params=["memory", "single", "cluster"])
def make_rig(request: pytest.FixtureRequest) -> Iterator[Callable[[], Rig]]:
    with rig_makers(request.param) as make:
        yield make


@pytest.fixture
def rig(make_rig: Callable[[], Rig]) -> Rig:
    return make_rig()


def texts(count: int, after: int = 0) -> list[bytes]:
    return [b"message %d" % number for number in range(after + 1, after + count + 1)]


async def send(log: Log, messages: Sequence[bytes], after: int = 0, window: int = 16) -> None:
    """Append messages, many at once, through any outage."""
    done = 0
    while done < len(messages):
        answers = await asyncio.gather(
            *(
                log.append(message, after + done + place)
                for place, message in enumerate(messages[done : done + window])
            ),
            return_exceptions=True,
        )
        for answer in answers:
            if not isinstance(answer, int):
                if not isinstance(answer, Unavailable):
                    raise answer
                await asyncio.sleep(0.02)
                break
            done += 1
            assert answer == after + done


async def take(log: Log, sequence: int, count: int) -> list[Stored]:
    """Read `count` messages."""
    found: list[Stored] = []
    async with aclosing(log.read_from(sequence)) as reader:
        async for stored in reader:
            found.append(stored)
            if len(found) == count:
                break
    return found


async def until_error(
    reader: AsyncIterator[Stored], most: int = 100
) -> tuple[list[Stored], LogError | None]:
    """Read until an error, or `most` messages; return them, and the error."""
    found: list[Stored] = []
    try:
        async with asyncio.timeout(20):
            while len(found) < most:
                found.append(await anext(reader))
    except LogError as error:
        return found, error
    return found, None


async def until_back(log: Log) -> int:
    """Wait until the log answers; return its last sequence."""
    while True:
        try:
            return (await log.info()).last
        except Unavailable:
            await asyncio.sleep(0.05)


@asynccontextmanager
async def two_logs(rig: Rig, *, small: bool = False) -> AsyncIterator[tuple[Log, Log]]:
    """Make the stream; yield a log for a writer and one for a reader."""
    writer, reader = await rig.make(small=small), rig.log()
    try:
        yield writer, reader
    finally:
        await writer.aclose()
        await reader.aclose()


async def in_thread(call: Callable[[], None]) -> None:
    """Make a call that blocks, while the loop runs on."""
    await asyncio.to_thread(call)


def test_messages_have_places_from_one_on(rig: Rig) -> None:
    async def test() -> None:
        async with two_logs(rig) as (log, other):
            assert await log.last() is None
            info = await log.info()
            assert (info.first, info.last) == (1, 0)
            for place, message in enumerate(texts(5)):
                assert await log.append(message, place) == place + 1
            for each in (log, other):
                last = await each.last()
                assert last is not None
                assert last[:2] == (5, b"message 5")
                info = await each.info()
                assert (info.first, info.last) == (1, 5)
                assert info.size_bytes >= 45
            assert [stored[:2] for stored in await take(other, 1, 5)] == list(
                enumerate(texts(5), 1)
            )

    run(test())


def test_a_message_is_read_by_its_place(rig: Rig) -> None:
    async def test() -> None:
        async with two_logs(rig, small=True) as (log, other):
            for sequence in (-1, 0, 1, 2):
                assert await other.at(sequence) is None
            big = [bytes([number]) * 60_000 for number in range(1, 7)]
            await send(log, big, window=1)
            info = await other.info()
            assert info.first > 1
            read = {stored.sequence: stored for stored in await take(log, info.first, 3)}
            for sequence in range(8):
                found = await other.at(sequence)
                assert found is None if sequence not in range(info.first, 7) else found
                if sequence in read:
                    assert found == read[sequence]

    run(test())


def test_many_appends_at_once_are_stored_in_order(rig: Rig) -> None:
    async def test() -> None:
        async with two_logs(rig) as (log, other):
            messages = texts(300)
            reading = asyncio.create_task(take(other, 1, 300))
            sequences = await asyncio.gather(
                *(log.append(message, place) for place, message in enumerate(messages))
            )
            assert sequences == list(range(1, 301))
            assert [stored.message for stored in await reading] == messages
            assert [stored.message for stored in await take(other, 201, 100)] == messages[200:]

    run(test())


def test_bytes_come_back_as_they_are(rig: Rig) -> None:
    async def test() -> None:
        async with two_logs(rig) as (log, other):
            messages = [b"", bytes(range(256)), b"\r\n", bytes(512 * 1024 + 4096)]
            await send(log, messages)
            assert [stored.message for stored in await take(other, 1, 4)] == messages
            last = await other.last()
            assert last is not None
            assert last.message == messages[-1]
            assert last == (await take(log, 4, 1))[0]

    run(test())


def test_an_append_elsewhere_than_at_the_end_is_refused(rig: Rig) -> None:
    async def test() -> None:
        async with two_logs(rig) as (log, _):
            await send(log, texts(3))
            for expect in (0, 2, 4, 100):
                with pytest.raises(WrongSequence) as refused:
                    await log.append(b"other", expect)
                assert (refused.value.expected, refused.value.last) == (expect, 3)
            assert (await log.info()).last == 3
            assert await log.append(b"other", 3) == 4

    run(test())


def test_of_two_writers_only_one_goes_on(rig: Rig) -> None:
    async def test() -> None:
        async with two_logs(rig) as (old, new):
            await send(old, texts(10))
            assert await new.append(b"a new epoch", 10) == 11
            answers = await asyncio.gather(
                *(old.append(message, 10 + place) for place, message in enumerate(texts(5, 10))),
                return_exceptions=True,
            )
            assert isinstance(answers[0], WrongSequence)
            assert answers[0].last >= 11
            # The later ones name places that no message of this writer has come before.
            assert all(isinstance(answer, WrongSequence | int) for answer in answers[1:])
            assert (await take(new, 11, 1))[0].message == b"a new epoch"

    run(test())


def test_a_repeated_append_is_recognised(rig: Rig) -> None:
    async def test() -> None:
        async with two_logs(rig) as (log, other):
            await send(log, texts(4))
            assert await log.append(b"message 4", 3) == 4
            assert await log.append(b"message 2", 1) == 2  # later ones follow it already
            assert await other.append(b"message 4", 3) == 4
            assert (await log.info()).last == 4

    run(test())


def test_a_reader_waits_for_what_comes(rig: Rig) -> None:
    async def test() -> None:
        async with two_logs(rig) as (log, other):
            reading = asyncio.create_task(take(other, 1, 3))
            for place, message in enumerate(texts(3)):
                await asyncio.sleep(0.05)
                assert not reading.done()
                await log.append(message, place)
            async with asyncio.timeout(10):
                assert [stored.message for stored in await reading] == texts(3)

    run(test())


def test_a_cancelled_reader_reads_on_elsewhere(rig: Rig) -> None:
    async def test() -> None:
        async with two_logs(rig) as (log, other):
            await send(log, texts(2))
            reading = asyncio.create_task(take(other, 3, 1))
            await asyncio.sleep(0.1)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await log.append(b"message 3", 2)
            assert (await take(other, 2, 2))[1].message == b"message 3"

    run(test())


@pytest.mark.parametrize("beyond", [2, 50])
def test_a_place_beyond_the_end_is_a_lost_tail(rig: Rig, beyond: int) -> None:
    async def test() -> None:
        async with two_logs(rig) as (log, other):
            await send(log, texts(3))
            with pytest.raises(TailLost) as lost:
                await take(other, 3 + beyond, 1)
            assert lost.value.last == 3

    run(test())


def test_a_full_log_discards_its_oldest_messages(rig: Rig) -> None:
    async def test() -> None:
        async with two_logs(rig, small=True) as (log, other):
            # Random bytes: servers compress.
            messages = [place.to_bytes(2) * 8_192 for place in range(60)]
            async with aclosing(other.read_from(1)) as slow:
                await log.append(messages[0], 0)
                assert (await anext(slow)).sequence == 1
                await send(log, messages[1:], 1)
                info = await log.info()
                assert info.last == 60
                assert 40 < info.first < 60
                assert info.size_bytes <= SMALL_BYTES
                with pytest.raises(Hole) as hole:
                    await take(other, 1, 1)
                assert (hole.value.wanted, hole.value.first) == (1, info.first)
                kept = await take(other, info.first, 61 - info.first)
                assert [stored.message for stored in kept] == messages[info.first - 1 :]
                # A slow reader gets the next messages without a gap, or learns of the hole.
                rest, end = await until_error(slow, 59)
                assert [stored[:2] for stored in rest] == list(enumerate(messages[1:], 2))[
                    : len(rest)
                ]
                assert isinstance(end, Hole) or len(rest) == 59

    run(test())


def test_there_may_be_no_log(rig: Rig) -> None:
    async def test() -> None:
        log = rig.log()
        for call in (log.info(), log.last(), log.append(b"x", 0), take(log, 1, 1)):
            with pytest.raises(Gone):
                await call
        await log.aclose()

    run(test())


def test_a_deleted_log_is_noticed_by_everyone(rig: Rig) -> None:
    async def test() -> None:
        async with two_logs(rig) as (log, other):
            await send(log, texts(3))
            reading = asyncio.create_task(take(other, 1, 4))
            await asyncio.sleep(0.1)
            await rig.delete()
            for call in (reading, log.info(), log.last(), log.append(b"x", 3)):
                with pytest.raises(Gone):
                    await call

    run(test())


def test_a_log_made_anew_is_noticed_by_everyone(rig: Rig) -> None:
    async def test() -> None:
        async with two_logs(rig) as (log, other):
            await send(log, texts(3))
            async with aclosing(other.read_from(1)) as reader:
                for _ in range(3):
                    await anext(reader)
                await rig.delete()
                again = await rig.make()
                await send(again, texts(2))
                with pytest.raises((Gone, MadeAnew)):  # it may look while there is none
                    await anext(reader)
            for call in (other.info, log.info, log.last, partial(log.append, b"x", 3)):
                with pytest.raises(MadeAnew):
                    await call()
            await again.aclose()

    run(test())


def test_an_outage_is_an_outage(rig: Rig) -> None:
    async def test() -> None:
        async with two_logs(rig) as (log, other):
            await send(log, texts(3))
            reading = asyncio.create_task(take(other, 1, 4))
            await asyncio.sleep(0.1)
            await in_thread(rig.interrupt)
            unavailable: list[Coroutine[Any, Any, Any]] = [
                log.info(), log.last(), log.append(b"message 4", 3)
            ]  # fmt: skip
            for call in unavailable:
                with pytest.raises(Unavailable):
                    await call
            assert not reading.done()
            await in_thread(rig.resume)
            assert await until_back(log) == 3
            await send(log, texts(1, 3), 3)
            async with asyncio.timeout(20):
                assert [stored.message for stored in await reading] == texts(4)

    run(test())


def test_kills_amid_appends_and_reads_lose_and_repeat_nothing(rig: Rig) -> None:
    """In a cluster, the leader is killed, and the other two go on."""
    run(_kills_amid_appends_and_reads(rig, rig.strike), 120)


async def _kills_amid_appends_and_reads(rig: Rig, strike: Callable[[], None]) -> None:
    async with two_logs(rig) as (log, other):
        ends = asyncio.Event()
        found: list[Stored] = []

        async def write() -> int:
            sent = 0
            while not ends.is_set():
                await send(log, texts(64, sent), sent)
                sent += 64
            return sent

        async def read() -> None:
            async with aclosing(other.read_from(1)) as reader:
                async for stored in reader:
                    found.append(stored)  # noqa: PERF401  # has_read() looks meanwhile

        async def has_read(count: int) -> bool:
            return len(found) >= count

        writing, reading = asyncio.create_task(write()), asyncio.create_task(read())
        for _ in range(2):
            await until(partial(has_read, len(found) + 200))
            await in_thread(strike)
            await asyncio.sleep(0.2)
            await in_thread(rig.resume)
        ends.set()
        sent = await writing
        await until(partial(has_read, sent))
        reading.cancel()
        assert [stored[:2] for stored in found] == list(enumerate(texts(sent), 1))


@pytest.mark.long
def test_kills_of_three_servers_at_once_lose_and_repeat_nothing() -> None:
    with rig_makers("cluster") as make:
        rig = make()
        run(_kills_amid_appends_and_reads(rig, rig.interrupt), 240)


@pytest.mark.parametrize(
    "kind", ["memory", "single", pytest.param("cluster", marks=pytest.mark.long)]
)
def test_a_lost_tail_is_noticed_even_if_it_was_written_again(kind: str) -> None:
    with rig_makers(kind) as make:
        run(_a_lost_tail(make()), 240)


async def _a_lost_tail(rig: Rig) -> None:
    async with two_logs(rig) as (log, other):
        await send(log, texts(5))
        await in_thread(rig.keep)
        await until_back(log)
        await send(log, texts(5, 5), 5)
        async with aclosing(other.read_from(1)) as reader:
            before = [(await anext(reader)).message for _ in range(8)]
            assert before == texts(8)
            await in_thread(rig.lose_tail)
            assert await until_back(log) == 5
            with pytest.raises(WrongSequence) as refused:
                await log.append(b"message 11", 10)
            assert refused.value.last == 5
            # Written again differently, and beyond where the reader is.
            again = [b"again %d" % number for number in range(6, 13)]
            await send(log, again, 5)
            arrived, end = await until_error(reader)
            assert [stored.message for stored in arrived] == texts(2, 8)[: len(arrived)]
            assert isinstance(end, TailLost)
            assert end.last == 5
        assert [stored.message for stored in await take(other, 6, 7)] == again
