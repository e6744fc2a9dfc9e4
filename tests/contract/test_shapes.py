"""The proto's shapes of odds and changes, as seen by a client with stubs alone."""

from datetime import timedelta
from itertools import pairwise

import pytest

from odds_service.model.market import MarketKey
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import timestamp, utc_time
from tests.contract.calling import eventful, everything, history
from tests.support.observations import NOON, Prices, observe, observed_event
from tests.support.odds_builders import Bookkeeping, changes_of, connected, serving

CANONICAL = ("home", "draw", "away", "over", "under", "yes", "no")
OF_MARKETS = (
    pb.CHANGE_KIND_ADDED, pb.CHANGE_KIND_PRICES, pb.CHANGE_KIND_SUSPENDED,
    pb.CHANGE_KIND_RESUMED, pb.CHANGE_KIND_REMOVED,
)  # fmt: skip
OF_EVENTS = (
    pb.CHANGE_KIND_EVENT_ADDED, pb.CHANGE_KIND_EVENT_UPDATED, pb.CHANGE_KIND_EVENT_ENDED,
)  # fmt: skip
Place = tuple[str, str, str, bytes]


async def log_of(seed: int) -> list[pb.Change]:
    async with serving(eventful(seed)) as server:
        with connected(server.address) as client:
            return await history(client)


def place_of(change: pb.Change) -> Place:
    key = change.after.key.SerializeToString(deterministic=True)
    return change.event_id, change.source, change.bookmaker, key


@pytest.mark.parametrize("seed", [5, 6])
async def test_a_change_is_numbered_timed_and_of_something(seed: int) -> None:
    log = await log_of(seed)
    assert [change.revision for change in log] == list(range(1, len(log) + 1))
    times = [utc_time(change.detected_at) for change in log]
    assert times == sorted(times)
    captures: dict[object, int] = {}
    for change in log:
        assert change.source == "toa"
        assert utc_time(change.observed_at) <= utc_time(change.detected_at)
        assert change.conflated_count == 0
        assert not change.suspended_meanwhile
        if change.kind in OF_MARKETS:
            assert change.event_id
            assert change.bookmaker
            assert change.HasField("after")
            assert not change.HasField("event")
            capture = change.event_id, change.bookmaker, utc_time(change.detected_at)
            assert change.snapshot_id == captures.setdefault(capture, change.revision)
        else:
            assert change.kind in OF_EVENTS
            assert change.event.id == change.event_id
            assert not change.bookmaker
            assert not change.HasField("after")
    kinds = {change.kind for change in log}
    assert kinds >= {*OF_MARKETS, *OF_EVENTS}
    assert all(kind <= 5 for kind in OF_MARKETS)
    assert all(6 <= kind <= 8 for kind in OF_EVENTS)
    assert 9 <= pb.CHANGE_KIND_SOURCE_UP < pb.CHANGE_KIND_SOURCE_DOWN <= 11


@pytest.mark.parametrize("seed", [5, 6])
async def test_a_change_of_a_market_says_what_it_was_and_what_it_is(seed: int) -> None:
    held: dict[Place, pb.Market] = {}
    live: set[str] = set()
    for change in await log_of(seed):
        if change.kind == pb.CHANGE_KIND_EVENT_ADDED:
            assert change.event_id not in live
            live.add(change.event_id)
        elif change.kind == pb.CHANGE_KIND_EVENT_ENDED:
            assert change.event.status == pb.EVENT_STATUS_ENDED
            live.remove(change.event_id)
            held = {place: market for place, market in held.items() if place[0] in live}
        if change.kind not in OF_MARKETS:
            continue
        assert change.event_id in live  # the event itself comes first
        before = held.pop(place_of(change), None)
        assert change.HasField("before") is (before is not None)
        assert before is None or change.before == before
        after = change.after
        assert after.revision == change.revision
        if change.kind == pb.CHANGE_KIND_REMOVED:
            assert before is not None
            assert (after.status, len(after.outcomes)) == (pb.MARKET_STATUS_REMOVED, 0)
            continue
        held[place_of(change)] = after
        assert after.changed_at == change.observed_at
        keys = [outcome.key for outcome in after.outcomes]
        assert keys
        assert len(keys) == len(set(keys))
        assert keys == sorted(
            keys, key=lambda key: (CANONICAL.index(key) if key in CANONICAL else 9, key)
        )
        statuses = (None if before is None else before.status, after.status)
        if change.kind == pb.CHANGE_KIND_ADDED:
            assert before is None
        elif change.kind == pb.CHANGE_KIND_PRICES:
            assert before is not None
            assert statuses[0] == statuses[1]
            assert list(before.outcomes) != list(after.outcomes)
        elif change.kind == pb.CHANGE_KIND_SUSPENDED:
            assert statuses == (pb.MARKET_STATUS_OPEN, pb.MARKET_STATUS_SUSPENDED)
        else:
            assert statuses == (pb.MARKET_STATUS_SUSPENDED, pb.MARKET_STATUS_OPEN)


