"""Decode SportyBet's event: one bookmaker's markets of one match.

`bizCode` 10000 is success. Odds are strings, `0.00` for none. A market with `status` 1 is
suspended, even if its outcomes say `isActive`. The `specifier` holds a market's line.
"""

from collections import Counter
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import Struct

from odds_service.errors import SourceError
from odds_service.model.event import EventStatus
from odds_service.model.market import MarketKey
from odds_service.model.observation import ObservedEvent
from odds_service.sources.fields import utc
from odds_service.sources.markets.collector import MarketCollector
from odds_service.sources.markets.coverage import Coverage
from odds_service.sources.markets.schema import SAME
from odds_service.sources.markets.table import FoundMarket, ProviderTable, Ranked, table
from odds_service.sources.naming import key_text, sportradar_id

BOOKMAKER: Final = "sportybet"
_SUCCESS: Final = 10_000
_OPEN: Final = 0  # status of a market that takes bets
_ACTIVE: Final = 1
_MOST_TIMES: Final = 2**12  # cache size; the markets of an event share few times
_STATUSES: Final = {0: EventStatus.SCHEDULED, 1: EventStatus.IN_PLAY, 2: EventStatus.IN_PLAY}
_UNREADABLE: Final = "unreadable"  # replaces odds of an unexpected type
_NUL: Final = "\0"  # PostgreSQL rejects it in text; SQLite does not


class _Outcome(Struct, frozen=True, gc=False):
    id: str
    odds: str
    isActive: int = 1
    desc: str = ""


class _Unpriced(Struct):
    """An outcome whose odds or activity have an unexpected type."""

    id: str
    desc: str = ""


class _Market(Struct):
    id: str
    outcomes: list[_Outcome]
    status: int = _OPEN
    specifier: str | None = None
    name: str | None = None
    desc: str | None = None
    lastOddsChangeTime: int | None = None


class _RawMarket(Struct):
    id: str
    outcomes: list[msgspec.Raw]
    status: int = _OPEN
    specifier: str | None = None
    name: str | None = None
    desc: str | None = None
    lastOddsChangeTime: Any = None


class _Named(Struct):
    id: str


class _Tournament(Struct):
    name: str = ""


class _Category(Struct):
    name: str = ""
    tournament: _Tournament = msgspec.field(default_factory=_Tournament)


class _Sport(Struct):
    id: str
    name: str = ""
    category: _Category = msgspec.field(default_factory=_Category)


class _Event(Struct):
    eventId: str
    homeTeamName: str
    awayTeamName: str
    estimateStartTime: int
    sport: _Sport
    markets: list[_Market]
    status: int | None = None


class _RawEvent(Struct):
    eventId: str
    homeTeamName: str
    awayTeamName: str
    estimateStartTime: int
    sport: _Sport
    markets: list[msgspec.Raw]
    status: int | None = None


class _Answer(Struct):
    bizCode: int
    message: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


_answer = msgspec.json.Decoder(_Answer)
_event = msgspec.json.Decoder(_Event)
_raw_event = msgspec.json.Decoder(_RawEvent)
_market = msgspec.json.Decoder(_Market)
_raw_market = msgspec.json.Decoder(_RawMarket)
_outcome = msgspec.json.Decoder(_Outcome)
_unpriced = msgspec.json.Decoder(_Unpriced)
_named = msgspec.json.Decoder(_Named)


def read_event(
    body: bytes | msgspec.Raw, problems: Counter[str], coverage: Coverage | None = None
) -> ObservedEvent:
    """Decode one event with all its markets.

    Args:
        body: the answer's JSON.
        problems: incremented for every part that is skipped.
        coverage: counts the markets that the table knows and those that it does not.

    Raises:
        SourceError: of kind `wrong_shape`, `refused` (another `bizCode`) or `unknown_event`.
    """
    try:
        answer = _answer.decode(body)
    except msgspec.MsgspecError as error:
        raise SourceError("wrong_shape", f"SportyBet: unexpected answer: {error}") from None
    if answer.bizCode != _SUCCESS:
        text = f"SportyBet: bizCode {answer.bizCode}: {answer.message or 'no reason given'}"
        raise SourceError("refused", text)
    if bytes(answer.data).strip() == b"null":
        raise SourceError("unknown_event", "SportyBet: unknown event")
    event = _read_shell(answer.data)
    sport = table().sport(BOOKMAKER, event.sport.id) or key_text(event.sport.name)
    collector = MarketCollector(problems, coverage)
    reading = table().reading(BOOKMAKER, sport)
    for market in event.markets:
        whole = market if isinstance(market, _Market) else _whole_market(market, reading, collector)
        if whole is not None:
            _read_market(whole, reading, collector)
    category = event.sport.category
    return ObservedEvent(
        source_event_id=event.eventId,
        sport=sport,
        competition=key_text(sport, category.name, category.tournament.name),
        home=event.homeTeamName,
        away=event.awayTeamName,
        start_time=_start(event.estimateStartTime),
        bookmakers=(collector.bookmaker(BOOKMAKER),),
        shared_ids=sportradar_id(event.eventId),
        status=None if event.status is None else _STATUSES.get(event.status),
    )


