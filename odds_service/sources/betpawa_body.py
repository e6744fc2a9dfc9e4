"""Decode BetPawa's event: one bookmaker's markets of one match.

The rows of a market are its lines, or the layout of a wide market. `handicap` counts quarters (6 is
1.5). A suspended price is 0.0 or 100.0. Older bodies have `price`; newer ones have `odds`, and
`suspended` only if it is true.
"""

from collections import Counter
from datetime import UTC, datetime
from functools import lru_cache
from math import nan
from typing import Final

import msgspec
from msgspec import Struct

from odds_service.decoding import JsonDecoder
from odds_service.errors import SourceError
from odds_service.model.event import EventStatus
from odds_service.model.market import NO_LINE, MarketKey
from odds_service.model.observation import ObservedEvent
from odds_service.model.price import BadPrice, canonical_line
from odds_service.sources.fields import utc
from odds_service.sources.markets.collector import MarketCollector
from odds_service.sources.markets.coverage import Coverage
from odds_service.sources.markets.table import FoundMarket, ProviderTable, Ranked, Shown, table
from odds_service.sources.naming import key_text, one_id, sportradar_id

BOOKMAKER: Final = "betpawa"
_SUSPENDED_PRICE: Final = 100.0
_QUARTERS: Final = 4
_MOST_LINES: Final = 2**10
_NUL: Final = "\0"  # PostgreSQL rejects it in text; SQLite does not


class _Price(Struct, frozen=True, gc=False):
    name: str
    price: float | None = None
    odds: float | None = None
    suspended: bool = False


class _Unpriced(Struct):
    """A price whose value has an unexpected type."""

    name: str


class _Row(Struct):
    prices: list[_Price]
    handicap: float | None = None


class _RawRow(Struct):
    prices: list[msgspec.Raw]
    handicap: float | None = None


class _MarketType(Struct):
    id: str
    name: str = ""


class _Market(Struct):
    marketType: _MarketType
    row: list[_Row]


class _RawMarket(Struct):
    marketType: _MarketType
    row: list[msgspec.Raw]


class _Named(Struct):
    marketType: _MarketType


class _Widget(Struct):
    type: str | None = None
    id: str | int | None = None


class _Participant(Struct):
    name: str
    position: int | None = None
    role: str | None = None


class _Thing(Struct):
    id: str = ""
    name: str = ""


class _Additional(Struct):
    live: bool | None = None


class _Event(Struct):
    id: str
    startTime: datetime
    markets: list[_Market]
    participants: list[_Participant] = []
    category: _Thing = msgspec.field(default_factory=_Thing)
    region: _Thing = msgspec.field(default_factory=_Thing)
    competition: _Thing = msgspec.field(default_factory=_Thing)
    widgets: list[_Widget] | None = None
    additionalInfo: _Additional | None = None


class _RawEvent(Struct):
    id: str
    startTime: datetime
    markets: list[msgspec.Raw]
    participants: list[_Participant] = []
    category: _Thing = msgspec.field(default_factory=_Thing)
    region: _Thing = msgspec.field(default_factory=_Thing)
    competition: _Thing = msgspec.field(default_factory=_Thing)
    widgets: list[_Widget] | None = None
    additionalInfo: _Additional | None = None


_event = JsonDecoder(_Event)
_raw_event = JsonDecoder(_RawEvent)
_market = JsonDecoder(_Market)
_raw_market = JsonDecoder(_RawMarket)
_row = JsonDecoder(_Row)
_raw_row = JsonDecoder(_RawRow)
_price = JsonDecoder(_Price)
_unpriced = JsonDecoder(_Unpriced)
_named = JsonDecoder(_Named)


def read_event(
    body: bytes | msgspec.Raw, problems: Counter[str], coverage: Coverage | None = None
) -> ObservedEvent:
    """Decode one event with all its markets.

    An unknown event is an HTTP 404 without a body, so it never gets here.

    Args:
        body: the answer's JSON.
        problems: incremented for every part that is skipped.
        coverage: counts the markets that the table knows and those that it does not.

    Raises:
        SourceError: of kind `wrong_shape`.
    """
    event = _read_shell(body)
    sport = table().sport(BOOKMAKER, event.category.id) or key_text(event.category.name)
    collector = MarketCollector(problems, coverage)
    reading = table().reading(BOOKMAKER, sport)
    for market in event.markets:
        whole = market if isinstance(market, _Market) else _whole_market(market, reading, collector)
        if whole is not None:
            _read_market(whole, reading, collector)
    home, away = _sides(event.participants)
    live = None if event.additionalInfo is None else event.additionalInfo.live
    return ObservedEvent(
        source_event_id=event.id,
        sport=sport,
        competition=key_text(sport, event.region.name, event.competition.name),
        home=home,
        away=away,
        start_time=event.startTime.astimezone(UTC),
        bookmakers=(collector.bookmaker(BOOKMAKER),),
        shared_ids=one_id(
            sportradar_id(widget.id)
            for widget in event.widgets or ()
            if widget.type == "SPORTRADAR" and widget.id is not None
        ),
        status=None if live is None else EventStatus.IN_PLAY if live else EventStatus.SCHEDULED,
    )


