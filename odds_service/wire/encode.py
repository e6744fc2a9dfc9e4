"""Model values as protobuf bytes, each encoded once while it is recent.

The bytes of a market or a change are kept in the value's own slot (model.memo), those of a
bookmaker's joined markets in the slots of `Markets`, so they live as long as the value. Changes
that have grown old in the log release theirs, and are encoded anew for a reader that is far behind.
Two threads that fill a slot at once write equal bytes. Times that move at every poll are not part
of the kept bytes.
"""

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from odds_service.model.change import Change, EventChange, MarketChange
from odds_service.model.cursor import Cursor
from odds_service.model.event import Event
from odds_service.model.market import ChosenMarkets, Market, MarketKey, Markets
from odds_service.model.memo import keep
from odds_service.model.snapshot import BookmakerOdds, EventSource
from odds_service.model.source import SourceState
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import (
    bytes_tag,
    delimited,
    double_tag,
    moment,
    number,
    number_tag,
    pack_double,
    text,
    timestamp,
    varint,
)

_TRUE: Final = b"\x01"
_MOST_TYPES: Final = 64  # longer filters are not kept with each bookmaker's markets
_EVENTS_REMEMBERED: Final = 20_000  # more than have odds at any time; about 300 bytes each

_OUTCOME_KEY: Final = bytes_tag(pb.Outcome.KEY_FIELD_NUMBER)
_OUTCOME_NAME: Final = bytes_tag(pb.Outcome.NAME_FIELD_NUMBER)
OUTCOME_PRICE: Final = double_tag(pb.Outcome.PRICE_FIELD_NUMBER)
OUTCOME_ACTIVE: Final = number_tag(pb.Outcome.ACTIVE_FIELD_NUMBER) + _TRUE
AFTER_PRICE: Final = OUTCOME_ACTIVE
_PRICE_BYTES: Final = 8

_MARKET_KEY: Final = bytes_tag(pb.Market.KEY_FIELD_NUMBER)
MARKET_STATUS: Final = number_tag(pb.Market.STATUS_FIELD_NUMBER)
MARKET_OUTCOMES: Final = bytes_tag(pb.Market.OUTCOMES_FIELD_NUMBER)
MARKET_REVISION: Final = number_tag(pb.Market.REVISION_FIELD_NUMBER)
MARKET_CHANGED: Final = bytes_tag(pb.Market.CHANGED_AT_FIELD_NUMBER)
MARKET_UPDATED: Final = bytes_tag(pb.Market.SOURCE_UPDATED_AT_FIELD_NUMBER)

_ODDS_MARKETS: Final = bytes_tag(pb.BookmakerOdds.MARKETS_FIELD_NUMBER)
_ODDS_SNAPSHOT: Final = number_tag(pb.BookmakerOdds.SNAPSHOT_ID_FIELD_NUMBER)
_ODDS_OBSERVED: Final = bytes_tag(pb.BookmakerOdds.OBSERVED_AT_FIELD_NUMBER)
_ODDS_CONFIRMED: Final = bytes_tag(pb.BookmakerOdds.CONFIRMED_AT_FIELD_NUMBER)
_ODDS_UPDATED: Final = bytes_tag(pb.BookmakerOdds.SOURCE_UPDATED_AT_FIELD_NUMBER)
_ODDS_STALE: Final = number_tag(pb.BookmakerOdds.STALE_FIELD_NUMBER) + _TRUE

CHANGE_REVISION: Final = number_tag(pb.Change.REVISION_FIELD_NUMBER)
CHANGE_KIND: Final = number_tag(pb.Change.KIND_FIELD_NUMBER)
_CHANGE_EVENT: Final = bytes_tag(pb.Change.EVENT_ID_FIELD_NUMBER)
_CHANGE_BOOKMAKER: Final = bytes_tag(pb.Change.BOOKMAKER_FIELD_NUMBER)
_CHANGE_SOURCE: Final = bytes_tag(pb.Change.SOURCE_FIELD_NUMBER)
CHANGE_AFTER: Final = bytes_tag(pb.Change.AFTER_FIELD_NUMBER)
CHANGE_BEFORE: Final = bytes_tag(pb.Change.BEFORE_FIELD_NUMBER)
CHANGE_OBSERVED: Final = bytes_tag(pb.Change.OBSERVED_AT_FIELD_NUMBER)
CHANGE_DETECTED: Final = bytes_tag(pb.Change.DETECTED_AT_FIELD_NUMBER)
CHANGE_REASON: Final = bytes_tag(pb.Change.REASON_FIELD_NUMBER)
CHANGE_OTHER_LINE: Final = double_tag(pb.Change.OTHER_LINE_FIELD_NUMBER)
CHANGE_SNAPSHOT: Final = number_tag(pb.Change.SNAPSHOT_ID_FIELD_NUMBER)
_CHANGE_CONFLATED: Final = number_tag(pb.Change.CONFLATED_COUNT_FIELD_NUMBER)
_CHANGE_MEANWHILE: Final = number_tag(pb.Change.SUSPENDED_MEANWHILE_FIELD_NUMBER) + _TRUE

