"""Options of a stream: the requested values and the effective ones."""

from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from odds_service.client.requests import timestamp
from odds_service.model.change import EventChange
from odds_service.model.market import MarketKey
from odds_service.model.observation import ObservedEvent
from odds_service.serving import reading
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.contract.literal import LiteralWatcher
from tests.contract.test_watch_cuts import current, eventful, reach, take
from tests.support.observations import NOON, Prices, observe, observed_event, offered
from tests.support.odds_builders import Bookkeeping, connected, serving

LINES = [MarketKey("totals", str(line)) for line in range(300)]
H2H = MarketKey("h2h")
OUTSIDE = 7  # hours from noon; the filter excludes starts from then on


def length(seconds: float) -> Duration:
    return Duration(seconds=int(seconds), nanos=round(seconds % 1 * 1e9))


def starting(hours: int, markets: dict[MarketKey, Prices]) -> ObservedEvent:
    return observed_event("e", {"b": markets}, start_time=NOON + timedelta(hours=hours))


async def test_heartbeat_and_conflation_are_bounded_and_have_defaults() -> None:
    async with serving(eventful(3, 5)) as server:
        with connected(server.address) as client:
            for heartbeat, conflate, beats, folds in (
                (None, None, 10, 0),
                (0, 0, 10, 0),
                (0.1, 0.01, 0.5, 0.05),
                (7, 3.5, 7, 3.5),
                (1_000, 1_000, 60, 60),
            ):
                watcher = LiteralWatcher(
                    heartbeat=None if heartbeat is None else length(heartbeat),
                    conflate=None if conflate is None else length(conflate),
                )
                with client.stream("WatchChanges", watcher.request()) as stream:
                    await take(stream, watcher, 1)
                assert watcher.opened.heartbeat == length(beats)
                assert watcher.opened.conflate == length(folds)


async def test_when_the_server_stops_the_last_window_comes_early() -> None:
    book = Bookkeeping()
    book.see(observe(offered({"e": {"b": {H2H: {"home": 1.5}}}}), 0))
    async with serving(book) as server:
        with connected(server.address) as client:
            watcher = LiteralWatcher(conflate=length(60))
            with client.stream("WatchChanges", watcher.request()) as stream:
                await reach(stream, watcher, book.feed.head_revision)
                book.see(observe(offered({"e": {"b": {H2H: {"home": 1.6}}}}), 1))
                await reach(stream, watcher, book.feed.head_revision)
                book.see(observe(offered({"e": {"b": {H2H: {"home": 1.7}}}}), 2))
                book.feed.close()
                kinds = await take(stream, watcher, 2)
            assert kinds == ["changes", "closing"]
            assert watcher.cursor is not None
            assert watcher.cursor.revision == book.feed.head_revision
            assert watcher.changes[-1].after.outcomes[0].price == 1.7


async def test_an_event_that_came_and_changed_in_a_window_stands_ahead_of_its_markets() -> None:
    book = Bookkeeping()
    async with serving(book) as server:
        with connected(server.address) as client:
            watcher = LiteralWatcher(conflate=length(0.3))
            with client.stream("WatchChanges", watcher.request()) as stream:
                await reach(stream, watcher, 0)
                for minute in range(40):
                    event = observed_event(
                        f"e{minute // 4}",
                        {"b": {H2H: {"home": 1.5 + minute}}},
                        home=f"Home {minute}",
                    )
                    book.see(observe([event], minute))
                await reach(stream, watcher, book.feed.head_revision)
            added = [c for c in watcher.changes if c.kind == pb.CHANGE_KIND_EVENT_ADDED]
            for change in added:
                first = min(
                    each.revision
                    for each in book.log
                    if isinstance(each, EventChange) and each.event_id == change.event_id
                )
                assert change.revision == first
            assert watcher.held.events == (await current(client)).events