def _read_shell(body: bytes | msgspec.Raw) -> _Event | _RawEvent:
    try:
        event: _Event | _RawEvent = _event.decode(body)
    except msgspec.MsgspecError:
        try:
            event = _raw_event.decode(body)
        except msgspec.MsgspecError as error:
            raise SourceError("wrong_shape", f"BetPawa: unexpected event: {error}") from None
    if _NUL in event.id + "".join(side.name for side in event.participants):
        raise SourceError("wrong_shape", "BetPawa: a NUL in the event's id or names")
    if utc(event.startTime) is None:
        text = f"BetPawa: start {event.startTime} has no zone, or is not between 1970 and 2100"
        raise SourceError("wrong_shape", text)
    return event


def _sides(participants: list[_Participant]) -> tuple[str, str]:
    """Return home and away by their roles, or else by position; empty if neither is given."""
    names = {side.role or side.position: side.name for side in participants}
    return (
        names.get("HOME") or names.get(1) or "",
        names.get("AWAY") or names.get(2) or "",
    )


def _whole_market(
    raw: msgspec.Raw, reading: ProviderTable, collector: MarketCollector
) -> _Market | None:
    """Return a market with only its readable rows and prices."""
    try:
        return _market.decode(raw)
    except msgspec.MsgspecError:
        pass
    try:
        shell = _raw_market.decode(raw)
    except msgspec.MsgspecError:
        _lose(raw, reading, collector)
        return None
    rows = [_whole_row(part, collector) for part in shell.row]
    kept = [row for row in rows if row is not None]
    if not kept and shell.row:
        _lose(raw, reading, collector)
        return None
    return _Market(shell.marketType, kept)


def _whole_row(raw: msgspec.Raw, collector: MarketCollector) -> _Row | None:
    try:
        return _row.decode(raw)
    except msgspec.MsgspecError:
        pass
    try:
        shell = _raw_row.decode(raw)
    except msgspec.MsgspecError:
        collector.problems["bad_row"] += 1
        return None
    prices = []
    for part in shell.prices:
        try:
            prices.append(_price.decode(part))
        except msgspec.MsgspecError:
            try:
                prices.append(_Price(_unpriced.decode(part).name, nan))
            except msgspec.MsgspecError:
                collector.problems["bad_outcome"] += 1
    return _Row(prices, shell.handicap) if prices else None


def _lose(raw: msgspec.Raw, reading: ProviderTable, collector: MarketCollector) -> None:
    try:
        types = reading.types(_named.decode(raw).marketType.id)
    except msgspec.MsgspecError:
        types = None
    collector.lose(types)


def _read_market(market: _Market, reading: ProviderTable, collector: MarketCollector) -> None:
    markets: dict[MarketKey, list[Ranked]] = {}
    whole = bool(market.row)
    for row in market.row:
        try:
            line = NO_LINE if row.handicap is None else _line(row.handicap)
        except BadPrice:
            collector.problems["bad_line"] += 1
            collector.unreadable |= reading.types(market.marketType.id)
            whole = False
            continue
        placed = reading.market(market.marketType.id, line)
        if placed is None:
            whole = False
            continue
        shown = [placed.shown.get(price) for price in row.prices]
        if None in shown:
            shown, known = _show(row, placed, reading, collector)
            whole = whole and known == len(row.prices)
            if known and not shown:
                collector.lose(placed.types)
        for one in shown:
            if one is not None:
                ranked = markets.get(one[0])
                if ranked is None:
                    markets[one[0]] = [one[1]]
                else:
                    ranked.append(one[1])
    for key, outcomes in markets.items():
        collector.add(key, outcomes)
    if whole:
        collector.coverage.mapped += 1
    else:
        texts = dict.fromkeys(price.name for row in market.row for price in row.prices)
        collector.coverage.miss(f"{market.marketType.name} ({market.marketType.id})", texts)


def _show(
    row: _Row, placed: FoundMarket, reading: ProviderTable, collector: MarketCollector
) -> tuple[list[Shown | None], int]:
    """Return the readable outcomes, and the number of outcomes that the table knows.

    Without any readable price there are no outcomes. Readable ones are cached for the next poll.
    """
    shown: list[Shown | None] = []
    known = readable = 0
    for price in row.prices:
        target = placed.target(price.name)
        if target is None:
            continue
        known += 1
        value = price.odds if price.price is None else price.price
        if value is None or (price.suspended and value == _SUSPENDED_PRICE):
            value = 0.0
        ranked = collector.outcome(target, price.name, value, active=not price.suspended)
        if ranked is not None:
            shown.append((target.key, ranked, price))
            if collector.readable:
                readable += 1
                reading.remember(placed, price, target.key, ranked)
    return (shown if readable else []), known


@lru_cache(_MOST_LINES)
def _line(quarters: float) -> str:
    """Convert a handicap in quarters to a line. Raises BadPrice."""
    return canonical_line(quarters / _QUARTERS)
