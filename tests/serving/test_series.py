"""GetSeries: a market's prices over time agree with the odds as of each time."""

import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from odds_service.client import open_client
from odds_service.model.change import MarketChange
from odds_service.model.market import Market, MarketKey, MarketStatus, Outcome
from odds_service.serving.thinning import Point, thin
from odds_service.storage.memory import Memory
from odds_service.storage.memory_store import MemoryStore
from odds_service.store import WriteGroup
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.contract.calling import eventful, refused
from tests.e2e.test_life import BUSY, bookmaker
from tests.serving.test_restricted import client_of, settings
from tests.support.observations import NOON, Prices, observe, observed_event
from tests.support.odds_builders import (
    Bookkeeping,
    Client,
    connected,
    serving,
)
from tests.support.serving import service, settings_for, wait_until

H2H = MarketKey("h2h")


def moving(
    minutes: int = 4, prices: tuple[float | None, ...] = (2.0, 2.2, None, 2.4)
) -> Bookkeeping:
    """Return an event whose one bookmaker moves and is suspended for a while."""
    book = Bookkeeping(keeps_past=True)
    for minute, home in ((0, 2.0), (10, 2.2), (20, None), (30, 2.4)):
        offer: dict[str, dict[MarketKey, Prices]] = {
            "b1": {H2H: {"home": home, "draw": home and 3.3, "away": home and 3.8}},
            "b2": {H2H: {"home": 2.1, "away": 1.7}},
        }
        book.see(observe([observed_event("e", offer)], minute))
    book.now += timedelta(minutes=1)
    return book


def market(price: float) -> Market:
    return Market(H2H, MarketStatus.OPEN, (Outcome("home", "Home", price),), 1, NOON)


def seconds(minute: float) -> float:
    return (NOON + timedelta(minutes=minute)).timestamp()


async def series_of(client: Client, **fields: Any) -> pb.GetSeriesResponse:
    reply = await client.call("GetSeries", pb.GetSeriesRequest(**fields))
    assert isinstance(reply, pb.GetSeriesResponse)
    for each in reply.series:
        lengths = {len(column.prices) for column in each.prices}
        assert lengths | {len(each.offered), len(each.overround)} == {len(each.at_s)}
        assert list(each.at_s) == sorted(each.at_s)
    return reply


async def test_each_change_is_a_point_with_its_price_and_overround() -> None:
    async with serving(moving()) as server:
        with connected(server.address) as client:
            reply = await series_of(client, event_id="e", market="h2h")
            head = (await client.call("GetStatus", pb.GetStatusRequest())).head_revision
    assert reply.event.id == "e"
    assert reply.key.market == "h2h"
    assert reply.cursor.revision == head
    assert not reply.gaps
    first, second = reply.series
    assert (first.bookmaker, second.bookmaker) == ("b1", "b2")
    assert list(first.at_s) == [seconds(minute) for minute in (0, 10, 20, 30)]
    home, draw, away = first.prices
    assert (home.outcome, draw.outcome, away.outcome) == ("home", "draw", "away")
    assert list(home.prices[:2]) == [2.0, 2.2]
    assert math.isnan(home.prices[2])
    assert home.prices[3] == 2.4
    assert list(first.offered) == [True, True, False, True]
    assert first.overround[0] == pytest.approx(1 / 2.0 + 1 / 3.3 + 1 / 3.8 - 1)
    assert math.isnan(first.overround[2])
    assert not first.HasField("closing")  # it has not started
    assert list(second.at_s) == [seconds(0)]
    assert not first.thinned


async def test_a_span_begins_with_what_held_then() -> None:
    async with serving(moving()) as server:
        with connected(server.address) as client:
            request = pb.GetSeriesRequest(event_id="e", market="h2h", bookmakers=["b1"])
            request.from_time.FromDatetime(NOON + timedelta(minutes=15))
            request.to_time.FromDatetime(NOON + timedelta(minutes=25))
            (found,) = (await client.call("GetSeries", request)).series
            assert list(found.at_s) == [seconds(15), seconds(20)]
            assert found.prices[0].prices[0] == 2.2
            request.to_time.FromDatetime(NOON)
            assert (await refused(client, "GetSeries", request)).field == "to_time"


