"""The unary calls by a real client of a real server; for GetOdds, see test_odds too."""

import random
from datetime import timedelta
from typing import Any

import grpc
import trio
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest
from grpc_status import rpc_status

from odds_service.bridge import TrioGate
from odds_service.config import ServerSettings
from odds_service.errors import NotDurableYet, UnknownEvent
from odds_service.model.market import MarketKey
from odds_service.model.refresh import FetchOutcome, RefreshOutcome
from odds_service.rpc.server import GrpcDoor
from odds_service.serving.parts import ServingParts
from odds_service.serving.server import Server, serve
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import timestamp
from tests.support.observations import NOON, observe, observed_event, offered
from tests.support.odds_builders import (
    EPOCH,
    Bookkeeping,
    connected,
    random_observations,
    refusal,
    serving,
)

H2H = MarketKey("h2h")


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
                # Listed events go, and new ones come before and after the page's end.
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


async def test_a_filter_on_bookmakers_selects_the_same_events_in_all_calls() -> None:
    book = Bookkeeping()
    book.see(
        observe(offered({"a": {"b1": {H2H: {"home": 1.5}}}, "b": {"b2": {H2H: {"home": 1.5}}}}))
    )
    async with serving(book) as server:
        with connected(server.address) as client:
            request = pb.ListEventsRequest(filter=pb.Filter(bookmakers=["b2"]))
            reply = await client.call("ListEvents", request)
            assert [(row.event.id, len(row.bookmakers)) for row in reply.events] == [
                ("a", 0), ("b", 1),
            ]  # fmt: skip
            odds = await client.call("GetOdds", pb.GetOddsRequest(filter=request.filter))
            assert [(entry.event.id, len(entry.bookmakers)) for entry in odds.events] == [
                ("a", 0), ("b", 1),
            ]  # fmt: skip
            with client.watch(filter=request.filter) as stream:
                pieces = [m.image for m in await stream.until("image_end")]
            assert {e.event.id for piece in pieces for e in piece.events} == {"a", "b"}


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


async def test_a_refresh_answers_with_what_changed() -> None:
    book = Bookkeeping()
    book.see(observe(offered({"e": {"b": {H2H: {"home": 1.5}}}})))
    under_way, gone_on = trio.Event(), trio.Event()

    async def refresh(event_id: str, deadline_s: float) -> RefreshOutcome:
        if event_id == "slow":
            under_way.set()
            await gone_on.wait()
        if event_id == "behind":
            raise NotDurableYet("e1", 9)
        if event_id != "e":
            raise UnknownEvent(f"event {event_id!r} is not known")
        assert 0 < deadline_s <= 20
        found = book.see(observe(offered({"e": {"b": {H2H: {"home": 1.7}}}}), 1))
        return RefreshOutcome(
            3,
            list(found.changes),
            {("toa", "b"): 3},
            [FetchOutcome("toa", "", "", 0.25), FetchOutcome("x", "timeout", "!", 0.25)],
        )

    async with trio.open_nursery() as nursery:
        parts = ServingParts(
            cache=book.cache,
            feed=book.feed,
            gate=TrioGate(nursery),
            settings=ServerSettings(listen="127.0.0.1:0", max_refreshes=1),
            status=book.status,
            refresh=refresh,
        )
        server = await nursery.start(serve, parts, [GrpcDoor])
        assert isinstance(server, Server)
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
            assert {s.latency.ToTimedelta() for s in reply.sources} == {timedelta(seconds=0.25)}
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
                with trio.fail_after(20):
                    await under_way.wait()
                another = pb.RefreshEventRequest(event_id="x")
                error = await refusal(client, "RefreshEvent", another)
                assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
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
        grpc.StatusCode.UNAVAILABLE,  # a cursor ahead of the server
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
            with trio.fail_after(30):
                while server.subscribers:  # noqa: ASYNC110  # the server has no event to wait for
                    await trio.sleep(0.01)
