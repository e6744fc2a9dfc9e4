"""GetOdds by the proto: waiting, refusals, and odds of the past."""

import time
from datetime import timedelta

import grpc
import pytest
import trio

from odds_service.model.market import MarketKey
from odds_service.model.observation import Scope
from odds_service.serving import calls
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import timestamp
from tests.contract.calling import eventful, refused, refused_in_time
from tests.support.observations import NOON, observe, observed_event, offered
from tests.support.odds_builders import EPOCH, Bookkeeping, connected, serving

H2H = MarketKey("h2h")


def cursor(revision: int, epoch: str = EPOCH) -> pb.Cursor:
    return pb.Cursor(epoch=epoch, revision=revision)


async def test_min_cursor_is_waited_for_until_the_call_s_own_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert calls.MIN_CURSOR_WAIT_S == 30
    monkeypatch.setattr(calls, "MIN_CURSOR_WAIT_S", 0.2)
    async with serving(Bookkeeping(revision=4)) as server:
        with connected(server.address) as client:
            request = pb.GetOddsRequest(min_cursor=cursor(7))

            def without_deadline() -> grpc.StatusCode:
                with pytest.raises(grpc.RpcError) as caught:
                    client.stub.GetOdds(request)
                return caught.value.code()

            assert await trio.to_thread.run_sync(without_deadline) is (
                grpc.StatusCode.DEADLINE_EXCEEDED
            )
            began = time.monotonic()
            found = await refused_in_time(client, "GetOdds", request, timeout_s=3)
            assert time.monotonic() - began > 2  # the cap applies to calls without a deadline
            assert found.code == "DEADLINE_EXCEEDED"
            # The server refuses, because it answers a little before the deadline.
            assert (found.reason, found.metadata["head"]) == ("NOT_REACHED", "4")


async def test_min_cursor_is_waited_for_with_as_of_too() -> None:
    async with serving(eventful()) as server:
        with connected(server.address) as client:
            request = pb.GetOddsRequest(min_cursor=cursor(10**6), as_of_cursor=cursor(3))
            found = await refused_in_time(client, "GetOdds", request, timeout_s=1)
            assert found.reason == "NOT_REACHED"


async def test_a_cursor_of_another_log_is_a_failed_precondition() -> None:
    async with serving(eventful()) as server:
        with connected(server.address) as client:
            for request in (
                pb.GetOddsRequest(min_cursor=cursor(1, "another")),
                pb.GetOddsRequest(as_of_cursor=cursor(1, "another")),
            ):
                found = await refused(client, "GetOdds", request)
                assert (found.code, found.reason) == ("FAILED_PRECONDITION", "EPOCH_CHANGED")
                assert found.details["ErrorInfo"].domain == "odds.v1"
                assert "RetryInfo" not in found.details


async def test_below_the_floor_the_first_revision_that_can_be_asked_for_is_told() -> None:
    book = eventful()
    book.stored_from = 20
    async with serving(book) as server:
        with connected(server.address) as client:
            request = pb.GetOddsRequest(as_of_cursor=cursor(3))
            found = await refused(client, "GetOdds", request)
            assert (found.code, found.reason) == ("OUT_OF_RANGE", "NOT_KEPT")
            request.as_of_cursor.revision = int(found.metadata["floor"])
            reply = await client.call("GetOdds", request)
            assert reply.cursor == request.as_of_cursor
            request.as_of_cursor.revision -= 1
            assert (await refused(client, "GetOdds", request)).code == "OUT_OF_RANGE"


