"""Wake-ups of streams, with the test's own clock."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import pytest

from odds_service.feed import ChangeFeed
from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.model.market import MarketKey
from odds_service.serving import hub
from odds_service.serving.hub import Hub, Subscriber, Waiter
from tests.support.observations import observe, offered
from tests.support.odds_builders import Bookkeeping

NOW = datetime(2026, 8, 4, tzinfo=UTC)
SOON_S = 0.05


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.SelectorEventLoop()
    yield made
    made.close()


def test_wake_ups_are_rarer_while_many_streams_are_being_opened(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(hub, "monotonic", lambda: now)
    paced = Hub(ChangeFeed("e", 0), loop)
    streams = ExitStack()

    async def open_one() -> None:
        streams.enter_context(paced.subscribed(Subscriber("peer", NOW, 0)))

    for _ in range(hub.RUSH_STREAMS - 1):
        loop.run_until_complete(open_one())
        now += 0.01
    assert paced.pace_s(9) == pytest.approx(9 * hub.PACE_S_PER_STREAM)
    loop.run_until_complete(open_one())
    assert paced.pace_s(10) == pytest.approx(10 * hub.RUSH_PACE_S_PER_STREAM)
    for _ in range(hub.RUSH_STREAMS):  # streams at such intervals are no rush
        now += hub.RUSH_S / hub.RUSH_STREAMS * 1.2
        loop.run_until_complete(open_one())
    assert paced.pace_s(20) == pytest.approx(20 * hub.PACE_S_PER_STREAM)
    streams.close()
    assert paced.pace_s(0) == 0.0


def test_no_stream_waits_longer_than_the_most(loop: asyncio.AbstractEventLoop) -> None:
    assert Hub(ChangeFeed("e", 0), loop).pace_s(20_000) == hub.MAX_PACE_S


def test_a_busy_stream_keeps_one_alarm_and_an_earlier_time_gets_its_own(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    timers: list[float] = []
    call_at = loop.call_at

    def counted(when: float, *rest: object) -> asyncio.TimerHandle:
        timers.append(when)
        return call_at(when, *rest)  # type: ignore[arg-type]  # handed on as it came

    monkeypatch.setattr(loop, "call_at", counted)
    waiter = Waiter()
    began = loop.time()
    for number in range(100):
        waiter.future(loop, began + 60 + number).cancel()
    assert timers == [began + 60]
    sooner = waiter.future(loop, began + 0.01)
    loop.run_until_complete(sooner)
    assert timers[1] == began + 0.01
    again = waiter.future(loop, began + 0.02)  # the alarm that rang is gone
    loop.run_until_complete(again)
    waiter.disarm()


def test_what_was_published_before_the_hub_listened_is_news(
    loop: asyncio.AbstractEventLoop,
) -> None:
    feed = ChangeFeed("e", 7)
    listening = Hub(feed, loop)
    with listening.listening():
        assert listening.has_news(3)
        assert not listening.has_news(7)


def moved(book: Bookkeeping, minute: int, event: str = "e") -> None:
    prices = {"home": 1.5 + minute / 100}
    book.see(observe(offered({event: {"b": {MarketKey("h2h"): prices}}}), minute))


async def asleep(hub: Hub, waiting: "asyncio.Task[int]") -> bool:
    """Let the hub tell its news; return whether the task sleeps on."""
    await asyncio.sleep(SOON_S)
    assert hub.woken_head == hub.feed.head_revision
    return not waiting.done()


def test_news_wakes_the_streams_that_it_concerns_alone(loop: asyncio.AbstractEventLoop) -> None:
    """The others learn at their next wake-up how far nothing concerned them."""
    book = Bookkeeping()
    moved(book, 0)

    async def run() -> None:
        listening = Hub(book.feed, loop)
        with listening.listening(), ExitStack() as streams:
            opened = [
                streams.enter_context(_subscribed(listening, selection))
                for selection in (EVERYTHING, Selection(markets=frozenset({"totals"})))
            ]
            start, until = book.feed.head_revision, loop.time() + 60
            every, quiet = (loop.create_task(listening.wait(each, start, until)) for each in opened)
            assert await asleep(listening, every)
            moved(book, 1)
            assert not await asleep(listening, every)
            assert await asleep(listening, quiet)
            assert every.result() == start  # it has to read on
            assert opened[1].position == book.feed.head_revision  # it is not behind
            assert {each.changes for each in listening.report(NOW)} == {0, 1}
            moved(book, 2, "another")  # an event that is new
            assert not await asleep(listening, quiet)
            assert quiet.result() == start + 1

    loop.run_until_complete(run())


def test_much_news_and_news_far_on_wakes_every_stream(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Bookkeeping(capacity=40)
    moved(book, 0)
    nothing = Selection(bookmakers=frozenset({"nobody"}))

    async def run() -> None:
        listening = Hub(book.feed, loop)
        with listening.listening(), _subscribed(listening, nothing) as stream:
            start, until = book.feed.head_revision, loop.time() + 60
            quiet = loop.create_task(listening.wait(stream, start, until))
            for minute in range(1, 11):
                moved(book, minute)
                assert await asleep(listening, quiet)
            moved(book, 11)  # a quarter of what memory holds
            assert not await asleep(listening, quiet)
            assert quiet.result() == book.feed.head_revision
            monkeypatch.setattr(hub, "_CHANGES_LOOKED_AT", 0)
            start = book.feed.head_revision
            quiet = loop.create_task(listening.wait(stream, start, until))
            assert await asleep(listening, quiet)
            moved(book, 12)
            assert not await asleep(listening, quiet)
            assert quiet.result() == start  # nobody has looked

    loop.run_until_complete(run())


@contextmanager
def _subscribed(listening: Hub, selection: Selection) -> Iterator[Subscriber]:
    subscriber = Subscriber("peer", NOW, listening.feed.head_revision, selection)
    with listening.subscribed(subscriber):
        yield subscriber


def test_without_a_stream_the_loop_is_not_woken_and_nobody_who_comes_misses_anything(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Bookkeeping()
    calls: list[object] = []
    schedule = loop.call_soon_threadsafe

    def noted(call: Callable[..., object], *rest: object) -> asyncio.Handle:
        calls.append(call)
        return schedule(call, *rest)

    monkeypatch.setattr(loop, "call_soon_threadsafe", noted)

    async def run() -> None:
        listening = Hub(book.feed, loop)
        with listening.listening():
            for minute in range(3):
                moved(book, minute)
            await asyncio.sleep(SOON_S)
            assert not calls
            assert not listening.has_news(0)
            subscriber = Subscriber("peer", NOW, 0)
            with listening.subscribed(subscriber):
                assert listening.has_news(0)
                assert listening.woken_head == book.feed.head_revision
            moved(book, 3)
            head = book.feed.head_revision
            assert not listening.has_news(head - 1)
            # A call that waits for a revision has no stream.
            assert await listening.wait(Waiter(), head - 1, loop.time() + 60) == head - 1
            assert listening.has_news(head - 1)

    loop.run_until_complete(asyncio.wait_for(run(), 30))


def test_a_stream_that_comes_beside_a_publisher_waits_for_nothing_that_is_there(
    loop: asyncio.AbstractEventLoop,
) -> None:
    """From another thread, commits come between any two lines."""
    book = Bookkeeping()
    published = 300

    def publish() -> None:
        for minute in range(published):
            moved(book, minute)
            time.sleep(0.0005)

    async def run() -> None:
        listening = Hub(book.feed, loop)
        with listening.listening():
            publishing = threading.Thread(target=publish)
            publishing.start()
            read = 0
            while read < published:
                subscriber = Subscriber("peer", NOW, read, EVERYTHING)
                with listening.subscribed(subscriber):
                    while not listening.has_news(read):
                        until = loop.time() + 20  # no other commit helps after the last one
                        await listening.wait(subscriber, read, until)
                        assert loop.time() < until
                read = listening.woken_head
            publishing.join()

    loop.run_until_complete(asyncio.wait_for(run(), 60))
