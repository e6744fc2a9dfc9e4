"""client.replay: the map and the time at each change are those of the live watch.

The live watch is read from memory, the replay from a real database.
"""

import random
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio

from odds_service.client import (
    Change,
    Changes,
    Cursor,
    Disconnected,
    Filter,
    ImageLoaded,
    Odds,
    OddsMap,
    SyncClient,
    UnknownChange,
    connect,
    decode,
    open_client,
    open_sync_client,
)
from odds_service.client.following import ReplayFollower, Split
from odds_service.client.requests import replay_request
from odds_service.demo.replay import run_replay
from odds_service.model.market import MarketKey
from odds_service.serving import past_image, stored
from odds_service.wire.encode import change_wire
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.contract.calling import eventful
from tests.e2e.test_recorded import all_pulled, sport_of
from tests.serving.test_history import kept, postgres, url
from tests.support.observations import observe, observed_event
from tests.support.odds_builders import EPOCH, Bookkeeping, random_observations, serving
from tests.support.recorded import ODDS_API, bodies_of, needs_recorded
from tests.support.serving import service, settings_for

__all__ = ["postgres", "url"]  # fixtures


class Seen(NamedTuple):
    """A change, with the time and the map that a strategy sees at it."""

    change: Change
    now: datetime | None
    events: dict[str, Any]
    sources: dict[str, Any]


def seen(change: Change, now: datetime | None, odds: OddsMap) -> Seen:
    events = {
        event_id: (
            entry.event,
            {key: (each.snapshot_id, each.markets) for key, each in entry.bookmakers.items()},
        )
        for event_id, entry in odds.events.items()
    }
    sources = {name: (state.status, state.reason) for name, state in odds.sources.items()}
    return Seen(change, now, events, sources)


def watched(client: SyncClient, start: Odds | Cursor, head: int, **where: Any) -> list[Seen]:
    """Return what the live watch shows at each change up to a revision."""
    found = []
    with client.watch(Filter(**where), start=start, heartbeat_s=0.5) as watch:
        for change in watch:
            found.append(seen(change, watch.now, watch.odds))
            if change.revision >= head:
                return found
    raise AssertionError("the watch ended early")


def replayed(client: SyncClient, *span: Any, **options: Any) -> Iterator[Seen]:
    with client.replay(*span, **options) as replay:
        for change in replay:
            yield seen(change, replay.now, replay.odds)


def assert_same(past: Iterable[Seen], live: list[Seen], start: int) -> None:
    expected = [each for each in live if each.change.revision > start]
    found = list(past)
    assert [each.change for each in found] == [each.change for each in expected]
    for one, other in zip(found, expected, strict=True):
        assert one == other, one.change


def without_sources(found: Iterable[Seen]) -> list[Seen]:
    """Leave out the sources of a book, which never change, so that no log tells their states."""
    return [each._replace(sources={}) for each in found]


def season(polls: int) -> Bookkeeping:
    """Return a book of many polls, with moved lines and events that come and go."""
    book = Bookkeeping()
    rng = random.Random(7)
    for number, observation in enumerate(random_observations(rng, polls)):
        book.see(observation)
        line = MarketKey("totals", f"{2 + number % 3}.5")
        offer = {"b9": {line: {"over": 1.5 + number % 7 / 10, "under": 2.0}}}
        book.see(observe([observed_event("moving", offer)], number, source="lines"))
    return book


POLLS = [120, pytest.param(1_500, marks=pytest.mark.long)]


@pytest.mark.parametrize("polls", POLLS)
async def test_at_every_change_the_map_equals_the_live_one(
    polls: int, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "PAGE_CHANGES", 50)
    monkeypatch.setattr(past_image, "_GROUP_EVENTS", 2)
    book = season(polls)
    head = book.feed.head_revision
    nothing = Odds(Cursor(EPOCH, 0), 0, {}, {})
    starts = [0, *random.Random(1).sample(range(1, head), 4)]
    async with kept(book, url) as (_, address):

        def compare() -> None:
            with open_sync_client(address) as client:
                live = watched(client, nothing, head)
                assert len(live) == head
                for start in starts:
                    past = replayed(client, Cursor(EPOCH, start))
                    assert_same(without_sources(past), without_sources(live), start)
                where: dict[str, Any] = {"in_play": False, "markets": ["h2h"]}
                begun = client.get_odds(Filter(**where), as_of=Cursor(EPOCH, 9))
                last = max(
                    each.change.revision
                    for each in replayed(client, Cursor(EPOCH, 9), where=Filter(**where))
                )
                filtered = watched(client, begun, last, **where)
                again = replayed(client, Cursor(EPOCH, 9), where=Filter(**where))
                assert_same(without_sources(again), without_sources(filtered), 9)

        await trio.to_thread.run_sync(compare)