async def test_the_closing_point_is_the_one_that_held_at_the_start() -> None:
    book = moving()
    offer: dict[str, dict[MarketKey, Prices]] = {"b1": {H2H: {"home": 3.0, "away": 1.4}}}
    start = NOON + timedelta(minutes=35)
    book.see(observe([replace(observed_event("e", offer), start_time=start)], 33))
    offer = {"b1": {H2H: {"home": 5.0, "away": 1.1}}}
    book.see(observe([replace(observed_event("e", offer), start_time=start)], 40))
    async with serving(book) as server:
        with connected(server.address) as client:
            reply = await series_of(client, event_id="e", market="h2h", bookmakers=["b1"])
    (found,) = reply.series
    assert found.HasField("closing")
    assert found.at_s[found.closing] == seconds(33)
    assert found.prices[0].prices[found.closing] == 3.0


async def test_the_closing_point_agrees_with_the_closing_odds() -> None:
    """Changes are detected up to three minutes after they were seen, some across the start."""
    rng = random.Random(4)
    book, detected_at = Bookkeeping(keeps_past=True), NOON
    starts = {f"e{number}": NOON + timedelta(minutes=10 + 2 * number) for number in range(6)}
    for minute in range(25):
        events = []
        for event_id, start in starts.items():
            offer: dict[str, dict[MarketKey, Prices]] = {}
            for name in rng.sample(["b1", "b2", "b3"], rng.randint(1, 3)):
                home = rng.choice([None, *(2 + step / 8 for step in range(8))])
                offer[name] = {H2H: {"home": home, "away": home and 1.8}}
            events.append(replace(observed_event(event_id, offer), start_time=start))
        seen = observe(events, minute)
        detected_at = max(detected_at, seen.observed_at + timedelta(seconds=rng.random() * 180))
        book.see(seen, detected_at=detected_at)
    book.now += timedelta(minutes=1)
    store = MemoryStore(Memory())
    await store.begin()
    await store.write(WriteGroup(book.batches))
    closing = {
        (odds.event_id, odds.bookmaker): odds for odds in await store.closing_odds(list(starts))
    }
    stood, across = 0, 0
    async with serving(book) as server:
        with connected(server.address) as client:
            for event_id, start in starts.items():
                reply = await series_of(client, event_id=event_id, market="h2h")
                for each in reply.series:
                    odds = closing.get((event_id, each.bookmaker))
                    offered = each.HasField("closing") and each.offered[each.closing]
                    assert offered == (odds is not None and odds.offered)
                    if offered and odds is not None:
                        prices = {p.outcome: p.prices[each.closing] for p in each.prices}
                        assert prices == {o.key: o.price for o in odds.market.outcomes}
                        stood += 1
                        across += each.at_s[each.closing] >= start.timestamp()
    assert stood > 5
    assert across > 1


async def test_a_span_that_ends_before_the_start_has_no_closing_point() -> None:
    book = moving()
    offer: dict[str, dict[MarketKey, Prices]] = {"b1": {H2H: {"home": 3.0, "away": 1.4}}}
    start = NOON + timedelta(minutes=35)
    book.see(observe([replace(observed_event("e", offer), start_time=start)], 34))
    book.now = NOON + timedelta(minutes=50)
    async with serving(book) as server:
        with connected(server.address) as client:
            request = pb.GetSeriesRequest(event_id="e", market="h2h", bookmakers=["b1"])
            request.to_time.FromDatetime(start)
            (found,) = (await client.call("GetSeries", request)).series
            assert found.at_s[found.closing] == seconds(34)
            request.to_time.FromDatetime(start - timedelta(seconds=30))
            (short,) = (await client.call("GetSeries", request)).series
            assert len(short.at_s) == len(found.at_s)
            assert not short.HasField("closing")


