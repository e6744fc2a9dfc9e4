"""Joined bytes parse to the same message and are encoded once."""

import gc
import math
import tracemalloc
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from odds_service.model.change import (
    Change,
    ChangeKind,
    EventChange,
    MarketChange,
    Reason,
    SourceChange,
)
from odds_service.model.cursor import Cursor
from odds_service.model.event import Event, EventStatus
from odds_service.model.market import Market, MarketKey, Markets, MarketStatus, Outcome
from odds_service.model.snapshot import BookmakerOdds
from odds_service.model.source import SourceState, SourceStatus
from odds_service.wire import encode, wire_fields
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.observations import NOON, Book, observe, offered

TIMES = st.datetimes(timezones=st.just(UTC), min_value=datetime(1900, 1, 1))  # noqa: DTZ001  # naive bounds, as hypothesis wants them
NAMES = st.text(max_size=8)
LINES = st.sampled_from(["", "0", "2.5", "-3.5", "100"])
PRICES = st.none() | st.floats(min_value=1.0, max_value=1e6, exclude_min=True)
MARKETS = st.builds(
    Market,
    key=st.builds(MarketKey, NAMES, LINES, NAMES),
    status=st.sampled_from(MarketStatus),
    outcomes=st.lists(st.builds(Outcome, NAMES, NAMES, PRICES, st.booleans()), max_size=4).map(
        tuple
    ),
    revision=st.integers(0, 2**64 - 1),
    changed_at=TIMES,
    source_updated_at=st.none() | TIMES,
)


def expected_market(market: Market) -> pb.Market:
    """Return the message of a market, built field by field."""
    message = pb.Market(
        key=pb.MarketKey(market=market.key.market, participant=market.key.participant),
        status=pb.MarketStatus.ValueType(market.status),
        revision=market.revision,
    )
    if market.key.line:
        message.key.line = float(market.key.line)
    for outcome in market.outcomes:
        shown = message.outcomes.add(key=outcome.key, name=outcome.name, active=outcome.active)
        if outcome.price is not None:
            shown.price = outcome.price
    message.changed_at.FromDatetime(market.changed_at)
    if market.source_updated_at is not None:
        message.source_updated_at.FromDatetime(market.source_updated_at)
    return message


@given(MARKETS)
def test_a_market_parses_to_what_it_is(market: Market) -> None:
    parsed = pb.BookmakerOdds.FromString(encode.join_markets([market]))
    assert list(parsed.markets) == [expected_market(market)]


@given(MARKETS, st.none() | MARKETS, LINES)
def test_a_change_parses_to_what_it_is(after: Market, before: Market | None, other: str) -> None:
    change = MarketChange(
        7, ChangeKind.ADDED, Reason.LINE_MOVED, "e", "toa", "b", 5, NOON,
        NOON + timedelta(seconds=1), before, after, other or None,
    )  # fmt: skip
    (parsed,) = pb.Changes.FromString(encode.change_wire(change)).changes
    assert (parsed.revision, parsed.kind, parsed.reason) == (7, pb.CHANGE_KIND_ADDED, "line_moved")
    assert (parsed.event_id, parsed.source, parsed.bookmaker) == ("e", "toa", "b")
    assert parsed.snapshot_id == 5
    assert parsed.after == expected_market(after)
    assert parsed.HasField("before") is (before is not None)
    if before is not None:
        assert parsed.before == expected_market(before)
    assert parsed.HasField("other_line") is bool(other)
    assert parsed.other_line == float(other or 0)
    assert wire_fields.utc_time(parsed.observed_at) == NOON
    assert wire_fields.utc_time(parsed.detected_at) == NOON + timedelta(seconds=1)


def market(revision: int = 1) -> Market:
    outcomes = (Outcome("home", "H", 1.5), Outcome("away", "A", 2.5))
    return Market(MarketKey("h2h"), MarketStatus.OPEN, outcomes, revision, NOON)


def change_of(before: Market | None, after: Market) -> MarketChange:
    return MarketChange(
        after.revision, ChangeKind.PRICES, "", "e", "toa", "b", after.revision, NOON, NOON, before,
        after,
    )  # fmt: skip


def odds_of(*markets: Market) -> BookmakerOdds:
    shown = Markets((each.key, each) for each in markets)
    return BookmakerOdds(2, "e", "toa", "b", NOON, NOON, None, shown)


