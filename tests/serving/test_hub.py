"""Wake-ups of streams, with the test's own clock."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from odds_service.feed import ChangeFeed
from odds_service.serving import hub
from odds_service.serving.hub import Hub, Subscriber, Waiter

NOW = datetime(2026, 8, 4, tzinfo=UTC)


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

    async def open_one() -> None:  # noqa: ASYNC124  # a stream is of a task
        streams.enter_context(paced.subscribed(Subscriber("peer", NOW, 0)))

    for _ in range(hub.RUSH_STREAMS - 1):
        loop.run_until_complete(open_one())
        now += 0.01
    assert paced.pace_s() == pytest.approx(9 * hub.PACE_S_PER_STREAM)
    loop.run_until_complete(open_one())
    assert paced.pace_s() == pytest.approx(10 * hub.RUSH_PACE_S_PER_STREAM)
    for _ in range(hub.RUSH_STREAMS):  # streams at such intervals are no rush
        now += hub.RUSH_S / hub.RUSH_STREAMS * 1.2
        loop.run_until_complete(open_one())
    assert paced.pace_s() == pytest.approx(20 * hub.PACE_S_PER_STREAM)
    streams.close()
    assert paced.pace_s() == 0.0


def test_no_stream_waits_longer_than_the_most(loop: asyncio.AbstractEventLoop) -> None:
    paced = Hub(ChangeFeed("e", 0), loop)

    async def opened() -> None:  # noqa: ASYNC124  # as above
        paced.subscribers.update(Subscriber("peer", NOW, 0) for _ in range(20_000))

    loop.run_until_complete(opened())
    assert paced.pace_s() == hub.MAX_PACE_S


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