async def test_going_stale_is_no_point_of_a_series() -> None:
    book = moving()
    book.now += timedelta(hours=2)
    async with serving(book) as server:
        with connected(server.address) as client:
            odds = await client.call("GetOdds", pb.GetOddsRequest())
            reply = await series_of(client, event_id="e", market="h2h")
    assert all(shown.stale for entry in odds.events for shown in entry.bookmakers)
    for each in reply.series:
        assert each.offered[-1]
        assert each.at_s[-1] <= seconds(30)


async def test_an_ended_event_has_its_series_and_ends_without_an_offer() -> None:
    book = moving()
    for minute in (40, 50, 60):
        book.see(observe([], minute))
    async with serving(book) as server:
        with connected(server.address) as client:
            reply = await series_of(client, event_id="e", market="h2h")
            unknown = await refused(
                client, "GetSeries", pb.GetSeriesRequest(event_id="nowhere", market="h2h")
            )
    assert reply.event.status == pb.EVENT_STATUS_ENDED
    for each in reply.series:
        assert not each.offered[-1]
        assert math.isnan(each.prices[0].prices[-1])
    assert (unknown.code, unknown.reason) == ("NOT_FOUND", "UNKNOWN_EVENT")


@pytest.mark.parametrize("seed", range(4))
async def test_at_every_point_the_odds_as_of_then_are_the_same(seed: int) -> None:
    book = eventful(seed)
    rng = random.Random(seed)
    async with serving(book) as server:
        with connected(server.address) as client:
            places = {
                (change.event_id, change.after.key)
                for change in book.log
                if isinstance(change, MarketChange)
            }
            compared = 0
            for event_id, key in sorted(places):
                line = {"line": float(key.line)} if key.line else {}
                reply = await series_of(
                    client, event_id=event_id, market=key.market, participant=key.participant,
                    **line,
                )  # fmt: skip
                for each in reply.series:
                    for at in rng.sample(range(len(each.at_s)), min(3, len(each.at_s))):
                        await agrees(client, reply, each, at)
                        compared += 1
    assert compared > 50


async def agrees(client: Client, reply: pb.GetSeriesResponse, each: pb.Series, at: int) -> None:
    request = pb.GetOddsRequest(filter=pb.Filter(event_ids=[reply.event.id]))
    request.as_of_time.FromDatetime(datetime.fromtimestamp(each.at_s[at], UTC))
    odds = await client.call("GetOdds", request)
    then = [
        found
        for entry in odds.events
        for bookmaker in entry.bookmakers
        if (bookmaker.bookmaker, bookmaker.source) == (each.bookmaker, each.source)
        for found in bookmaker.markets
        if found.key == reply.key
    ]
    told = {
        column.outcome: column.prices[at]
        for column in each.prices
        if not math.isnan(column.prices[at])
    }
    shown = {
        outcome.key: outcome.price
        for found in then
        for outcome in found.outcomes
        if outcome.HasField("price")
    }
    # Several changes may share an instant; the odds as of then are those after the last one.
    if at + 1 == len(each.at_s) or each.at_s[at + 1] != each.at_s[at]:
        assert told == shown
        assert each.offered[at] == any(m.status == pb.MARKET_STATUS_OPEN for m in then)


async def test_more_points_than_fit_are_thinned_to_highs_and_lows() -> None:
    rng = random.Random(7)
    prices = [round(rng.uniform(1.5, 3.0), 3) for _ in range(400)]
    book = Bookkeeping(keeps_past=True)
    for minute, home in enumerate(prices):
        book.see(observe([observed_event("e", {"b1": {H2H: {"home": home, "away": 1.8}}})], minute))
    book.now += timedelta(minutes=1)
    async with serving(book) as server:
        with connected(server.address) as client:
            reply = await series_of(client, event_id="e", market="h2h", max_points=40)
            least = await series_of(client, event_id="e", market="h2h", max_points=1)
            whole = await series_of(client, event_id="e", market="h2h")
    (found,) = reply.series
    assert found.thinned
    assert 20 <= len(found.at_s) <= 40
    kept = list(found.prices[0].prices)
    assert (kept[0], kept[-1]) == (prices[0], prices[-1])
    assert (max(kept), min(kept)) == (max(prices), min(prices))
    assert 2 <= len(least.series[0].at_s) <= 10
    assert len(whole.series[0].at_s) == len(
        [p for n, p in enumerate(prices) if n == 0 or p != prices[n - 1]]
    )
    assert not whole.series[0].thinned


