"""GetOdds by a real client of a real server: filters, cuts, times, best prices, the past."""

import random
import threading
from datetime import timedelta

import grpc
import pytest
import trio
from msgspec.structs import replace

from odds_service.filters.selection import EVERYTHING
from odds_service.model.event import EventStatus
from odds_service.model.market import MarketKey
from odds_service.model.overround import Standing
from odds_service.model.snapshot import Reading
from odds_service.serving.odds import OddsView
from odds_service.wire.encode import Wires
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import timestamp, utc_time
from tests.support.observations import NOON, cached, fold, observe, observed_event, offered
from tests.support.odds_builders import (
    EPOCH,
    Bookkeeping,
    connected,
    random_observations,
    refusal,
    serving,
)

H2H = MarketKey("h2h")
Place = tuple[str, str, str, str, float | None, str]


def shown(reply: pb.GetOddsResponse) -> dict[Place, tuple[tuple[str, float, bool], ...]]:
    return {
        (
            entry.event.id,
            odds.source,
            odds.bookmaker,
            market.key.market,
            market.key.line if market.key.HasField("line") else None,
            market.key.participant,
        ): tuple((o.key, o.price, o.active) for o in market.outcomes)
        for entry in reply.events
        for odds in entry.bookmakers
        for market in odds.markets
    }


def flat(book: Bookkeeping) -> dict[Place, tuple[tuple[str, float, bool], ...]]:
    return {
        (event, source, bookmaker, key.market, float(key.line) if key.line else None, ""): tuple(
            (outcome, price or 0.0, active) for outcome, price, active in outcomes
        )
        for (event, source, bookmaker, key), (_, outcomes) in cached(book.cache.events).items()
    }


async def test_all_odds_and_every_filter() -> None:
    book = Bookkeeping()
    for observation in random_observations(random.Random(1), 30):
        book.see(observation)
    whole = flat(book)
    async with serving(book) as server:
        with connected(server.address) as client:

            async def ask(**fields: object) -> dict[Place, tuple[tuple[str, float, bool], ...]]:
                request = pb.GetOddsRequest(filter=pb.Filter(**fields))  # type: ignore[arg-type]  # fields by name
                return shown(await client.call("GetOdds", request))

            assert await ask() == whole
            assert await ask(event_ids=["e1", "no such"]) == {
                place: odds for place, odds in whole.items() if place[0] == "e1"
            }
            assert await ask(bookmakers=["b2"]) == {
                place: odds for place, odds in whole.items() if place[2] == "b2"
            }
            assert await ask(markets=["totals"], sports=["soccer", "tennis"]) == {
                place: odds for place, odds in whole.items() if place[3] == "totals"
            }
            assert await ask(competitions=["nba"]) == {}
            assert await ask(sources=["another"]) == {}
            started = {
                event_id
                for event_id, entry in book.cache.events.items()
                if entry.event.start_time <= NOON + timedelta(minutes=29)
            }
            split = timestamp(NOON + timedelta(minutes=29, microseconds=1))
            assert {place[0] for place in await ask(start_to=split)} <= started
            both = await ask(start_to=split) | await ask(start_from=split)
            assert both == whole
            assert await ask(in_play=True) | await ask(in_play=False) == whole