def _read_shell(raw: msgspec.Raw) -> _Event | _RawEvent:
    try:
        event: _Event | _RawEvent = _event.decode(raw)
    except msgspec.MsgspecError:
        try:
            event = _raw_event.decode(raw)
        except msgspec.MsgspecError as error:
            raise SourceError("wrong_shape", f"SportyBet: unexpected event: {error}") from None
    if _NUL in event.eventId + event.homeTeamName + event.awayTeamName:
        raise SourceError("wrong_shape", "SportyBet: a NUL in the event's id or names")
    return event


def _whole_market(
    raw: msgspec.Raw, reading: ProviderTable, collector: MarketCollector
) -> _Market | None:
    """Return a market with only its readable outcomes."""
    try:
        return _market.decode(raw)
    except msgspec.MsgspecError:
        pass
    try:
        shell = _raw_market.decode(raw)
    except msgspec.MsgspecError:
        _lose(raw, reading, collector)
        return None
    outcomes = []
    for part in shell.outcomes:
        try:
            outcomes.append(_outcome.decode(part))
        except msgspec.MsgspecError:
            try:
                named = _unpriced.decode(part)
            except msgspec.MsgspecError:
                collector.problems["bad_outcome"] += 1
            else:
                outcomes.append(_Outcome(named.id, _UNREADABLE, desc=named.desc))
    if not outcomes and shell.outcomes:
        _lose(raw, reading, collector)
        return None
    changed_at = shell.lastOddsChangeTime
    if changed_at is not None and type(changed_at) is not int:
        collector.problems["bad_time"] += 1
        changed_at = None
    return _Market(
        shell.id, outcomes, shell.status, shell.specifier, shell.name, shell.desc, changed_at
    )


def _lose(raw: msgspec.Raw, reading: ProviderTable, collector: MarketCollector) -> None:
    try:
        types = reading.types(_named.decode(raw).id)
    except msgspec.MsgspecError:
        types = None
    collector.lose(types)


def _read_market(market: _Market, reading: ProviderTable, collector: MarketCollector) -> None:
    placed = reading.market(market.id, market.specifier or "")
    if placed is None:
        collector.coverage.miss(_name(market), (each.desc for each in market.outcomes))
        return
    shown = [placed.shown.get(outcome) for outcome in market.outcomes]
    known = len(shown)
    if None in shown:
        shown, known = _show(market, placed, reading, collector)
    if known == len(market.outcomes):
        collector.coverage.mapped += 1
    else:
        collector.coverage.miss(_name(market), (each.desc for each in market.outcomes))
    if known and not shown:
        collector.lose(placed.types)
    closed, updated_at = market.status != _OPEN, _time(market.lastOddsChangeTime)
    if updated_at is None and market.lastOddsChangeTime is not None:
        collector.problems["bad_time"] += 1
    if placed.key is not None and shown:
        ranked = [one[1] for one in shown if one is not None]
        collector.add(placed.key, ranked, closed=closed, updated_at=updated_at)
        return
    markets: dict[MarketKey, list[Ranked]] = {}
    for one in shown:
        if one is not None:
            markets.setdefault(one[0], []).append(one[1])
    for key, ranked in markets.items():
        collector.add(key, ranked, closed=closed, updated_at=updated_at)


def _show(
    market: _Market, placed: FoundMarket, reading: ProviderTable, collector: MarketCollector
) -> tuple[list[tuple[MarketKey, Ranked] | None], int]:
    """Return the readable outcomes, and the number of outcomes that the table knows.

    Without any readable odds there are no outcomes. Readable ones are cached for the next poll.
    """
    shown: list[tuple[MarketKey, Ranked] | None] = []
    known = readable = 0
    for outcome in market.outcomes:
        target = placed.target(outcome.id) or placed.target(SAME + outcome.desc)
        if target is None:
            continue
        known += 1
        ranked = collector.outcome(
            target, outcome.desc, outcome.odds, active=outcome.isActive == _ACTIVE
        )
        if ranked is not None:
            shown.append((target.key, ranked))
            if collector.readable:
                readable += 1
                reading.remember(placed, outcome, (target.key, ranked))
    return (shown if readable else []), known


def _name(market: _Market) -> str:
    return f"{market.name or market.desc or 'without a name'} ({market.id})"


def _start(epoch_ms: int) -> datetime:
    start = _time(epoch_ms)
    if start is None:
        raise SourceError("wrong_shape", f"SportyBet: start {epoch_ms} ms is not a time")
    return start


@lru_cache(_MOST_TIMES)
def _time(epoch_ms: int | None) -> datetime | None:
    """Convert their milliseconds to a time; return None if it is invalid."""
    try:
        return None if epoch_ms is None else utc(datetime.fromtimestamp(epoch_ms / 1000, UTC))
    except (OverflowError, ValueError, OSError):
        return None