@pytest.mark.parametrize("seed", [5, 6])
async def test_the_changes_alone_give_the_odds(seed: int) -> None:
    book = eventful(seed)
    events: dict[str, pb.Event] = {}
    held: dict[Place, pb.Market] = {}
    async with serving(book) as server:
        with connected(server.address) as client:
            for change in await history(client):
                if change.kind in OF_EVENTS:
                    events[change.event_id] = change.event
                if change.kind == pb.CHANGE_KIND_EVENT_ENDED:
                    del events[change.event_id]
                    held = {place: m for place, m in held.items() if place[0] in events}
                if change.kind in OF_MARKETS:
                    held[place_of(change)] = change.after
            reply = await client.call("GetOdds", pb.GetOddsRequest())
    assert {entry.event.id: entry.event for entry in reply.events} == events
    assert {
        (entry.event.id, odds.source, odds.bookmaker, m.key.SerializeToString(deterministic=True)):
        m for entry in reply.events for odds in entry.bookmakers for m in odds.markets
    } == {p: m for p, m in held.items() if m.status != pb.MARKET_STATUS_REMOVED}  # fmt: skip


async def test_a_moved_line_is_two_changes_side_by_side_in_one_message() -> None:
    totals, moved = MarketKey("totals", "2.5"), MarketKey("totals", "3")
    book = Bookkeeping()
    for minute, key in enumerate((totals, moved, totals)):
        book.see(observe([observed_event("e", {"b": {key: {"over": 1.9, "under": 1.9}}})], minute))
    async with serving(book) as server:
        with connected(server.address) as client:
            pages = await everything(client, "GetHistory", pb.GetHistoryRequest())
    changes = [change for page in pages for change in page.changes]
    pairs = 0
    for gone, come in pairwise(changes):
        if gone.kind == pb.CHANGE_KIND_REMOVED and gone.reason == "line_moved":
            assert (come.kind, come.reason) == (pb.CHANGE_KIND_ADDED, "line_moved")
            assert gone.other_line == come.after.key.line
            assert come.other_line == gone.after.key.line
            assert any({gone.revision, come.revision} <= {c.revision for c in page.changes}
                       for page in pages)  # fmt: skip
            pairs += 1
    assert pairs == 2


async def test_no_line_is_another_market_than_line_0_and_no_price_is_no_0() -> None:
    h2h, none, zero = MarketKey("h2h"), MarketKey("spreads"), MarketKey("spreads", "0")
    player = MarketKey("player_points", "7.5", "A Player")
    shown: dict[str, dict[MarketKey, Prices]] = {
        "b": {
            h2h: {"home": 2.5, "draw": None, "away": 2.5},
            none: {"home": 1.5, "away": 2.5},
            zero: {"home": 1.6, "away": 2.4},
            MarketKey("spreads", "-3.5"): {"home": 1.9, "away": 1.9},
            player: {"over": 1.9, "under": 1.9},
        }
    }
    book = Bookkeeping()
    book.see(observe([observed_event("e", shown)]))
    async with serving(book) as server:
        with connected(server.address) as client:
            (entry,) = (await client.call("GetOdds", pb.GetOddsRequest())).events
    (odds,) = entry.bookmakers
    lines = [(m.key.market, m.key.line if m.key.HasField("line") else None, m.key.participant)
             for m in odds.markets]  # fmt: skip
    assert sorted(map(str, lines)) == sorted(map(str, [
        ("h2h", None, ""), ("spreads", None, ""), ("spreads", 0.0, ""), ("spreads", -3.5, ""),
        ("player_points", 7.5, "A Player"),
    ]))  # fmt: skip
    (three,) = [m for m in odds.markets if m.key.market == "h2h"]
    assert [(o.key, o.name, o.active) for o in three.outcomes] == [
        ("home", "Home", True), ("draw", "Draw", False), ("away", "Away", True),
    ]  # fmt: skip
    assert [o.HasField("price") for o in three.outcomes] == [True, False, True]
    assert three.status == pb.MARKET_STATUS_OPEN
    assert not three.HasField("source_updated_at")
    assert not odds.HasField("source_updated_at")
    event = entry.event
    assert (event.sport, event.competition, event.home, event.away) == (
        "soccer", "soccer_epl", "Home", "Away",
    )  # fmt: skip
    assert "Home" in event.name
    assert "Away" in event.name
    assert dict(event.source_ids) == {"toa": "e"}
    assert event.status == pb.EVENT_STATUS_SCHEDULED
    assert event.merged_into == ""