async def test_the_odds_of_the_past_by_cursor_and_by_time() -> None:
    book = Bookkeeping(keeps_past=True)
    expected = {}
    for minute, observation in enumerate(random_observations(random.Random(7), 25)):
        book.see(observation)
        expected[minute] = (book.feed.head_revision, flat(book))
    book.now += timedelta(hours=1)  # the requested times are over
    async with serving(book) as server:
        with connected(server.address) as client:
            for minute, (revision, odds) in expected.items():
                at = timestamp(NOON + timedelta(minutes=minute, seconds=30))
                cursor = pb.Cursor(epoch=EPOCH, revision=revision)
                for request in (
                    pb.GetOddsRequest(as_of_cursor=cursor),
                    pb.GetOddsRequest(as_of_time=at),
                ):
                    reply = await client.call("GetOdds", request)
                    assert shown(reply) == odds
                    assert reply.cursor == cursor
                    assert [state.source for state in reply.sources] == ["toa"]
            some = pb.Filter(event_ids=["e1"], bookmakers=["b1"])
            reply = await client.call(
                "GetOdds", pb.GetOddsRequest(as_of_cursor=cursor, filter=some)
            )
            assert {place[:3] for place in shown(reply)} <= {("e1", "toa", "b1")}
            book.stored_from = 3
            for request in (
                pb.GetOddsRequest(as_of_time=timestamp(NOON - timedelta(days=1))),
                pb.GetOddsRequest(as_of_cursor=pb.Cursor(epoch=EPOCH, revision=1)),
            ):
                error = await refusal(client, "GetOdds", request)
                assert error.code() is grpc.StatusCode.OUT_OF_RANGE
            request = pb.GetOddsRequest(as_of_cursor=pb.Cursor(epoch="another"))
            error = await refusal(client, "GetOdds", request)
            assert error.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_every_reply_is_one_consistent_cut_while_odds_are_swapped() -> None:
    """Each reply equals the fold of the log at its revision, while another thread swaps odds."""
    book = Bookkeeping()
    book.see(observe(offered({"e0": {"b": {H2H: {"home": 1.5}}}})))
    ready, stop = threading.Event(), threading.Event()

    def swap() -> None:
        for minute in range(1, 4_000):
            price = 1.5 + minute % 7 / 10
            events = {f"e{n}": {"b": {H2H: {"home": price + n}}} for n in range(3)}
            book.see(observe(offered(events), minute))
            ready.set()
            if stop.is_set():
                return

    async with serving(book) as server:
        with connected(server.address) as client:
            writer = threading.Thread(target=swap)
            writer.start()
            ready.wait()
            replies = [await client.call("GetOdds", pb.GetOddsRequest()) for _ in range(60)]
            stop.set()
            writer.join()
    assert len({reply.cursor.revision for reply in replies}) > 5
    for reply in replies:
        then = fold(book.log[: reply.cursor.revision])
        assert shown(reply) == {
            (event, source, bookmaker, key.market, None, ""): outcomes
            for (event, source, bookmaker, key), (_, outcomes) in then.items()
        }


async def test_times_staleness_and_ids() -> None:
    book = Bookkeeping()
    offer = {"e": {"b": {H2H: {"home": 1.5, "away": 2.5}}}}
    book.see(observe(offered(offer), 0), durable=False)
    async with serving(book) as server:
        with connected(server.address) as client:

            async def ask() -> pb.BookmakerOdds:
                reply = await client.call("GetOdds", pb.GetOddsRequest())
                odds = reply.events[0].bookmakers[0]
                assert isinstance(odds, pb.BookmakerOdds)
                return odds

            assert (await ask()).snapshot_id == 0  # served before it is stored
            book.feed.advance_durable(book.feed.head_revision)
            assert (await ask()).snapshot_id == 2
            book.see(observe(offered(offer), 2))
            polled = await ask()
            assert polled.snapshot_id == 2
            assert utc_time(polled.confirmed_at) == NOON + timedelta(minutes=2)
            assert utc_time(polled.markets[0].changed_at) == NOON
            assert not polled.stale
            book.see(observe([], 3))  # missing once: still shown, no longer confirmed
            missing = await ask()
            assert missing.stale
            assert utc_time(missing.confirmed_at) == NOON + timedelta(minutes=2)
            assert utc_time(missing.observed_at) == NOON + timedelta(minutes=3)
            book.see(observe(offered(offer), 4))
            assert not (await ask()).stale
            book.now += timedelta(minutes=3, seconds=1)  # more than three intervals of a minute
            assert (await ask()).stale


def test_what_its_source_tells_is_in_play_gets_stale_as_such_before_its_start() -> None:
    book = Bookkeeping()
    paces = ((0.0, 10.0), (None, 900.0))
    book.cache.swap({}, {"toa": replace(book.cache.sources["toa"], paces=paces)}, None, NOON)
    for minute, status in enumerate((None, EventStatus.SCHEDULED, EventStatus.IN_PLAY)):
        shown = observed_event("e", {"b": {H2H: {"home": 1.5}}}, start_time=NOON + timedelta(1))
        book.see(observe([replace(shown, status=status)], minute))
        (entry,) = book.cache.events.values()
        (odds,) = entry.bookmakers.values()
        now = Reading(book.now + timedelta(seconds=31))
        view = OddsView(book.cache.view(), EVERYTHING, now, Wires())
        stale = status is EventStatus.IN_PLAY
        assert view.standing(odds) is (Standing.STALE if stale else Standing.LIVE)