async def test_what_is_not_settled_is_unavailable_and_the_future_a_wrong_argument() -> None:
    book = eventful()
    head = book.feed.head_revision
    found_ = book.see(observe([observed_event("late", {})], 100), durable=False)
    at = found_.changes[0].detected_at
    book.now = at + timedelta(seconds=1)
    async with serving(book) as server:
        with connected(server.address) as client:
            for request, reason in (
                (pb.GetOddsRequest(as_of_cursor=cursor(head + 1)), "NOT_DURABLE_YET"),
                (pb.GetOddsRequest(as_of_cursor=cursor(head + 999)), "NOT_DURABLE_YET"),
                (pb.GetOddsRequest(as_of_time=timestamp(at)), "NOT_DURABLE_YET"),
                (pb.GetOddsRequest(as_of_time=timestamp(book.now)), "NOT_SETTLED"),
                (
                    pb.GetOddsRequest(as_of_time=timestamp(book.now + timedelta(seconds=2))),
                    "NOT_SETTLED",
                ),
            ):
                found = await refused(client, "GetOdds", request)
                assert (found.code, found.reason) == ("UNAVAILABLE", reason)
                assert found.details["RetryInfo"].retry_delay.ToTimedelta() > timedelta()
                if reason == "NOT_DURABLE_YET":
                    assert found.metadata["durable_revision"] == str(head)
            future = timestamp(book.now + timedelta(seconds=2, milliseconds=1))
            found = await refused(client, "GetOdds", pb.GetOddsRequest(as_of_time=future))
            assert (found.code, found.field) == ("INVALID_ARGUMENT", "as_of_time")


async def test_the_time_of_a_change_gives_the_odds_after_it_and_always_the_same() -> None:
    book = eventful()
    async with serving(book) as server:
        with connected(server.address) as client:
            for change in book.log[:: len(book.log) // 15]:
                request = pb.GetOddsRequest(as_of_time=timestamp(change.detected_at))
                reply = await client.call("GetOdds", request)
                last = max(c.revision for c in book.log if c.detected_at <= change.detected_at)
                assert reply.cursor.revision == last >= change.revision
                book.see(observe([], 10_000))
                book.now += timedelta(days=10)
                again = await client.call("GetOdds", request)
                assert (again.events, again.cursor) == (reply.events, reply.cursor)


async def test_a_reply_is_by_start_and_names_its_place_and_the_sources_selected() -> None:
    book = Bookkeeping(sources=("toa", "other"))
    events = [
        observed_event(name, {"b": {H2H: {"home": 1.5}}}, start_time=NOON + timedelta(hours=hours))
        for name, hours in (("x", 3), ("y", 1), ("z", 2))
    ]
    book.see(observe(events))
    book.see(observe(offered({"late": {"b": {H2H: {"home": 1.5}}}}), 1), durable=False)
    async with serving(book) as server:
        with connected(server.address) as client:
            reply = await client.call("GetOdds", pb.GetOddsRequest())
            assert [entry.event.id for entry in reply.events[:3]] == ["y", "z", "x"]
            assert reply.cursor == cursor(book.feed.head_revision)
            assert reply.durable_revision == book.feed.durable_revision < reply.cursor.revision
            assert {state.source for state in reply.sources} == {"toa", "other"}
            only = pb.GetOddsRequest(filter=pb.Filter(sources=["toa"]))
            reply = await client.call("GetOdds", only)
            assert [state.source for state in reply.sources] == ["toa"]


async def test_the_age_of_a_best_price_is_since_it_was_last_seen_true() -> None:
    book = Bookkeeping()
    totals = MarketKey("totals", "2.5")
    offer = {
        "e": {
            "a": {totals: {"over": 2.1, "under": 1.8}},
            "b": {totals: {"over": 1.9, "under": 2.1}},
        }
    }
    book.see(observe(offered(offer)))
    book.see(observe(offered({"e": {"b": offer["e"]["b"]}}), 1, scope=Scope(
        listing="soccer_epl", bookmakers=frozenset({"b"}))))  # fmt: skip
    book.now = NOON + timedelta(minutes=1, seconds=30)
    async with serving(book) as server:
        with connected(server.address) as client:
            reply = await client.call("GetOdds", pb.GetOddsRequest(include_best=True))
    (best,) = reply.events[0].best
    assert {leg.bookmaker: leg.age.ToTimedelta().total_seconds() for leg in best.prices} == {
        "a": 90, "b": 30,
    }  # fmt: skip