def test_each_value_is_encoded_once_and_shares_the_bytes_of_its_parts() -> None:
    before, after = market(1), market(2)
    first = encode.market_wire(before)
    change = change_of(before, after)
    wire = encode.change_wire(change)
    assert encode.change_wire(change) is wire
    assert encode.market_wire(before) is first
    second = encode.market_wire(after)
    joined = encode.markets_wire(odds_of(after))
    assert first in wire
    assert second in wire
    assert second in joined
    assert encode.market_wire(after) is second


def test_a_poll_that_changes_nothing_encodes_nothing() -> None:
    odds = odds_of(market())
    joined = encode.markets_wire(odds)
    polled = replace(odds, confirmed_at=NOON + timedelta(minutes=1))
    assert encode.markets_wire(polled) is joined


def test_detect_hands_on_the_joined_markets_of_what_a_poll_confirms() -> None:
    book = Book()
    offer = {"e1": {"b": {MarketKey("h2h"): {"home": 1.5, "away": 2.5}}}}
    book.see(observe(offered(offer), 0))
    (first,) = book.events["e1"].bookmakers.values()
    joined = encode.markets_wire(first)
    book.see(observe(offered(offer), 1))
    (polled,) = book.events["e1"].bookmakers.values()
    assert polled is not first
    assert encode.markets_wire(polled) is joined


def test_the_markets_of_any_mapping_are_joined() -> None:
    one = market()
    plain = replace(odds_of(one), markets={one.key: one})
    assert encode.markets_wire(plain) == encode.markets_wire(odds_of(one))


CHANGES = [
    change_of(None, Market(MarketKey("h2h"), MarketStatus.OPEN, (), 1, NOON)),
    EventChange(
        3, ChangeKind.EVENT_ENDED, Reason.EVENT_ENDED, "e", "toa", NOON, NOON, None,
        Event(id="e", sport="s", competition="c", home="h", away="a", start_time=NOON),
    ),
    SourceChange(
        4, ChangeKind.SOURCE_DOWN, "timeout", "toa", NOON, NOON, None,
        SourceState(source="toa", interval_s=60),
    ),
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: type(change).__name__)
def test_encoding_a_change_leaves_its_value_alone(change: Change) -> None:
    fresh = replace(change)
    shown = repr(fresh)
    wire = encode.change_wire(change)
    assert change == fresh
    assert hash_of(change) == hash_of(fresh)
    assert repr(change) == shown
    assert encode.change_wire(fresh) == wire
    moved = replace(change, revision=99)
    (parsed,) = pb.Changes.FromString(encode.change_wire(moved)).changes
    assert parsed.revision == 99


def hash_of(change: Change) -> int | None:
    """Return the hash of a change, None for an event's, which holds dictionaries."""
    try:
        return hash(change)
    except TypeError:
        return None


@given(MARKETS, st.integers(0, 2**64 - 1))
def test_encoding_a_market_leaves_its_value_alone(encoded: Market, revision: int) -> None:
    fresh = replace(encoded)
    shown = repr(fresh)
    wire = encode.market_wire(encoded)
    assert encoded == fresh
    assert hash(encoded) == hash(fresh)
    assert repr(encoded) == shown
    assert msgspec.json.encode(encoded) == msgspec.json.encode(fresh)
    assert encode.market_wire(fresh) == wire
    moved = replace(encoded, revision=revision)
    parsed = pb.BookmakerOdds.FromString(encode.join_markets([moved]))
    assert list(parsed.markets) == [expected_market(moved)]


def test_replaced_markets_never_show_the_bytes_of_those_before() -> None:
    odds = odds_of(market(1))
    encode.markets_wire(odds)
    moved = replace(odds, markets=Markets({MarketKey("h2h"): market(7)}))
    parsed = pb.BookmakerOdds.FromString(encode.markets_wire(moved))
    assert [each.revision for each in parsed.markets] == [7]
    copied = Markets(odds.markets)
    copied[MarketKey("h2h")] = market(8)
    parsed = pb.BookmakerOdds.FromString(encode.markets_wire(replace(odds, markets=copied)))
    assert [each.revision for each in parsed.markets] == [8]
    assert odds == odds_of(market(1))
    assert repr(odds) == repr(odds_of(market(1)))


def test_bytes_go_with_the_value_that_they_encode() -> None:
    """Only the values hold their bytes, so a thousand values leave no memory behind."""
    gc.collect()
    tracemalloc.start()
    try:
        for revision in range(2):
            encode.change_wire(change_of(market(revision), market(revision + 1)))
        before = tracemalloc.get_traced_memory()[0]
        for revision in range(1_000):
            encode.change_wire(change_of(market(revision), market(revision + 1)))
        left = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert left < 20_000  # their bytes alone are 250 kB