async def test_best_prices_come_on_request() -> None:
    book = Bookkeeping()
    over, btts = MarketKey("totals", "2.5"), MarketKey("btts")
    book.see(
        observe(
            offered(
                {
                    "e": {
                        "a": {
                            btts: {"yes": 2.1, "no": 1.8},
                            H2H: {"home": 2.1, "draw": 3.2, "away": 3.9},
                            over: {"over": 1.9, "under": 1.9},
                        },
                        "b": {
                            btts: {"yes": 1.9, "no": 2.1},
                            H2H: {"home": 1.9, "draw": 3.3, "away": 4.0},
                            over: {"over": None, "under": None},
                        },
                        "c": {H2H: {"home": 9.0, "away": 9.0}},
                    }
                }
            )
        )
    )
    async with serving(book) as server:
        with connected(server.address) as client:
            assert not (await client.call("GetOdds", pb.GetOddsRequest())).events[0].best
            reply = await client.call("GetOdds", pb.GetOddsRequest(include_best=True))
            yes_no, h2h, totals = reply.events[0].best
            assert [(leg.outcome, leg.price, leg.bookmaker) for leg in h2h.prices] == [
                ("home", 2.1, "a"),
                ("draw", 3.3, "b"),
                ("away", 4.0, "b"),
            ]
            assert h2h.combined_overround == pytest.approx(1 / 2.1 + 1 / 3.3 + 1 / 4.0 - 1)
            assert [(left.bookmaker, left.reason) for left in h2h.exclusions] == [
                ("c", pb.EXCLUSION_REASON_INCOMPLETE)
            ]
            assert not yes_no.HasField("combined_overround")  # too good to be true
            assert yes_no.suspect_overround == pytest.approx(2 / 2.1 - 1)
            assert list(yes_no.suspect_reasons) == ["below_limit"]
            assert [exclusion.bookmaker for exclusion in totals.exclusions] == ["b"]
            assert totals.exclusions[0].reason == pb.EXCLUSION_REASON_SUSPENDED


async def test_min_cursor_waits_until_the_cache_is_there() -> None:
    book = Bookkeeping()
    book.see(observe(offered({"e": {"b": {H2H: {"home": 1.5}}}})))
    async with serving(book) as server:
        with connected(server.address) as client:

            def request(revision: int, epoch: str = EPOCH) -> pb.GetOddsRequest:
                return pb.GetOddsRequest(min_cursor=pb.Cursor(epoch=epoch, revision=revision))

            async with trio.open_nursery() as nursery:
                replies: list[pb.GetOddsResponse] = []

                async def ask() -> None:
                    replies.append(await client.call("GetOdds", request(3)))

                nursery.start_soon(ask)
                await trio.sleep(0.05)
                assert replies == []
                book.see(observe(offered({"e": {"b": {H2H: {"home": 1.6}}}}), 1))
            assert replies[0].cursor.revision == 3
            with pytest.raises(grpc.RpcError) as refused:
                await client.call("GetOdds", request(4), timeout_s=0.3)
            assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            error = await refusal(client, "GetOdds", request(1, "another"))
            assert error.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_reply_that_is_too_large_points_to_the_stream() -> None:
    book = Bookkeeping()
    lines = {MarketKey("totals", str(n)): {"over": 1.9, "under": 1.9} for n in range(500)}
    book.see(observe(offered({f"e{n}": {"b": lines} for n in range(120)})))
    async with serving(book) as server:
        with connected(server.address) as client:
            error = await refusal(client, "GetOdds", pb.GetOddsRequest())
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "IMAGE_MODE_ONLY" in str(error.details())
            request = pb.GetOddsRequest(filter=pb.Filter(event_ids=["e1", "e2"]))
            assert len((await client.call("GetOdds", request)).events) == 2
            with client.watch(image=pb.IMAGE_MODE_ONLY) as stream:
                messages = await stream.until("image_end")
            assert messages[-1].image_end.markets == 120 * 500