# The field has the same number in Changes and HistoryPage; a test checks this.
CHANGES: Final = bytes_tag(pb.Changes.CHANGES_FIELD_NUMBER)

_CURSOR_EPOCH: Final = bytes_tag(pb.Cursor.EPOCH_FIELD_NUMBER)
_CURSOR_REVISION: Final = number_tag(pb.Cursor.REVISION_FIELD_NUMBER)
_REPLY_EVENTS: Final = bytes_tag(pb.GetOddsResponse.EVENTS_FIELD_NUMBER)
_REPLY_CURSOR: Final = bytes_tag(pb.GetOddsResponse.CURSOR_FIELD_NUMBER)
_REPLY_DURABLE: Final = number_tag(pb.GetOddsResponse.DURABLE_REVISION_FIELD_NUMBER)
_REPLY_SOURCES: Final = bytes_tag(pb.GetOddsResponse.SOURCES_FIELD_NUMBER)

_EVENT_ODDS_EVENT: Final = bytes_tag(pb.EventOdds.EVENT_FIELD_NUMBER)
_EVENT_ODDS_BOOKMAKERS: Final = bytes_tag(pb.EventOdds.BOOKMAKERS_FIELD_NUMBER)


@lru_cache(maxsize=65_536)  # some thousand names and lines, shared by all markets
def outcome_names(key: str, name: str) -> bytes:
    return text(_OUTCOME_KEY, key) + text(_OUTCOME_NAME, name)


@lru_cache(maxsize=65_536)
def before_price(key: str, name: str) -> bytes:
    """Return the bytes before the price of an active outcome; AFTER_PRICE follows the price."""
    names = outcome_names(key, name) + OUTCOME_PRICE
    return MARKET_OUTCOMES + varint(len(names) + _PRICE_BYTES + len(AFTER_PRICE)) + names


@lru_cache(maxsize=65_536)
def market_key(key: MarketKey) -> bytes:
    return _MARKET_KEY + delimited(key_message(key).SerializeToString())


def key_message(key: MarketKey) -> pb.MarketKey:
    """Return a market's identity as a message, with its line as a number."""
    return pb.MarketKey(
        market=key.market,
        line=line_number(key.line) if key.line else None,
        participant=key.participant,
    )


