"""The contract of Bus, held by the bus in memory, on a server, and on a cluster of three.

The servers are real ones, and an interruption is a SIGKILL.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest

from odds_service.bus.bus import AT_WORK, MOST_BODY_BYTES, AnswerError, Bus, Work, beside
from odds_service.bus.log import LogError, Unavailable
from odds_service.bus.memory import MemoryBus
from odds_service.errors import OddsServiceError
from tests.bus.test_log import in_thread, send, take, texts
from tests.support.log_rigs import Rig, rig_makers, run, until

LONG_S = 30.0
_numbers = itertools.count(1)


@pytest.fixture(scope="module", params=["memory", "single", "cluster"])
def make_rig(request: pytest.FixtureRequest) -> Iterator[Callable[[], Rig]]:
    with rig_makers(request.param) as make:
        yield make


@pytest.fixture
def rig(make_rig: Callable[[], Rig]) -> Rig:
    return make_rig()


@pytest.fixture
def subject() -> str:
    return f"test{next(_numbers)}.refresh"


@asynccontextmanager
async def two_buses(rig: Rig) -> AsyncIterator[tuple[Bus, Bus]]:
    one, other = rig.bus(), rig.bus()
    try:
        yield one, other
    finally:
        await one.aclose()
        await other.aclose()


@asynccontextmanager
async def answering(bus: Bus, subject: str, work: Work, asker: Bus) -> AsyncIterator[None]:
    """Answer a subject meanwhile; begin once an empty request of `asker` is answered."""

    async def or_empty(body: bytes) -> bytes:
        return await work(body) if body else b""

    task = asyncio.create_task(bus.answer(subject, or_empty))
    await until(partial(is_answered, asker, subject))
    try:
        yield
    finally:
        await ended(task)


@asynccontextmanager
async def hearing(
    bus: Bus, subject: str, take: Callable[[bytes], None], teller: Bus
) -> AsyncIterator[None]:
    """Hear a subject meanwhile; begin once an empty message of `teller` is heard."""
    heard = asyncio.Event()

    def or_empty(body: bytes) -> None:
        if body:
            take(body)
        else:
            heard.set()

    task = asyncio.create_task(bus.hear(subject, or_empty))
    await until(partial(is_heard, teller, subject, heard))
    try:
        yield
    finally:
        await ended(task)


async def ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def is_answered(bus: Bus, subject: str) -> bool:
    try:
        return await bus.ask(subject, b"", 0.5) == b""
    except Unavailable:
        return False


async def is_heard(bus: Bus, subject: str, heard: asyncio.Event) -> bool:
    await bus.tell(subject, b"")
    return heard.is_set()


async def twice(body: bytes) -> bytes:
    return body + body


class Slow:
    """Work that waits until it is let go."""

    def __init__(self) -> None:
        self.begun = 0
        self.begin = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, body: bytes) -> bytes:
        self.begun += 1
        self.begin.set()
        await self.go_on.wait()
        return body


async def has_begun(slow: Slow, count: int) -> bool:
    return slow.begun == count


def test_a_request_is_answered(rig: Rig, subject: str) -> None:
    async def test() -> None:
        async with two_buses(rig) as (bus, other), answering(bus, subject, twice, other):
            assert await other.ask(subject, b"x", LONG_S) == b"xx"
            assert await bus.ask(subject, b"\x00\xff", LONG_S) == b"\x00\xff\x00\xff"
            many = await asyncio.gather(
                *(other.ask(subject, b"%d" % number, LONG_S) for number in range(AT_WORK))
            )
            assert many == [b"%d%d" % (number, number) for number in range(AT_WORK)]

    run(test())


def test_a_request_that_nobody_answers_ends_at_once(rig: Rig, subject: str) -> None:
    async def test() -> None:
        async with two_buses(rig) as (bus, _):
            async with asyncio.timeout(10):
                with pytest.raises(Unavailable, match=f"no node answers {subject}"):
                    await bus.ask(subject, b"x", LONG_S)

    run(test())


def test_a_late_answer_is_dropped(rig: Rig, subject: str) -> None:
    async def test() -> None:
        slow = Slow()
        async with two_buses(rig) as (bus, other), answering(bus, subject, slow, other):
            with pytest.raises(Unavailable, match=rf"no answer .*{subject} in 0\.1 s"):
                await other.ask(subject, b"late", 0.1)
            slow.go_on.set()
            assert await other.ask(subject, b"next", LONG_S) == b"next"

    run(test())


def test_an_error_of_ours_is_answered_with_its_text(rig: Rig, subject: str) -> None:
    async def fail(_: bytes) -> bytes:
        raise OddsServiceError("no source knows\r\nthis event: é")

    async def test() -> None:
        async with two_buses(rig) as (bus, other), answering(bus, subject, fail, other):
            with pytest.raises(AnswerError, match="no source knows\r\nthis event: é"):
                await other.ask(subject, b"x", LONG_S)

    run(test())


@pytest.mark.logs_errors
def test_any_other_error_is_answered_without_its_text(rig: Rig, subject: str) -> None:
    async def fail(_: bytes) -> bytes:
        raise ValueError("internal affairs")

    async def test() -> None:
        async with two_buses(rig) as (bus, other), answering(bus, subject, fail, other):
            with pytest.raises(AnswerError) as refused:
                await other.ask(subject, b"x", LONG_S)
            assert "unexpected error" in str(refused.value)
            assert "affairs" not in str(refused.value)
            assert await is_answered(other, subject)

    run(test())


def test_requests_at_work_are_bounded(rig: Rig, subject: str) -> None:
    async def test() -> None:
        slow = Slow()
        async with two_buses(rig) as (bus, other), answering(bus, subject, slow, other):
            asked = [
                asyncio.create_task(other.ask(subject, b"%d" % number, LONG_S))
                for number in range(AT_WORK)
            ]
            await until(partial(has_begun, slow, AT_WORK))
            with pytest.raises(AnswerError, match=f"{AT_WORK} requests .* already"):
                await other.ask(subject, b"more", LONG_S)
            slow.go_on.set()
            assert len(await asyncio.gather(*asked)) == AT_WORK
            assert await other.ask(subject, b"again", LONG_S) == b"again"

    run(test())


def test_messages_have_a_greatest_size(rig: Rig, subject: str) -> None:
    async def sized(body: bytes) -> bytes:
        return bytes(int(body[:20]))

    async def test() -> None:
        too_large = bytes(MOST_BODY_BYTES + 1)
        async with two_buses(rig) as (bus, other), answering(bus, subject, sized, other):
            largest = (b"%020d" % MOST_BODY_BYTES).ljust(MOST_BODY_BYTES)
            assert await other.ask(subject, largest, LONG_S) == bytes(MOST_BODY_BYTES)
            with pytest.raises(AnswerError, match="this size"):
                await other.ask(subject, b"%d" % len(too_large), LONG_S)
            with pytest.raises(LogError, match="this size") as refused:
                await other.ask(subject, too_large, LONG_S)
            assert not isinstance(refused.value, Unavailable)
            with pytest.raises(LogError, match="this size"):
                await other.tell(subject, too_large)
            assert await is_answered(other, subject)

    run(test())


def test_an_interruption_ends_a_request_at_once(rig: Rig, subject: str) -> None:
    async def test() -> None:
        slow = Slow()
        async with two_buses(rig) as (bus, other), answering(bus, subject, slow, other):
            asked = asyncio.create_task(other.ask(subject, b"x", LONG_S))
            await slow.begin.wait()
            await in_thread(rig.interrupt)
            async with asyncio.timeout(10):
                with pytest.raises(Unavailable, match="interrupted"):
                    await asked
                with pytest.raises(Unavailable):
                    await other.ask(subject, b"x", LONG_S)
            await in_thread(rig.resume)
            slow.go_on.set()  # this answer is too late for anybody
            await until(partial(is_answered, other, subject))
            assert await other.ask(subject, b"y", LONG_S) == b"y"

    run(test())


def test_answering_and_hearing_outlive_outages(rig: Rig, subject: str) -> None:
    async def test() -> None:
        heard: list[bytes] = []
        state = beside(subject, "status")
        async with (
            two_buses(rig) as (bus, other),
            answering(bus, subject, twice, other),
            hearing(other, state, heard.append, bus),
        ):
            for round_ in range(2):
                await in_thread(rig.interrupt)
                await bus.tell(state, b"lost")
                await in_thread(rig.resume)
                await until(partial(is_answered, other, subject))
                assert await other.ask(subject, b"x", LONG_S) == b"xx"

                async def told(text: bytes = b"%d" % round_) -> bool:
                    await bus.tell(state, text)
                    return text in heard

                await until(told)
            assert b"lost" not in heard

    run(test())


def test_a_stopped_node_answers_with_an_error_and_then_nobody_does(rig: Rig, subject: str) -> None:
    async def test() -> None:
        slow = Slow()
        async with two_buses(rig) as (bus, other):
            async with answering(bus, subject, slow, other):
                asked = asyncio.create_task(other.ask(subject, b"x", LONG_S))
                await slow.begin.wait()
            async with asyncio.timeout(10):
                with pytest.raises(AnswerError, match="stopped amid"):
                    await asked
            await until(partial(has_no_answer, other, subject))

    run(test())


def test_a_request_that_came_last_is_answered_too(subject: str) -> None:
    """Its work is cancelled before it begins."""

    async def test() -> None:
        bus = MemoryBus()
        answers = asyncio.create_task(bus.answer(subject, twice))
        await asyncio.sleep(0)
        asked = asyncio.create_task(bus.ask(subject, b"x", LONG_S))
        await asyncio.sleep(0)
        answers.cancel()
        async with asyncio.timeout(10):
            assert await asked == b"xx"
        await asyncio.gather(answers, return_exceptions=True)
        await bus.aclose()

    run(test())


async def has_no_answer(bus: Bus, subject: str) -> bool:
    try:
        await bus.ask(subject, b"", 0.5)
    except Unavailable as error:
        return "no node answers" in str(error)
    return False


def test_the_first_of_two_answers_counts(rig: Rig, subject: str) -> None:
    async def test() -> None:
        slow = Slow()
        async with (
            two_buses(rig) as (bus, other),
            answering(bus, subject, slow, other),
            answering(other, subject, twice, bus),
        ):
            # The subject is answered by one from the start; wait for the other one.
            await until(partial(is_doubled, other, subject))
            assert await bus.ask(subject, b"x", LONG_S) == b"xx"
            slow.go_on.set()

    run(test())


async def is_doubled(bus: Bus, subject: str) -> bool:
    try:
        return await bus.ask(subject, b"x", 0.2) == b"xx"
    except (Unavailable, AnswerError):
        return False


def test_a_message_reaches_all_who_hear_and_none_who_answer(rig: Rig, subject: str) -> None:
    async def test() -> None:
        slow = Slow()
        here: list[bytes] = []
        there: list[bytes] = []
        async with (
            two_buses(rig) as (bus, other),
            hearing(bus, subject, here.append, other),
            hearing(other, subject, there.append, bus),
            answering(bus, subject, slow, other),
        ):
            messages = texts(50)
            for message in messages:
                await other.tell(subject, message)

            async def all_heard() -> bool:
                return here == there == messages

            await until(all_heard)
            assert not slow.begun

    run(test())


@pytest.mark.logs_errors
def test_a_message_that_cannot_be_taken_does_not_end_hearing(rig: Rig, subject: str) -> None:
    heard: list[bytes] = []

    def take(body: bytes) -> None:
        if body == b"bad":
            raise ValueError("unexpected")
        heard.append(body)

    async def test() -> None:
        async with two_buses(rig) as (bus, other), hearing(bus, subject, take, other):
            await other.tell(subject, b"bad")
            await other.tell(subject, b"good")

            async def is_good() -> bool:
                return heard == [b"good"]

            await until(is_good)

    run(test())


def test_the_log_shares_the_connection(rig: Rig) -> None:
    async def test() -> None:
        log = await rig.make()
        async with two_buses(rig) as (bus, other):
            reading = asyncio.create_task(take(other.log, 1, 20))
            await send(bus.log, texts(10))
            await in_thread(rig.interrupt)
            await in_thread(rig.resume)
            await send(bus.log, texts(10, 10), 10)
            assert [stored.message for stored in await reading] == texts(20)
        await log.aclose()

    run(test())


def test_closing_ends_everything(rig: Rig, subject: str) -> None:
    async def test() -> None:
        slow = Slow()
        heard: list[bytes] = []
        log = await rig.make()
        async with two_buses(rig) as (bus, other), answering(bus, subject, slow, other):
            tasks = [
                asyncio.ensure_future(each)
                for each in (
                    other.answer(beside(subject, "other"), twice),
                    other.hear(subject, heard.append),
                    take(other.log, 1, 1),
                )
            ]
            asked = asyncio.create_task(other.ask(subject, b"x", LONG_S))
            await slow.begin.wait()
            await other.aclose()
            async with asyncio.timeout(10):
                await asyncio.gather(*tasks)
                with pytest.raises(Unavailable, match=r"closed|interrupted"):
                    await asked
            with pytest.raises(Unavailable, match="closed"):
                await other.ask(subject, b"x", LONG_S)
            with pytest.raises(Unavailable, match="closed"):
                await other.log.info()
            await other.tell(subject, b"x")
            await bus.log.info()
            slow.go_on.set()
        await log.aclose()

    run(test())


def test_subjects_stand_beside_the_log() -> None:
    assert beside("odds.log", "status") == "odds.status"
    assert beside("a.b.log", "refresh") == "a.b.refresh"
    assert beside("log", "refresh") == "refresh"
