"""Decode Bet9ja's event: one bookmaker's odds of one match, in a flat mapping.

`S_OU@2.5_O` is market `S_OU`, line 2.5, outcome `O`. `R` is `OK` or `D` for success, `E` for an
unknown event. Odds are strings before the match and `{"v": 1.85}` in play; 1 means none.
`STARTDATE` is in UTC but carries no zone.
"""

import re
from collections import Counter
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Struct

from odds_service.decoding import REPLACED, JsonDecoder, by_key
from odds_service.errors import SourceError
from odds_service.model.event import EventStatus
from odds_service.model.market import MarketKey
from odds_service.model.observation import ANY, ObservedEvent
from odds_service.sources.fields import utc
from odds_service.sources.markets.collector import MarketCollector
from odds_service.sources.markets.coverage import Coverage
from odds_service.sources.markets.table import FoundMarket, ProviderTable, Ranked, table
from odds_service.sources.naming import key_text, one_id, sportradar_id

BOOKMAKER: Final = "bet9ja"
_SUCCESS: Final = frozenset({"OK", "D"})
_UNKNOWN: Final = "E"
_KEY: Final = re.compile(r"([A-Z]+_[^_@]+)(?:@([^_]*))?_(.+)", re.DOTALL)
_SIDES: Final = " - "  # between the names of home and away
_NUL: Final = "\0"  # PostgreSQL rejects it in text; SQLite does not
_MOST_KEYS: Final = 2**14  # cached for one sport; the cache is cleared when full
_MOST_VALUES: Final = 2**17
_MOST_SPORTS: Final = 64  # bounded: their names come from the payload


class _Live(Struct, frozen=True):
    v: float | str


class _Market(Struct):
    ID: str
    DS: str = ""


class _Event(Struct):
    """The event in both shapes; in play it is under `AA`, with its details under `A`."""

    ID: str | int
    DS: str
    STARTDATE: str
    EXTID: str | int | None = None
    BRMATCHID: str | int | None = None
    SID: str | int = ""
    S: str = ""
    SG: str = ""
    GN: str = ""


class _Odds(Struct):
    """The odds; `MK` names the markets, `AA` exists only in play."""

    O: dict[str, str | float | _Live]  # noqa: E741 (Bet9ja's name)
    MK: list[_Market] = []
    AA: msgspec.Raw = msgspec.Raw(b"")


class _RawOdds(Struct):
    O: msgspec.Raw  # noqa: E741 (Bet9ja's name)
    MK: msgspec.Raw = msgspec.Raw(b"")
    AA: msgspec.Raw = msgspec.Raw(b"")


class _Answer(Struct):
    R: str
    D: msgspec.Raw = msgspec.Raw(b"null")


_answer = JsonDecoder(_Answer)
_event = JsonDecoder(_Event)
_odds = JsonDecoder(_Odds)
_raw_odds = JsonDecoder(_RawOdds)
_value = JsonDecoder(str | float | _Live)
_market_names = JsonDecoder(list[_Market])

Value = str | float | _Live


def read_event(
    body: bytes | msgspec.Raw, problems: Counter[str], coverage: Coverage | None = None
) -> ObservedEvent:
    """Decode one event with all its markets.

    Args:
        body: the answer's JSON.
        problems: incremented for every part that is skipped.
        coverage: counts the markets that the table knows and those that it does not.

    Raises:
        SourceError: of kind `wrong_shape`, `unknown_event` (`R` is `E`) or `refused` (another `R`).
    """
    try:
        answer = _answer.decode(body)
    except msgspec.MsgspecError as error:
        raise SourceError("wrong_shape", f"Bet9ja: unexpected answer: {error}") from None
    if answer.R == _UNKNOWN:
        raise SourceError("unknown_event", "Bet9ja: unknown event (R is E)")
    if answer.R not in _SUCCESS:
        raise SourceError("refused", f"Bet9ja: R is {answer.R!r}, neither OK nor D")
    collector = MarketCollector(problems, coverage)
    odds, names, event, in_play = _read_shell(answer.D, collector)
    sport = table().sport(BOOKMAKER, str(event.SID)) or key_text(event.S)
    _read_odds(odds, names, _spots(sport), collector)
    home, dash, away = event.DS.partition(_SIDES)
    if not dash:
        raise SourceError("wrong_shape", f"Bet9ja: {event.DS!r} does not name two sides")
    return ObservedEvent(
        source_event_id=str(event.ID),
        sport=sport,
        competition=key_text(sport, event.SG, event.GN),
        home=home.strip(),
        away=away.strip(),
        start_time=_start(event.STARTDATE),
        bookmakers=(collector.bookmaker(BOOKMAKER),),
        shared_ids=one_id(sportradar_id(one) for one in (event.EXTID, event.BRMATCHID)),
        status=EventStatus.IN_PLAY if in_play else None,
    )


def _read_shell(
    raw: msgspec.Raw, collector: MarketCollector
) -> tuple[dict[str, Value], dict[str, str], _Event, bool]:
    """Return the readable odds, the market names, the event, and whether it is in play."""
    try:
        whole = _odds.decode(raw)
        odds, markets, about = whole.O, whole.MK, whole.AA
    except msgspec.MsgspecError:
        odds, markets, about = _part_by_part(raw, collector)
    in_play = bool(bytes(about))
    try:
        event = _event.decode(about if in_play else raw)
    except msgspec.MsgspecError as error:
        raise SourceError("wrong_shape", f"Bet9ja: unexpected event: {error}") from None
    if _NUL in str(event.ID) + event.DS:
        raise SourceError("wrong_shape", "Bet9ja: a NUL in the event's id or names")
    return odds, {market.ID: market.DS for market in markets}, event, in_play