def line_number(text: str) -> float:
    """Return a line as a number; NaN for other text, which an older version may have stored."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def market_wire(market: Market) -> bytes:
    """Return a market as bytes with their length in front; encoded once unless it is released."""
    kept: bytes | None = getattr(market, "encoded", None)
    if kept:
        return kept
    wire = _encode_market(market)
    if kept is None:
        keep(market, wire)
    return wire


def _encode_market(market: Market) -> bytes:
    pieces = [market_key(market.key), MARKET_STATUS, varint(market.status)]
    for outcome in market.outcomes:
        price = outcome.price
        if price is not None and outcome.active:
            pieces += (before_price(outcome.key, outcome.name), pack_double(price), AFTER_PRICE)
            continue
        pieces.append(odd_outcome(outcome.key, outcome.name, price, outcome.active))
    pieces.append(number(MARKET_REVISION, market.revision))
    pieces += (MARKET_CHANGED, moment(market.changed_at))
    if market.source_updated_at is not None:
        pieces += (MARKET_UPDATED, moment(market.source_updated_at))
    return delimited(b"".join(pieces))


def odd_outcome(key: str, name: str, price: float | None, active: bool) -> bytes:
    """Return an outcome as a field of Market, also one without a price or that is not active."""
    encoded = outcome_names(key, name)
    if price is not None:
        encoded += OUTCOME_PRICE + pack_double(price)
    if active:
        encoded += OUTCOME_ACTIVE
    return MARKET_OUTCOMES + varint(len(encoded)) + encoded


def markets_wire(odds: BookmakerOdds) -> bytes:
    """Return all of a bookmaker's markets as fields of BookmakerOdds.

    A `Markets` keeps the joined bytes; for any other mapping each call joins them anew.
    """
    markets = odds.markets
    joined: bytes | None = getattr(markets, "encoded", None)
    if joined is None:
        joined = join_markets(markets.values())
        if isinstance(markets, Markets):
            markets.encoded = joined
    return joined


def chosen_wire(odds: BookmakerOdds, types: frozenset[str]) -> tuple[bytes, int]:
    """Return a bookmaker's markets of some types as fields of BookmakerOdds, and their number.

    A `Markets` keeps the bytes for the types that were asked for last.
    """
    markets = odds.markets
    kept: ChosenMarkets | None = getattr(markets, "chosen", None)
    if kept is not None and kept.types == types:
        return kept.joined, kept.markets
    wires = [market_wire(market) for key, market in markets.items() if key.market in types]
    joined = _ODDS_MARKETS.join([b"", *wires])
    if isinstance(markets, Markets) and len(types) <= _MOST_TYPES:
        markets.chosen = ChosenMarkets(types, joined, len(wires))
    return joined, len(wires)


def join_markets(markets: Iterable[Market]) -> bytes:
    """Return markets as fields of BookmakerOdds."""
    return _ODDS_MARKETS.join([b"", *map(market_wire, markets)])


@lru_cache(maxsize=16_384)
def _bookmaker_names(bookmaker: str, source: str) -> bytes:
    return pb.BookmakerOdds(bookmaker=bookmaker, source=source).SerializeToString()


def look_fields(odds: BookmakerOdds) -> bytes:
    """Return the times of the last look as fields of BookmakerOdds."""
    return _ODDS_OBSERVED + moment(odds.observed_at) + _ODDS_CONFIRMED + moment(odds.confirmed_at)


def bookmaker_head(
    odds: BookmakerOdds, durable_revision: int, stale: bool, look: bytes = b""
) -> bytes:
    """Return all fields of BookmakerOdds but its markets; any poll may change them.

    Args:
        odds: The bookmaker's odds.
        durable_revision: The durable revision; a later snapshot is not stored yet and gets id 0.
        stale: Whether the odds are not live.
        look: The look_fields() of odds with the same times; made if empty.
    """
    stored = odds.snapshot_id if odds.snapshot_id <= durable_revision else 0
    head = (
        _bookmaker_names(odds.bookmaker, odds.source)
        + number(_ODDS_SNAPSHOT, stored)
        + (look or look_fields(odds))
    )
    if odds.source_updated_at is not None:
        head += _ODDS_UPDATED + moment(odds.source_updated_at)
    return head + _ODDS_STALE if stale else head


def bookmaker_field(head: bytes, markets: bytes) -> bytes:
    """Return one bookmaker as a field of EventOdds."""
    return bookmaker_beginning(head, markets) + markets


def bookmaker_beginning(head: bytes, markets: bytes) -> bytes:
    """Return the bytes of bookmaker_field() that precede the markets."""
    return _EVENT_ODDS_BOOKMAKERS + varint(len(head) + len(markets)) + head


def event_message(event: Event) -> pb.Event:
    """Return an event as a message."""
    return pb.Event(
        id=event.id,
        sport=event.sport,
        competition=event.competition,
        home=event.home,
        away=event.away,
        start_time=timestamp(event.start_time),
        status=pb.EventStatus.ValueType(event.status),
        name=event.name,
        source_ids=event.source_ids,
        merged_into=event.merged_into,
        told={source: pb.EventStatus.ValueType(status) for source, status in event.told.items()},
        draws_lost=[
            pb.DrawLost(source=source, bookmaker=bookmaker, market=market)
            for source, bookmaker, market in event.draws_lost
        ],
    )


def event_field(event: Event) -> bytes:
    """Return an event as a field of EventOdds."""
    return _EVENT_ODDS_EVENT + delimited(event_message(event).SerializeToString())


def match_message(carried: EventSource) -> pb.SourceMatch:
    """Return a source's view of an event, and the reason for the match, as a message."""
    message = pb.SourceMatch(
        source=carried.source,
        source_event_id=carried.source_event_id,
        score=carried.match.score,
        reason=carried.match.reason,
    )
    shown = carried.shown
    if shown is not None:
        message.home, message.away = shown.home, shown.away
        message.competition = shown.competition
        message.start_time.CopyFrom(timestamp(shown.start_time))
    return message