async def test_an_event_enters_and_leaves_a_filter_under_the_number_of_its_own_change() -> None:
    book = Bookkeeping()
    start = NOON + timedelta(minutes=5)
    shown = {"b": {MarketKey("h2h"): {"home": 1.5, "away": 2.5}}}

    def see(minute: float) -> None:
        book.see(observe([observed_event("e", shown, start_time=start)], minute))

    see(0)
    async with serving(book) as server:
        with connected(server.address) as client:
            watched = {
                name: client.watch(filter=pb.Filter(in_play=in_play))
                for name, in_play in (("in", True), ("out", False))
            }
            with watched["in"] as entering, watched["out"] as leaving:
                await entering.until("image_end")
                await leaving.until("image_end")
                see(10)  # it has started
                came = changes_of([await entering.next()])
                went = changes_of([await leaving.next()])
    moved = book.log[-1].revision
    assert {change.revision for change in (*came, *went)} == {moved}
    event, market = came
    assert (event.kind, event.event.id) == (pb.CHANGE_KIND_EVENT_ADDED, "e")
    assert (market.kind, market.reason) == (pb.CHANGE_KIND_ADDED, "entered_filter")
    assert not market.HasField("before")
    assert market.after.revision < moved  # the odds are older than their arrival
    gone, event = went
    assert (gone.kind, gone.reason) == (pb.CHANGE_KIND_REMOVED, "left_filter")
    assert (event.kind, event.reason) == (pb.CHANGE_KIND_EVENT_UPDATED, "left_filter")


async def test_filters_join_fields_by_and_and_values_by_or() -> None:
    book = Bookkeeping(sources=("toa", "x"))
    h2h, totals = MarketKey("h2h"), MarketKey("totals", "2.5")
    shown = {name: {h2h: {"home": 1.5}, totals: {"over": 1.9}} for name in ("a", "b", "c")}
    hours = {"e1": 1, "e2": 2, "e3": 3}
    book.see(observe([observed_event(e, shown, start_time=NOON + timedelta(hours=h))
                      for e, h in hours.items()]))  # fmt: skip
    async with serving(book) as server:
        with connected(server.address) as client:

            async def ask(**fields: object) -> set[tuple[str, str, str]]:
                request = pb.GetOddsRequest(filter=pb.Filter(**fields))  # type: ignore[arg-type]  # fields by name
                reply = await client.call("GetOdds", request)
                listing = pb.ListEventsRequest(filter=request.filter)
                rows = (await client.call("ListEvents", listing)).events
                # One rule for all calls: they select the same events and bookmakers.
                assert [(e.event.id, [(b.source, b.bookmaker) for b in e.bookmakers])
                        for e in reply.events] == [
                    (r.event.id, [(b.source, b.bookmaker) for b in r.bookmakers]) for r in rows
                ]  # fmt: skip
                return {(e.event.id, b.bookmaker, m.key.market)
                        for e in reply.events for b in e.bookmakers for m in b.markets}  # fmt: skip

            whole = {(e, b, m) for e in hours for b in "abc" for m in ("h2h", "totals")}
            assert await ask() == whole
            assert await ask(bookmakers=["a", "b"], markets=["h2h", "nothing yet"]) == {
                (e, b, m) for e, b, m in whole if b in "ab" and m == "h2h"
            }
            assert await ask(sports=["chess", "soccer"], sources=["x"]) == set()
            at = {name: timestamp(NOON + timedelta(hours=h)) for name, h in hours.items()}
            assert {e for e, _, _ in await ask(start_from=at["e2"])} == {"e2", "e3"}
            assert {e for e, _, _ in await ask(start_to=at["e2"])} == {"e1"}
            assert await ask(in_play=False) == whole
            assert await ask(in_play=True) == set()
