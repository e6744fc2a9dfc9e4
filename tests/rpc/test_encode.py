"""What is joined from ready bytes parses to the same message, and is encoded once."""

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from odds_service.model.change import ChangeKind, EventChange, MarketChange, Reason, SourceChange
from odds_service.model.cursor import Cursor
from odds_service.model.event import Event, EventStatus
from odds_service.model.market import Market, MarketKey, MarketStatus, Outcome
from odds_service.model.snapshot import BookmakerOdds
from odds_service.model.source import SourceState, SourceStatus
from odds_service.wire import encode, wire_fields
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.observations import NOON

TIMES = st.datetimes(timezones=st.just(UTC), min_value=datetime(1900, 1, 1))  # noqa: DTZ001  # naive bounds, as hypothesis wants them
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
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
    wire=st.none(),
)


def expected_market(market: Market) -> pb.Market:
    """Built the ordinary way, field by field."""
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


@given(st.integers(0, 2**64 - 1))
def test_varints_are_protobufs(number: int) -> None:
    assert (
        wire_fields.varint(number) == pb.Cursor(revision=number).SerializeToString()[1:]
        or not number
    )


@given(TIMES)
def test_times_are_exact_to_the_microsecond_both_ways(at: datetime) -> None:
    message = Timestamp()
    message.FromDatetime(at)
    assert wire_fields.timestamp(at) == message
    assert wire_fields.utc_time(message) == at
    assert wire_fields.moment(at) == wire_fields.delimited(message.SerializeToString())


@pytest.mark.parametrize(
    "message",
    [Timestamp(seconds=2**62), Timestamp(seconds=-(2**62)), Timestamp(nanos=-1)],
)
def test_what_is_no_time_is_refused(message: Timestamp) -> None:
    with pytest.raises(ValueError, match="out of range"):
        wire_fields.utc_time(message)


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


def test_each_value_is_encoded_once_and_shares_the_bytes_of_its_parts() -> None:
    before, after = market(1), market(2)
    first = encode.market_wire(before)
    change = MarketChange(
        2, ChangeKind.PRICES, "", "e", "toa", "b", 2, NOON, NOON, before, after
    )  # fmt: skip
    wire = encode.change_wire(change)
    assert encode.change_wire(change) is wire
    assert encode.market_wire(before) is first
    assert after.wire is not None
    odds = BookmakerOdds(2, "e", "toa", "b", NOON, NOON, None, {after.key: after})
    joined = encode.markets_wire(odds)
    polled = replace(odds, confirmed_at=NOON + timedelta(minutes=1))
    assert encode.markets_wire(polled) is joined  # a poll that changes nothing encodes nothing
    assert after.wire in wire
    assert after.wire in joined


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


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (NOON.replace(tzinfo=None), NOON),
        (FIRST.replace(tzinfo=timezone(timedelta(hours=14))), FIRST),
        (LAST.replace(tzinfo=timezone(timedelta(hours=-12))), LAST),
    ],
    ids=["without a zone", "before year 1", "after year 9999"],
)
def test_a_time_that_was_stored_badly_is_encoded_within_what_can_be_told(
    at: datetime, told: datetime
) -> None:
    message = wire_fields.timestamp(at)
    assert wire_fields.utc_time(message) == told
    assert wire_fields.moment(at) == wire_fields.delimited(message.SerializeToString())


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