class Wires:
    """A cache of the bytes of events and sources, valid while their values stay the same."""

    def __init__(self) -> None:
        self._events: dict[str, tuple[Event, bytes]] = {}
        self._sources: dict[str, tuple[SourceState, bytes]] = {}

    def event(self, event: Event) -> bytes:
        """Return an event as a field of EventOdds, encoded once while it stays the same."""
        kept = self._events.get(event.id)
        if kept is not None and (kept[0] is event or kept[0] == event):
            return kept[1]
        if len(self._events) >= _EVENTS_REMEMBERED:
            self._events.clear()
        wire = event_field(event)
        self._events[event.id] = event, wire
        return wire

    def source(self, state: SourceState) -> bytes:
        """Return a source's state as a field of GetOddsResponse."""
        kept = self._sources.get(state.source)
        if kept is not None and kept[0] is state:
            return kept[1]
        wire = _REPLY_SOURCES + delimited(source_message(state).SerializeToString())
        self._sources[state.source] = state, wire
        return wire


def source_message(state: SourceState) -> pb.SourceState:
    """Return a source's state as a message."""
    success = state.last_success_at
    return pb.SourceState(
        source=state.source,
        state=pb.SourceHealth.ValueType(state.status),
        last_success_at=None if success is None else timestamp(success),
        consecutive_failures=state.consecutive_failures,
        reason=state.reason,
        detail=state.detail,
        quota_left=state.quota_left,
    )


def reply_event(size: int) -> bytes:
    """Return the bytes that precede an EventOdds of so many bytes in GetOddsResponse."""
    return _REPLY_EVENTS + varint(size)


def reply_end(cursor: Cursor, durable_revision: int) -> bytes:
    """Return the cursor and the durable revision as fields of GetOddsResponse."""
    at = text(_CURSOR_EPOCH, cursor.epoch) + number(_CURSOR_REVISION, cursor.revision)
    return _REPLY_CURSOR + delimited(at) + number(_REPLY_DURABLE, durable_revision)


def cursor_message(cursor: Cursor) -> pb.Cursor:
    """Return a cursor as a message."""
    return pb.Cursor(epoch=cursor.epoch, revision=cursor.revision)


def change_wire(change: Change) -> bytes:
    """Return a change as a field of Changes or HistoryPage; encoded once unless it is released."""
    try:
        kept = change.encoded  # as cheap as a field when set, unlike getattr() with a default
    except AttributeError:
        wire = CHANGES + delimited(change_payload(change))
        keep(change, wire)
        return wire
    return kept or CHANGES + delimited(change_payload(change))


def conflated_wire(change: Change, count: int, suspended_meanwhile: bool) -> bytes:
    """Return a conflated change as a field of Changes.

    Args:
        change: The net change.
        count: The number of changes folded into it; 0 for an unfolded change.
        suspended_meanwhile: Whether the market was suspended or removed in between.
    """
    if not count:
        return change_wire(change)
    payload = change_payload(change) + number(_CHANGE_CONFLATED, count)
    return CHANGES + delimited(payload + _CHANGE_MEANWHILE if suspended_meanwhile else payload)


@lru_cache(maxsize=65_536)  # a place changes again and again; about 250 bytes each
def change_place(event_id: str, bookmaker: str, source: str) -> bytes:
    return (
        text(_CHANGE_EVENT, event_id)
        + text(_CHANGE_BOOKMAKER, bookmaker)
        + text(_CHANGE_SOURCE, source)
    )


def change_payload(change: Change) -> bytes:
    """Return the bytes of a Change message."""
    if not isinstance(change, MarketChange):
        return _rare_change(change).SerializeToString()
    pieces = [
        CHANGE_REVISION,
        varint(change.revision),
        CHANGE_KIND,
        varint(change.kind),
        change_place(change.event_id, change.bookmaker, change.source),
        CHANGE_AFTER,
        market_wire(change.after),
    ]
    if change.before is not None:
        pieces += (CHANGE_BEFORE, market_wire(change.before))
    pieces += (CHANGE_OBSERVED, moment(change.observed_at))
    pieces += (CHANGE_DETECTED, moment(change.detected_at))
    pieces.append(text(CHANGE_REASON, change.reason))
    if change.other_line:
        pieces += (CHANGE_OTHER_LINE, pack_double(line_number(change.other_line)))
    pieces.append(number(CHANGE_SNAPSHOT, change.snapshot_id))
    return b"".join(pieces)


def _rare_change(change: Change) -> pb.Change:
    """Return a change of an event or source as a message; these are too few to optimise."""
    message = pb.Change(
        revision=change.revision,
        kind=pb.ChangeKind.ValueType(change.kind),
        source=change.source,
        observed_at=timestamp(change.observed_at),
        detected_at=timestamp(change.detected_at),
        reason=change.reason,
    )
    if isinstance(change, EventChange):
        message.event_id = change.event_id
        message.event.CopyFrom(event_message(change.after))
    elif not isinstance(change, MarketChange):
        message.source_state.CopyFrom(source_message(change.after))
    return message