def test_thinning_keeps_what_it_must() -> None:
    rng = random.Random(3)
    for _ in range(200):
        count, most = rng.randint(1, 300), rng.randint(10, 60)
        points = [
            Point(NOON + timedelta(seconds=n), market(rng.uniform(1.1, 9.0)), NOON)
            for n in range(count)
        ]
        keep = rng.randrange(count)
        kept = thin(points, most, [keep])
        assert len(kept) <= most or len(kept) == count <= most
        assert kept[0] is points[0]
        assert kept[-1] is points[-1]
        assert points[keep] in kept
        assert [each.at for each in kept] == sorted(each.at for each in kept)


@pytest.mark.parametrize(
    ("field", "value"),
    [("event_id", ""), ("market", ""), ("market", "x" * 257), ("bookmakers", [""]),
     ("sources", ["x" * 257])],
)  # fmt: skip
async def test_a_malformed_field_is_named(field: str, value: str | list[str]) -> None:
    fields: dict[str, Any] = {"event_id": "e", "market": "h2h", field: value}
    async with serving(moving()) as server:
        with connected(server.address) as client:
            found = await refused(client, "GetSeries", pb.GetSeriesRequest(**fields))
    assert (found.code, found.field) == ("INVALID_ARGUMENT", field)


@pytest.mark.parametrize("most", [10, 20, 50])
async def test_the_closing_point_remains_when_the_past_is_thinned_while_reading(most: int) -> None:
    book = Bookkeeping(keeps_past=True)
    start = NOON + timedelta(minutes=57.5)
    for minute in range(1_000):
        offer: dict[str, dict[MarketKey, Prices]] = {
            "b1": {H2H: {"home": 2 + minute / 1_000, "away": 1.8}}
        }
        book.see(observe([replace(observed_event("e", offer), start_time=start)], minute))
    book.now += timedelta(minutes=1)
    async with serving(book) as server:
        with connected(server.address) as client:
            reply = await series_of(client, event_id="e", market="h2h", max_points=most)
    (found,) = reply.series
    assert found.thinned
    assert len(found.at_s) <= most
    assert found.at_s[found.closing] == seconds(57)
    assert found.prices[0].prices[found.closing] == 2.057


async def test_changes_before_the_span_that_are_not_stored_yet_make_its_first_point() -> None:
    book = Bookkeeping(keeps_past=True)
    for minute, home in ((0, 2.0), (10, 2.1), (20, 2.2)):
        offer: dict[str, dict[MarketKey, Prices]] = {"b1": {H2H: {"home": home, "away": 1.8}}}
        book.see(observe([observed_event("e", offer)], minute), durable=minute == 0)
    book.now += timedelta(minutes=10)
    book.log = [change for change in book.log if change.revision <= book.feed.durable_revision]
    async with serving(book) as server:
        with connected(server.address) as client:
            request = pb.GetSeriesRequest(event_id="e", market="h2h")
            request.from_time.FromDatetime(NOON + timedelta(minutes=15))
            (found,) = (await client.call("GetSeries", request)).series
    assert list(found.at_s) == [seconds(15), seconds(20)]
    assert list(found.prices[0].prices) == [2.1, 2.2]