def _part_by_part(
    raw: msgspec.Raw, collector: MarketCollector
) -> tuple[dict[str, Value], list[_Market], msgspec.Raw]:
    try:
        parts = _raw_odds.decode(raw)
        raw_odds = by_key(parts.O)
    except msgspec.MsgspecError as error:
        raise SourceError("wrong_shape", f"Bet9ja: unexpected odds: {error}") from None
    odds: dict[str, Value] = {}
    for key, part in raw_odds.items():
        try:
            odds[key] = _value.decode(part)
        except msgspec.MsgspecError:
            odds[key] = "unreadable"  # counted as a bad price of its market
    try:
        markets = _market_names.decode(parts.MK) if bytes(parts.MK) else []
    except msgspec.MsgspecError:
        collector.problems["bad_market_names"] += 1
        markets = []
    return odds, markets, parts.AA


def _read_odds(
    odds: dict[str, Value], names: dict[str, str], spots: "_Spots", collector: MarketCollector
) -> None:
    markets: dict[MarketKey, list[Ranked]] = {}
    seen: dict[str, FoundMarket | None] = {}
    missed: dict[str, list[str]] = {}
    unread: dict[str, list[tuple[MarketKey, Ranked]]] = {}
    kept = spots.kept
    for text, value in odds.items():
        spot = kept.get(text)
        if spot is None:
            spot = spots.find(text)
            if spot is None:
                collector.problems["bad_key"] += 1
                collector.unreadable.add(ANY)
                continue
        seen[spot.place] = spot.placed
        shown = spot.shown.get(value)
        if shown is None:
            if spot.target is None:
                missed.setdefault(spot.place, []).append(spot.outcome)
                continue
            odd = value.v if isinstance(value, _Live) else value
            shown = collector.outcome(spot.target, spot.outcome, odd, active=True)
            if shown is None:
                continue
            if not collector.readable:
                unread.setdefault(spot.place, []).append((spot.key, shown))
                continue
            spots.remember(spot, value, shown)
        key = spot.key
        found = markets.get(key)
        if found is None:
            markets[key] = [shown]
        else:
            found.append(shown)
    if unread:  # a market with no readable price is lost; elsewhere such outcomes stay, unpriced
        known = filter(None, map(kept.get, odds))
        there = Counter(spot.place for spot in known)
        for place, unpriced in unread.items():
            placed = seen[place]
            if placed is not None and len(unpriced) >= there[place]:
                collector.lose(placed.types)
                continue
            for key, shown in unpriced:
                markets.setdefault(key, []).append(shown)
    for key, outcomes in markets.items():
        collector.add(key, outcomes)
    for place, placed in seen.items():
        if placed is None or place in missed:
            market = place.partition("@")[0]
            name = names.get(market)
            text = f"{name.strip()} ({market})" if name else market
            collector.coverage.miss(text, missed.get(place, ()))
        else:
            collector.coverage.mapped += 1


class _Spot:
    """The market and outcome of one key; `shown` caches the values already read."""

    __slots__ = ("key", "outcome", "place", "placed", "shown", "target")

    def __init__(self, place: str, placed: FoundMarket | None, outcome: str) -> None:
        self.place = place
        self.placed = placed
        self.outcome = outcome
        self.target = None if placed is None else placed.target(outcome)
        self.key = MarketKey("") if self.target is None else self.target.key
        self.shown: dict[Value, Ranked] = {}


class _Spots:
    """A cache of the keys of one sport."""

    def __init__(self, reading: ProviderTable) -> None:
        self._reading = reading
        self._remembered = 0
        self.kept: dict[str, _Spot] = {}

    def find(self, text: str) -> _Spot | None:
        """Return the market and outcome of a key such as `S_OU@2.5_O`; None for an invalid key."""
        parts = None if _NUL in text or REPLACED in text else _KEY.fullmatch(text)
        if parts is None:
            return None
        market, line, outcome = parts.groups()
        placed = self._reading.market(market, line or "")
        if len(self.kept) >= _MOST_KEYS:
            self.kept.clear()
        spot = self.kept[text] = _Spot(text[: -len(outcome) - 1], placed, outcome)
        return spot

    def remember(self, spot: _Spot, value: Value, shown: Ranked) -> None:
        """Cache the outcome of a value: most values are the same at the next poll."""
        self._remembered += 1
        if self._remembered > _MOST_VALUES:
            self.kept.clear()
            self._remembered = 0
        spot.shown[value] = shown


@lru_cache(_MOST_SPORTS)
def _spots(sport: str) -> _Spots:
    return _Spots(table().reading(BOOKMAKER, sport))


def _start(text: str) -> datetime:
    try:
        start = utc(datetime.fromisoformat(text).replace(tzinfo=UTC))
    except ValueError:
        start = None
    if start is None:
        raise SourceError("wrong_shape", f"Bet9ja: STARTDATE {text!r} is not a time")
    return start