@needs_recorded
@pytest.mark.parametrize(
    "series",
    [
        "kbo_inplay_20260804",
        pytest.param("nfl_week1_20250910-15.zip", marks=pytest.mark.long),
        pytest.param("nfl_sunday_20251012.zip", marks=pytest.mark.long),
    ],
)
async def test_a_recorded_season_is_replayed_as_it_was_watched(series: str, tmp_path: Path) -> None:
    bodies = bodies_of(ODDS_API / series)
    live: list[Seen] = []
    async with trio.open_nursery() as nursery:
        port = await nursery.start(partial(run_replay, ODDS_API / series))
        settings = settings_for(tmp_path, port, [sport_of(bodies)], interval_s=0.05)
        async with service(settings) as running, open_client(running.address) as client:

            async def follow() -> None:
                async for change in watch:  # each is looked at when it comes
                    live.append(seen(change, watch.now, watch.odds))  # noqa: PERF401

            with trio.CancelScope() as following:
                async with trio.open_nursery() as watching:
                    watch = client.watch()
                    watching.start_soon(follow)
                    await all_pulled(running, len(bodies))
                    head = running.parts.feed.head_revision
                    while watch.odds.cursor is None or watch.odds.cursor.revision < head:  # noqa: ASYNC110  # set by messages
                        await trio.sleep(0.02)
                    following.cancel()
            while running.parts.feed.durable_revision < head:  # noqa: ASYNC110  # set by the writer
                await trio.sleep(0.02)
            rng = random.Random(3)
            revisions = [each.change.revision for each in live if each.change.revision <= head]
            end = Cursor(running.parts.feed.epoch, head)
            for start in sorted(rng.sample(revisions, 3)):
                past = []
                async with client.replay(Cursor(end.epoch, start), end) as replay:
                    async for change in replay:
                        past.append(seen(change, replay.now, replay.odds))  # noqa: PERF401
                expected = [each for each in live if each.change.revision <= head]
                assert_same(past, expected, start)
        nursery.cancel_scope.cancel()


async def test_steps_are_of_one_time_each_and_end_with_the_span() -> None:
    book = eventful()
    async with serving(book) as server:

        def read() -> None:
            with open_sync_client(server.address) as client, client.replay() as replay:
                times = []
                for step in replay.steps():
                    assert not isinstance(step, Disconnected)
                    if isinstance(step, Changes):
                        (at,) = {change.detected_at for change in step.changes}
                        times.append(at)
                        assert replay.now == at
                        assert replay.odds.cursor == step.cursor
                        assert step.cursor.revision == step.changes[-1].revision
                assert times == sorted(set(times))
                assert len(times) > 20
                assert replay.closed
                assert replay.odds.cursor is not None
                assert replay.odds.cursor.revision == book.feed.head_revision

        await trio.to_thread.run_sync(read)


async def test_the_time_before_the_first_change_is_that_of_the_image() -> None:
    book = eventful()
    async with serving(book) as server:

        def read() -> None:
            with open_sync_client(server.address) as client:
                replay = client.replay(Cursor(EPOCH, 20))
                assert replay.now is None
                for step in replay.steps():
                    if isinstance(step, ImageLoaded):
                        break
                live = client.watch(start=client.get_odds(as_of=Cursor(EPOCH, 20)))
                assert live.now is None
                newest = max(
                    market.changed_at
                    for entry in replay.odds.events.values()
                    for odds in entry.bookmakers.values()
                    for market in odds.markets.values()
                )
                assert replay.now == newest

        await trio.to_thread.run_sync(read)


async def test_by_the_clock_a_change_comes_when_it_is_due() -> None:
    book = eventful()
    async with serving(book) as server:
        async with open_client(server.address) as client:
            replay = client.replay(Cursor(EPOCH, 0), speed=1.0)
            first = await anext(replay)
            assert first.revision == 1
            while replay.now == first.detected_at:
                with trio.move_on_after(0.2) as waiting:  # the next poll is a minute later
                    await anext(replay)
                if waiting.cancelled_caught:
                    break
            assert waiting.cancelled_caught
            assert replay.now == first.detected_at


def test_what_is_due_follows_from_the_speed() -> None:
    now = [100.0]
    follower = ReplayFollower(
        replay_request(Filter(), None, None), speed=60.0, clock=lambda: now[0]
    )
    assert follower.due_s() == 0.0
    early, late = (
        decode.historical_change(pb.Changes.FromString(change_wire(change)).changes[0])
        for change in (eventful().log[0], eventful().log[-1])
    )
    assert not isinstance(early, UnknownChange)
    assert not isinstance(late, UnknownChange)
    follower._waiting.extend([early, late])
    assert follower.due_s() == 0.0
    follower._waiting.popleft()
    apart = late.detected_at - early.detected_at
    assert apart > timedelta(0)
    assert follower.due_s() == pytest.approx(apart.total_seconds() / 60)
    now[0] += 1.0
    assert follower.due_s() == pytest.approx(apart.total_seconds() / 60 - 1)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_is_above_0(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        ReplayFollower(replay_request(Filter(), None, None), speed=speed)


async def test_cut_in_the_midst_the_client_goes_on_without_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stored, "PAGE_CHANGES", 15)
    book = eventful()
    start, end = Cursor(EPOCH, 10), Cursor(EPOCH, book.feed.head_revision)
    async with serving(book) as server:

        def read() -> None:
            with open_sync_client(server.address) as client:
                whole = list(replayed(client, start, end))
            with connect(server.address) as stub:
                request = replay_request(Filter(), start, end)
                count = sum(1 for _ in stub.Replay(request))
                assert count > 6
                for cut in range(1, count):
                    follower = ReplayFollower(request)
                    follower.split = Split.CHANGES
                    found = []
                    for most in (cut, count):
                        for message in islice(stub.Replay(follower.request()), most):
                            follower.hand_out(follower.take(message))
                            while (change := follower.next_change()) is not None:
                                found.append(seen(change, follower.now, follower.odds))
                    assert found == whole
                    assert follower.is_complete()

        await trio.to_thread.run_sync(read)
