"""The calls that answer once, by a real client of a real server."""

import random
import threading
from datetime import timedelta
from typing import Any, NamedTuple

import grpc
import pytest
import trio
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest
from grpc_status import rpc_status

from odds_service.bridge import TrioGate
from odds_service.config import ServerSettings
from odds_service.errors import NotDurableYet, UnknownEvent
from odds_service.model.change import Change
from odds_service.model.market import MarketKey
from odds_service.rpc.framing import timestamp, utc_time
from odds_service.rpc.parts import RpcParts
from odds_service.rpc.pb.odds.v1 import odds_pb2 as pb
from odds_service.rpc.server import RpcServer, serve_grpc
from tests.support.observations import NOON, cached, fold, observe, observed_event, offered
from tests.support.odds_builders import (
    EPOCH,
    Bookkeeping,
    Client,
    connected,
    random_observations,
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


async def refusal(client: Client, name: str, request: Message) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as refused:
        await client.call(name, request)
    return refused.value


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
                    assert not reply.sources
            some = pb.Filter(event_ids=["e1"], bookmakers=["b1"])
            reply = await client.call(
                "GetOdds", pb.GetOddsRequest(as_of_cursor=cursor, filter=some)
            )
            assert {place[:3] for place in shown(reply)} <= {("e1", "toa", "b1")}
            for request in (
                pb.GetOddsRequest(as_of_time=timestamp(NOON - timedelta(days=1))),
                pb.GetOddsRequest(as_of_cursor=pb.Cursor(epoch="another")),
            ):
                error = await refusal(client, "GetOdds", request)
                assert error.code() is grpc.StatusCode.OUT_OF_RANGE


async def test_every_reply_is_one_consistent_cut_while_odds_are_swapped() -> None:
    """A swap in another thread, as fast as it can; each reply equals the log at its revision."""
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
            book.now += timedelta(minutes=3, seconds=1)  # three intervals of a minute, and more
            assert (await ask()).stale


async def test_best_prices_come_on_request() -> None:
    book = Bookkeeping()
    over = MarketKey("totals", "2.5")
    book.see(
        observe(
            offered(
                {
                    "e": {
                        "a": {H2H: {"home": 2.1, "away": 1.8}, over: {"over": 1.9, "under": 1.9}},
                        "b": {H2H: {"home": 1.9, "away": 2.1}, over: {"over": None, "under": None}},
                    }
                }
            )
        )
    )
    async with serving(book) as server:
        with connected(server.address) as client:
            assert not (await client.call("GetOdds", pb.GetOddsRequest())).events[0].best
            reply = await client.call("GetOdds", pb.GetOddsRequest(include_best=True))
            h2h, totals = reply.events[0].best
            assert [(leg.outcome, leg.price, leg.bookmaker) for leg in h2h.prices] == [
                ("home", 2.1, "a"),
                ("away", 2.1, "b"),
            ]
            assert h2h.combined_overround == pytest.approx(2 / 2.1 - 1)
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


async def test_pages_survive_changes_between_them() -> None:
    book = Bookkeeping()

    def events(minute: int, names: list[int]) -> None:
        shown = [
            observed_event(
                f"e{n:02}",
                {"b": {H2H: {"home": 1.5}}},
                start_time=NOON + timedelta(hours=1 + n // 3),
            )
            for n in names
        ]
        book.see(observe(shown, minute))

    events(0, list(range(20)))
    async with serving(book) as server:
        with connected(server.address) as client:
            seen: list[str] = []
            token = ""
            for page in range(1, 20):
                reply = await client.call(
                    "ListEvents", pb.ListEventsRequest(page_size=4, page_token=token)
                )
                seen += [row.event.id for row in reply.events]
                assert all(row.bookmakers[0].markets == 1 for row in reply.events)
                token = reply.next_page_token
                if not token:
                    break
                # Those listed go, and new ones come before and after the place.
                keep = [n for n in range(20) if f"e{n:02}" not in seen or n % 2]
                events(2 * page, [*keep, 20 + page])
                events(2 * page + 1, [*keep, 20 + page])
            stayed = [f"e{n:02}" for n in range(20)]
            assert [event for event in seen if event in stayed] == stayed
            assert len(seen) == len(set(seen))
            for request, field in (
                (pb.ListEventsRequest(page_token="x"), "page_token"),
                (pb.ListEventsRequest(page_token="AAAA"), "page_token"),
                (pb.ListEventsRequest(page_size=-1), "page_size"),
            ):
                error = await refusal(client, "ListEvents", request)
                assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
                status = rpc_status.from_call(error)  # type: ignore[arg-type]  # its stub wants a Call, which it is
                assert status is not None
                detail = BadRequest()
                status.details[0].Unpack(detail)
                assert detail.field_violations[0].field == field


async def test_a_filter_on_bookmakers_lists_only_the_events_that_they_price() -> None:
    book = Bookkeeping()
    book.see(
        observe(offered({"a": {"b1": {H2H: {"home": 1.5}}}, "b": {"b2": {H2H: {"home": 1.5}}}}))
    )
    async with serving(book) as server:
        with connected(server.address) as client:
            request = pb.ListEventsRequest(filter=pb.Filter(bookmakers=["b2"]))
            reply = await client.call("ListEvents", request)
            assert [row.event.id for row in reply.events] == ["b"]


async def test_history_gives_the_stored_changes_between_its_bounds() -> None:
    book = Bookkeeping()
    for observation in random_observations(random.Random(3), 40):
        book.see(observation)
    head = book.feed.head_revision

    def at(minute: float) -> Timestamp:
        return timestamp(NOON + timedelta(minutes=minute))

    async with serving(book) as server:
        with connected(server.address) as client:

            async def ask(**fields: object) -> list[int]:
                revisions: list[int] = []
                with client.stream("GetHistory", pb.GetHistoryRequest(**fields)) as stream:  # type: ignore[arg-type]  # fields by name
                    try:
                        while True:
                            page = await stream.next()
                            revisions += [change.revision for change in page.changes]
                            assert page.cursor.revision <= book.feed.durable_revision
                    except EOFError:
                        return revisions

            assert await ask() == list(range(1, head + 1))
            cursor = pb.Cursor(epoch=EPOCH, revision=17)
            upto = pb.Cursor(epoch=EPOCH, revision=30)
            assert await ask(from_cursor=cursor, to_cursor=upto) == list(range(18, 31))
            expected = [
                change.revision
                for change in book.log
                if NOON + timedelta(minutes=7) <= change.detected_at < NOON + timedelta(minutes=9)
            ]
            assert expected
            assert await ask(from_time=at(7), to_time=at(9)) == expected
            assert await ask(from_time=at(1_000)) == []
            assert await ask(to_time=at(-1)) == []
            only = pb.Filter(bookmakers=["b1"], event_ids=["e2"])
            chosen = await ask(filter=only)
            assert chosen
            assert set(chosen) == {
                change.revision
                for change in book.log
                if getattr(change, "event_id", "") == "e2"
                and getattr(change, "bookmaker", "b1") == "b1"
            } | {c.revision for c in book.log if not hasattr(c, "event_id")}
            book.stored_from = 10
            with client.stream(
                "GetHistory",
                pb.GetHistoryRequest(from_cursor=pb.Cursor(epoch=EPOCH, revision=3)),
            ) as stream:
                assert (await stream.error()).code() is grpc.StatusCode.OUT_OF_RANGE


class Source(NamedTuple):
    source: str
    error_kind: str
    error: str


class Outcome(NamedTuple):
    revision: int
    changes: list[Change]
    snapshot_ids: dict[tuple[str, str], int]
    sources: list[Source]


async def test_a_refresh_answers_with_what_changed() -> None:
    book = Bookkeeping()
    book.see(observe(offered({"e": {"b": {H2H: {"home": 1.5}}}})))
    gone_on = trio.Event()

    async def refresh(event_id: str, deadline_s: float) -> Outcome:
        if event_id == "slow":
            await gone_on.wait()
        if event_id == "behind":
            raise NotDurableYet("e1", 9)
        if event_id != "e":
            raise UnknownEvent(f"event {event_id!r} is not known")
        assert 0 < deadline_s <= 20
        found = book.see(observe(offered({"e": {"b": {H2H: {"home": 1.7}}}}), 1))
        return Outcome(
            3,
            found.changes,
            {("toa", "b"): 3},
            [Source("toa", "", ""), Source("x", "timeout", "!")],
        )

    async with trio.open_nursery() as nursery:
        parts = RpcParts(
            cache=book.cache,
            feed=book.feed,
            gate=TrioGate(nursery),
            settings=ServerSettings(listen="127.0.0.1:0", max_refreshes=1),
            status=book.status,
            refresh=refresh,
        )
        server = await nursery.start(serve_grpc, parts)
        assert isinstance(server, RpcServer)
        with connected(server.address) as client:
            reply = await client.call("RefreshEvent", pb.RefreshEventRequest(event_id="e"))
            assert reply.cursor.revision == reply.durable_revision == 3
            assert [change.after.outcomes[0].price for change in reply.changes] == [1.7]
            assert [(s.bookmaker, s.snapshot_id, s.changed) for s in reply.snapshots] == [
                ("b", 3, True)
            ]
            assert [(s.source, s.ok, s.error_code) for s in reply.sources] == [
                ("toa", True, ""),
                ("x", False, "timeout"),
            ]
            for event_id, code in (
                ("nothing", grpc.StatusCode.NOT_FOUND),
                ("behind", grpc.StatusCode.UNAVAILABLE),
                ("", grpc.StatusCode.INVALID_ARGUMENT),
            ):
                request = pb.RefreshEventRequest(event_id=event_id)
                assert (await refusal(client, "RefreshEvent", request)).code() is code
            async with trio.open_nursery() as waiting:
                slow = pb.RefreshEventRequest(event_id="slow")
                waiting.start_soon(refusal, client, "RefreshEvent", slow)
                with trio.fail_after(10):
                    while True:
                        error = await refusal(
                            client, "RefreshEvent", pb.RefreshEventRequest(event_id="x")
                        )
                        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                            break
                gone_on.set()
        await server.stop(1.0)


async def test_status_tells_revisions_and_who_reads() -> None:
    book = Bookkeeping()
    book.see(observe(offered({"e": {"b": {H2H: {"home": 1.5}}}})), durable=False)
    async with serving(book) as server:
        with connected(server.address) as client, client.watch() as stream:
            await stream.until("image_end")
            status = await client.call("GetStatus", pb.GetStatusRequest())
            assert (status.epoch, status.head_revision, status.durable_revision) == (EPOCH, 2, 0)
            assert status.oldest_revision == 1
            assert status.subscriber_count == 1
            (subscriber,) = status.subscribers
            assert (subscriber.revision, subscriber.lag_changes) == (2, 0)
            assert subscriber.peer.startswith("ipv4:127.0.0.1:")
            assert (status.events, status.bookmakers) == (1, 1)


async def test_what_is_not_served_says_so() -> None:
    async with serving(Bookkeeping(), stored=False) as server:
        with connected(server.address) as client:
            as_of = pb.GetOddsRequest(as_of_cursor=pb.Cursor(epoch=EPOCH))
            error = await refusal(client, "GetOdds", as_of)
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED
            error = await refusal(client, "RefreshEvent", pb.RefreshEventRequest(event_id="e"))
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED
            with client.stream("GetHistory", pb.GetHistoryRequest()) as stream:
                assert (await stream.error()).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_random_bytes_and_hostile_requests_leave_it_serving() -> None:
    book = Bookkeeping()
    book.see(observe(offered({"e": {"b": {H2H: {"home": 1.5}}}})))
    rng = random.Random(2)
    allowed = {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
    async with serving(book) as server:
        with connected(server.address) as client:
            raw = {
                name: client.channel.unary_unary(f"/odds.v1.OddsService/{name}", None, None)
                for name in ("GetOdds", "ListEvents", "RefreshEvent", "GetStatus")
            }
            watch = client.channel.unary_stream("/odds.v1.OddsService/WatchChanges", None, None)

            def fuzz() -> set[grpc.StatusCode]:
                codes = set()
                for _ in range(150):
                    payload = rng.randbytes(rng.randint(1, 60))
                    for call in raw.values():
                        try:
                            call(payload, timeout=0.5)
                        except grpc.RpcError as error:
                            codes.add(error.code())
                    stream: Any = watch(payload, timeout=5)
                    try:
                        next(stream)
                    except grpc.RpcError as error:
                        codes.add(error.code())
                    stream.cancel()
                return codes

            assert await trio.to_thread.run_sync(fuzz) <= allowed
            assert (await client.call("GetOdds", pb.GetOddsRequest())).events
            with trio.fail_after(5):
                while server.subscribers:  # noqa: ASYNC110  # the server has no event to wait for
                    await trio.sleep(0.01)