@pytest.mark.parametrize("span", [True, False])
async def test_a_restricted_token_sees_neither_hidden_sources_nor_hidden_events(
    *, span: bool
) -> None:
    book = Bookkeeping(keeps_past=True, sources=("ours", "hidden"))
    offer: dict[str, dict[MarketKey, Prices]] = {"b1": {H2H: {"home": 2.0, "away": 1.8}}}
    for minute, source in enumerate(("ours", "hidden")):
        book.see(replace(observe([observed_event("e", offer)], minute), source=source))
    unseen = replace(observe([observed_event("h", offer)], 2), source="hidden")
    book.see(unseen, durable=False)  # so it is read from memory
    book.now += timedelta(minutes=5)
    request = pb.GetSeriesRequest(event_id="e", market="h2h")
    if span:
        request.from_time.FromDatetime(NOON + timedelta(minutes=1))
    async with serving(book, settings=settings()) as server:
        with client_of(server.address, "token-of-ours") as client:
            reply = await client.call("GetSeries", request)
            request.event_id = "h"
            hidden = await refused(client, "GetSeries", request)
    assert dict(reply.event.source_ids) == {"ours": "e"}
    assert [each.source for each in reply.series] == ["ours"]
    assert (hidden.code, hidden.reason) == ("NOT_FOUND", "UNKNOWN_EVENT")


async def test_on_a_database_and_ahead_of_it(tmp_path: Path) -> None:
    async with bookmaker(BUSY) as (port, table):
        settings = settings_for(tmp_path, port, **table)  # type: ignore[arg-type]  # a table
        async with service(settings) as running:
            feed = running.parts.feed
            await wait_until(lambda: feed.durable_revision > 1_000, "odds stored")
            with connected(running.address) as client:
                event_id = min(running.parts.cache.events)
                entry = running.parts.cache.events[event_id]
                odds = next(iter(entry.bookmakers.values()))
                key = min(odds.markets)
                line = {"line": float(key.line)} if key.line else {}
                reply = await series_of(
                    client, event_id=event_id, market=key.market, participant=key.participant,
                    **line,
                )  # fmt: skip
                held = {(each.bookmaker, each.source): each for each in reply.series}
                mine = held[odds.bookmaker, odds.source]
                assert reply.cursor.revision >= odds.markets[key].revision
                await wait_until(
                    lambda: feed.durable_revision >= reply.cursor.revision, "all of it stored"
                )
                for at in range(len(mine.at_s)):
                    await agrees(client, reply, mine, at)


async def test_without_history_there_are_no_series() -> None:
    request = pb.GetSeriesRequest(event_id="e", market="h2h")
    async with serving(moving(), stored=False) as server:
        with connected(server.address) as client:
            assert (await refused(client, "GetSeries", request)).reason == "NO_STORE"


async def test_a_market_whose_line_moved_is_another() -> None:
    book = Bookkeeping(keeps_past=True)
    for minute, line in enumerate(("2.5", "3.5")):
        key = MarketKey("totals", line)
        offer = {"b1": {key: {"over": 1.9, "under": 1.9 + minute}}}
        book.see(observe([observed_event("e", offer)], minute))
    book.now += timedelta(minutes=1)
    async with serving(book) as server:
        with connected(server.address) as client:
            (first,) = (await series_of(client, event_id="e", market="totals", line=2.5)).series
            (second,) = (await series_of(client, event_id="e", market="totals", line=3.5)).series
            assert not (await series_of(client, event_id="e", market="totals")).series
    assert list(first.offered) == [True, False]
    assert list(second.offered) == [True]


async def test_bookmakers_and_sources_are_chosen() -> None:
    async with serving(moving()) as server:
        with connected(server.address) as client:
            for fields, count in (
                ({}, 2),
                ({"bookmakers": ["b2"]}, 1),
                ({"sources": ["toa"]}, 2),
                ({"sources": ["other"]}, 0),
            ):
                reply = await series_of(client, event_id="e", market="h2h", **fields)
                assert len(reply.series) == count, fields


async def test_what_was_not_kept_is_told_as_a_gap() -> None:
    book = moving()
    book.refused = {3}
    async with serving(book) as server:
        with connected(server.address) as client:
            assert (await series_of(client, event_id="e", market="h2h")).gaps


async def test_the_client_reads_series_as_values() -> None:
    async with serving(moving()) as server, open_client(server.address) as client:
        found = await client.series("e", H2H, bookmakers=["b1"], start=NOON, max_points=100)
    (series,) = found.series
    assert found.event.id == "e"
    assert found.key == H2H
    assert series.times[0] == NOON
    assert series.prices["home"] == (2.0, 2.2, None, 2.4)
    assert series.overround[2] is None
    assert series.closing is None