@pytest.mark.parametrize(("durable", "shown"), [(4, 0), (5, 5), (6, 5)])
def test_a_snapshot_has_its_id_once_it_is_stored(durable: int, shown: int) -> None:
    odds = BookmakerOdds(5, "e", "toa", "b", NOON, NOON, NOON, {})
    parsed = pb.BookmakerOdds.FromString(encode.bookmaker_head(odds, durable, True))
    assert parsed.snapshot_id == shown
    assert parsed.stale
    assert wire_fields.utc_time(parsed.source_updated_at) == NOON
    assert not pb.BookmakerOdds.FromString(encode.bookmaker_head(odds, durable, False)).stale


def event(name: str = "Home") -> Event:
    return Event(
        id="e", sport="soccer", competition="soccer_epl", home=name, away="Away",
        start_time=NOON, status=EventStatus.IN_PLAY, source_ids={"toa": "1"},
    )  # fmt: skip


def test_an_events_bytes_are_kept_until_it_is_another_value() -> None:
    wires = encode.Wires()
    first = wires.event(event())
    assert wires.event(event()) is first
    other = wires.event(event("Home FC"))
    assert pb.EventOdds.FromString(other).event == encode.event_message(event("Home FC"))
    assert pb.EventOdds.FromString(first).event.source_ids == {"toa": "1"}


def test_the_end_of_a_reply_is_its_message_and_a_sources_bytes_are_kept_until_it_moves() -> None:
    wires = encode.Wires()
    up = SourceState(
        source="toa", interval_s=5.0, status=SourceStatus.UP, last_success_at=NOON, quota_left=0
    )
    down = replace(up, status=SourceStatus.DOWN, reason="http_503", consecutive_failures=5)
    cursor = Cursor("epoch", 1_000_000)
    assert wires.source(up) is wires.source(up)
    for state in (up, down, up):
        for durable in (0, 300):
            reply = wires.source(state) + encode.reply_end(cursor, durable)
            assert pb.GetOddsResponse.FromString(reply) == pb.GetOddsResponse(
                sources=[encode.source_message(state)],
                cursor=encode.cursor_message(cursor),
                durable_revision=durable,
            )


def test_changes_of_events_and_sources_carry_them_whole() -> None:
    ended = EventChange(
        3, ChangeKind.EVENT_ENDED, Reason.EVENT_ENDED, "e", "toa", NOON, NOON, event(), event()
    )
    (parsed,) = pb.Changes.FromString(encode.change_wire(ended)).changes
    assert parsed.event == encode.event_message(event())
    state = SourceState(
        source="toa", interval_s=60, status=SourceStatus.DOWN, quota_left=0, reason="timeout"
    )
    down = SourceChange(4, ChangeKind.SOURCE_DOWN, "timeout", "toa", NOON, NOON, None, state)
    (parsed,) = pb.Changes.FromString(encode.change_wire(down)).changes
    assert parsed.source_state.state == pb.SOURCE_HEALTH_DOWN
    assert parsed.source_state.HasField("quota_left")
    assert not parsed.source_state.HasField("last_success_at")


def test_the_field_of_changes_is_one_in_all_messages_that_take_ready_bytes() -> None:
    assert pb.Changes.CHANGES_FIELD_NUMBER == pb.HistoryPage.CHANGES_FIELD_NUMBER


def test_the_models_numbers_are_the_contracts() -> None:
    for mine, theirs in (
        (ChangeKind, pb.ChangeKind),
        (MarketStatus, pb.MarketStatus),
        (EventStatus, pb.EventStatus),
    ):
        prefix = "".join("_" + c if c.isupper() else c for c in mine.__name__).upper()[1:]
        for member in mine:
            assert theirs.Value(f"{prefix}_{member.name}") == member.value
    for status in SourceStatus:
        assert pb.SourceHealth.Value(f"SOURCE_HEALTH_{status.name}") == status.value


def test_a_market_that_was_stored_badly_is_encoded() -> None:
    odd = Market(
        MarketKey("m", "two"), MarketStatus.OPEN, (Outcome("half \ud83d", "\udc00", 2.0),), 1, NOON
    )
    change = MarketChange(
        1, ChangeKind.ADDED, "", "e", "toa", "b", 0, NOON, NOON, None, odd, "three"
    )
    decoded = pb.Change.FromString(encode.change_payload(change))
    assert math.isnan(decoded.after.key.line)
    assert math.isnan(decoded.other_line)
    assert [(o.key, o.name) for o in decoded.after.outcomes] == [("half ?", "?")]