def outside_a_filter(
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[pb.Filter, dict[MarketKey, Prices], Bookkeeping]:
    """Return a filter, an outside event's markets, which exceed a message, and their book."""
    monkeypatch.setattr(reading, "_BODY_BYTES", 4_096)
    chosen = pb.Filter(start_to=timestamp(NOON + timedelta(hours=OUTSIDE)))
    markets: dict[MarketKey, Prices] = {key: {"over": 1.5} for key in LINES}
    book = Bookkeeping(keeps_past=True)
    book.see(observe([starting(OUTSIDE + 1, markets)], 0))
    return chosen, markets, book


@pytest.mark.parametrize("conflate", [None, length(0.05)])
async def test_what_enters_a_filter_and_exceeds_a_message_comes_again_after_a_cut(
    monkeypatch: pytest.MonkeyPatch, conflate: Duration | None
) -> None:
    chosen, markets, book = outside_a_filter(monkeypatch)
    async with serving(book) as server:
        with connected(server.address) as client:
            watcher = LiteralWatcher(filter=chosen, conflate=conflate)
            with client.stream("WatchChanges", watcher.request()) as stream:
                await reach(stream, watcher, book.feed.head_revision)
                before = watcher.cursor
                book.see(observe([starting(OUTSIDE - 1, markets)], 1))
                assert await take(stream, watcher, 2) == ["changes", "changes"]
                assert before is not None
                assert watcher.cursor is not None
                assert watcher.cursor.revision == before.revision
                assert 1 < len(watcher.changes) < len(LINES)
            told = len(watcher.changes)
            # The event leaves again before the client is back, so the client must drop all of it.
            book.see(observe([starting(OUTSIDE + 1, markets)], 2))
            with client.stream("WatchChanges", watcher.request()) as stream:
                await reach(stream, watcher, book.feed.head_revision)
            assert watcher.held == await current(client, chosen)
            assert watcher.held.events == {}
            if conflate is None:
                again = watcher.changes[told : 2 * told]
                assert again == watcher.changes[:told]
                assert watcher.opened.intent == pb.INTENT_CHANGES
            else:
                assert watcher.opened.reason == pb.INTENT_REASON_IMAGE_INCOMPLETE


async def test_a_cut_amid_one_place_resumed_with_conflation_gives_an_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen, markets, book = outside_a_filter(monkeypatch)
    async with serving(book) as server:
        with connected(server.address) as client:
            watcher = LiteralWatcher(filter=chosen)
            with client.stream("WatchChanges", watcher.request()) as stream:
                await reach(stream, watcher, book.feed.head_revision)
                book.see(observe([starting(OUTSIDE - 1, markets)], 1))
                assert await take(stream, watcher, 2) == ["changes", "changes"]
            # The markets sent first are gone when the client is back: their fold is no change.
            left = dict(list(markets.items())[len(LINES) // 2 :])
            book.see(observe([starting(OUTSIDE - 1, left)], 2))
            resumed = watcher.request()
            resumed.conflate.CopyFrom(length(0.05))
            with client.stream("WatchChanges", resumed) as stream:
                await reach(stream, watcher, book.feed.head_revision)
            assert watcher.opened.intent == pb.INTENT_IMAGE
            assert watcher.opened.reason == pb.INTENT_REASON_IMAGE_INCOMPLETE
            assert watcher.held == await current(client, chosen)


async def test_where_only_an_image_could_help_and_none_is_wanted_the_reason_is_named() -> None:
    book = eventful(3, 5)
    async with serving(book) as server:
        with connected(server.address) as client:
            for cursor, reason in (
                (pb.Cursor(epoch="another", revision=1), "INTENT_REASON_EPOCH_CHANGED"),
                (pb.Cursor(epoch="e1", revision=10**6), "INTENT_REASON_AHEAD_OF_SERVER"),
            ):
                watcher = LiteralWatcher(image=pb.IMAGE_MODE_NEVER)
                watcher.cursor = cursor
                with client.stream("WatchChanges", watcher.request()) as stream:
                    error = await stream.error()
                status = rpc_status.from_call(error)  # type: ignore[arg-type]  # its stub wants a Call
                assert error.code().name == "OUT_OF_RANGE"
                assert status is not None
                told = ErrorInfo()
                assert any(detail.Unpack(told) for detail in status.details)
                assert told.reason == reason
