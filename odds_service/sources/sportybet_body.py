"""Decode SportyBet's event: one bookmaker's markets of one match.

`bizCode` 10000 is success. Odds are strings, `0.00` for none. A market with `status` 1 is
suspended, even if its outcomes say `isActive`. The `specifier` holds a market's line.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Struct

from odds_service.errors import SourceError
from odds_service.model.event import EventStatus
from odds_service.model.market import MarketKey, MarketStatus, ObservedMarket
from odds_service.model.observation import ObservedEvent
from odds_service.sources.fields import utc
from odds_service.sources.markets.collector import MarketCollector
from odds_service.sources.markets.coverage import Coverage
from odds_service.sources.markets.schema import SAME
from odds_service.sources.markets.table import (
    FoundMarket,
    Latest,
    ProviderTable,
    Ranked,
    Shown,
    table,
)
from odds_service.sources.naming import key_text, sportradar_id
from odds_service.sources.sportybet_shapes import (
    ANSWER,
    EPOCH_MS,
    IDENTIFIED,
    MARKET,
    OPEN,
    OUTCOME,
    RAW_ANSWER,
    RAW_EVENT,
    RAW_MARKET,
    UNPRICED,
    Event,
    Market,
    Outcome,
    RawEvent,
)

BOOKMAKER: Final = "sportybet"
SUCCESS: Final = 10_000
_ACTIVE: Final = 1
_MOST_TIMES: Final = 2**12  # cache size; the markets of an event share few times
_STATUSES: Final = {0: EventStatus.SCHEDULED, 1: EventStatus.IN_PLAY, 2: EventStatus.IN_PLAY}
_UNREADABLE: Final = "unreadable"  # replaces odds of an unexpected type
_OPEN: Final = MarketStatus.OPEN
_SUSPENDED: Final = MarketStatus.SUSPENDED
_NUL: Final = "\0"  # PostgreSQL rejects it in text; SQLite does not


class EventBody(Struct):
    """The body of an event.

    Attributes:
        json: the answer's JSON.
        event: the event, decoded at once; None unless the answer is a success and every part of it
            has the usual shape.
    """

    json: bytes | msgspec.Raw
    event: Event | None


def open_body(json: bytes | msgspec.Raw) -> EventBody:
    """Decode a body at once if its shape allows; it is read by read_body in any case."""
    try:
        answer = ANSWER.decode(json)
    except msgspec.MsgspecError:
        return EventBody(json, None)
    return EventBody(json, answer.data if answer.bizCode == SUCCESS else None)


def read_event(
    body: bytes | msgspec.Raw, problems: Counter[str], coverage: Coverage | None = None
) -> ObservedEvent:
    """Decode one event with all its markets; like read_body, for a body's JSON."""
    return read_body(open_body(body), problems, coverage)


def read_body(
    body: EventBody, problems: Counter[str], coverage: Coverage | None = None
) -> ObservedEvent:
    """Read one event with all its markets.

    A body that could not be decoded at once is decoded market by market, and a market with a bad
    outcome outcome by outcome.

    Args:
        body: the body, from open_body.
        problems: incremented for every part that is skipped.
        coverage: counts the markets that the table knows and those that it does not.

    Raises:
        SourceError: of kind `wrong_shape`, `refused` (another `bizCode`) or `unknown_event`.
    """
    event = _read_shell(body.json) if body.event is None else body.event
    if _NUL in event.eventId + event.homeTeamName + event.awayTeamName:
        raise SourceError("wrong_shape", "SportyBet: a NUL in the event's id or names")
    sport = table().sport(BOOKMAKER, event.sport.id) or key_text(event.sport.name)
    collector = MarketCollector(problems, coverage)
    reading = table().reading(BOOKMAKER, sport)
    if isinstance(event, Event):
        _read_markets(event.markets, reading, collector)
    else:
        whole = (_whole_market(raw, reading, collector) for raw in event.markets)
        _read_markets((each for each in whole if each is not None), reading, collector)
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


def _read_shell(json: bytes | msgspec.Raw) -> RawEvent:
    """Return the event of a successful answer. Raises SourceError; see read_body."""
    try:
        answer = RAW_ANSWER.decode(json)
    except msgspec.MsgspecError as error:
        raise SourceError("wrong_shape", f"SportyBet: unexpected answer: {error}") from None
    if answer.bizCode != SUCCESS:
        text = f"SportyBet: bizCode {answer.bizCode}: {answer.message or 'no reason given'}"
        raise SourceError("refused", text)
    if bytes(answer.data).strip() == b"null":
        raise SourceError("unknown_event", "SportyBet: unknown event")
    try:
        return RAW_EVENT.decode(answer.data)
    except msgspec.MsgspecError as error:
        raise SourceError("wrong_shape", f"SportyBet: unexpected event: {error}") from None


def _whole_market(
    raw: msgspec.Raw, reading: ProviderTable, collector: MarketCollector
) -> Market | None:
    """Return a market with only its readable outcomes."""
    try:
        return MARKET.decode(raw)
    except msgspec.MsgspecError:
        pass
    try:
        shell = RAW_MARKET.decode(raw)
    except msgspec.MsgspecError:
        _lose(raw, reading, collector)
        return None
    outcomes = []
    for part in shell.outcomes:
        try:
            outcomes.append(OUTCOME.decode(part))
        except msgspec.MsgspecError:
            try:
                named = UNPRICED.decode(part)
            except msgspec.MsgspecError:
                collector.problems["bad_outcome"] += 1
            else:
                outcomes.append(Outcome(named.id, _UNREADABLE, desc=named.desc))
    if not outcomes and shell.outcomes:
        _lose(raw, reading, collector)
        return None
    changed_at = None
    try:
        changed_at = EPOCH_MS.decode(shell.lastOddsChangeTime)
    except msgspec.MsgspecError:
        collector.problems["bad_time"] += 1
    return Market(
        shell.id, tuple(outcomes), shell.status, shell.specifier, shell.name, shell.desc, changed_at
    )


def _lose(raw: msgspec.Raw, reading: ProviderTable, collector: MarketCollector) -> None:
    try:
        types = reading.types(IDENTIFIED.decode(raw).id)
    except msgspec.MsgspecError:
        types = None
    collector.lose(types)


def _read_markets(
    markets: Iterable[Market], reading: ProviderTable, collector: MarketCollector
) -> None:
    """Read whole markets: those that _read_known refuses carefully."""
    for market in markets:
        placed = reading.market(market.id, market.specifier or "")
        if placed is None:
            collector.coverage.miss(_name(market), (each.desc for each in market.outcomes))
        elif not _read_known(market, placed, reading, collector):
            _read_carefully(market, placed, reading, collector)


def _read_known(
    market: Market, placed: FoundMarket, reading: ProviderTable, collector: MarketCollector
) -> bool:
    """Read a market if all its outcomes are cached and nothing about it is out of the ordinary.

    This runs for every price of every poll, so it looks values up instead of making them.

    Returns:
        Whether the market was read; if not, nothing has changed.
    """
    markets = collector.markets
    latest = placed.latest
    if latest is not None and latest.written == (
        market.lastOddsChangeTime, market.status, market.outcomes
    ):  # fmt: skip
        if not markets.keys().isdisjoint(latest.markets):
            return False
        markets |= latest.markets
        collector.coverage.mapped += 1
        return True
    updated_at = _time(market.lastOddsChangeTime)
    if updated_at is None and market.lastOddsChangeTime is not None:
        return False
    key = placed.key
    if key is None:
        return _read_singles(market, placed, collector, updated_at)
    ordered = placed.ordered.get(market.outcomes) or reading.in_order(placed, market.outcomes)
    if ordered is None or key in markets:
        return False
    status = _SUSPENDED
    if market.status == OPEN:
        for outcome in ordered:
            if outcome.active:
                status = _OPEN
                break
    markets[key] = ObservedMarket(key, status, ordered, updated_at)
    collector.coverage.mapped += 1
    return True


def _read_singles(
    market: Market, placed: FoundMarket, collector: MarketCollector, updated_at: datetime | None
) -> bool:
    """Read a market each of whose outcomes is a market, such as the players who may score.

    Returns:
        Whether the market was read, as _read_known.
    """
    shown, bettable = placed.shown, market.status == OPEN
    try:
        found = [shown[outcome] for outcome in market.outcomes]
    except KeyError:
        return False
    each = {}
    for key, (_, outcome), _ in found:
        status = _OPEN if bettable and outcome.active else _SUSPENDED
        each[key] = ObservedMarket(key, status, (outcome,), updated_at)
    markets = collector.markets
    if not each or len(each) < len(found) or not markets.keys().isdisjoint(each):
        return False
    cached = tuple([one[2] for one in found])  # equal to the market's, which are then not kept
    placed.latest = Latest((market.lastOddsChangeTime, market.status, cached), each)
    markets |= each
    collector.coverage.mapped += 1
    return True


def _read_carefully(
    market: Market, placed: FoundMarket, reading: ProviderTable, collector: MarketCollector
) -> None:
    """Read a market outcome by outcome, and count what is wrong with it."""
    shown, known = _show(market, placed, reading, collector)
    if known == len(market.outcomes):
        collector.coverage.mapped += 1
    else:
        collector.coverage.miss(_name(market), (each.desc for each in market.outcomes))
    if known and not shown:
        collector.lose(placed.types)
    updated_at = _time(market.lastOddsChangeTime)
    if updated_at is None and market.lastOddsChangeTime is not None:
        collector.problems["bad_time"] += 1
    markets: dict[MarketKey, list[Ranked]] = {}
    for key, ranked, _ in shown:
        markets.setdefault(key, []).append(ranked)
    for key, outcomes in markets.items():
        collector.add(key, outcomes, closed=market.status != OPEN, updated_at=updated_at)


def _show(
    market: Market, placed: FoundMarket, reading: ProviderTable, collector: MarketCollector
) -> tuple[list[Shown], int]:
    """Return the readable outcomes, and the number of outcomes that the table knows.

    Without any readable odds there are no outcomes. Readable ones are cached for the next poll.
    """
    shown: list[Shown] = []
    known = readable = 0
    for outcome in market.outcomes:
        cached = placed.shown.get(outcome)
        if cached is not None:
            known += 1
            readable += 1
            shown.append(cached)
            continue
        target = placed.target(outcome.id) or placed.target(SAME + outcome.desc)
        if target is None:
            continue
        known += 1
        ranked = collector.outcome(
            target, outcome.desc, outcome.odds, active=outcome.isActive == _ACTIVE
        )
        if ranked is not None:
            shown.append((target.key, ranked, outcome))
            if collector.readable:
                readable += 1
                reading.remember(placed, outcome, target.key, ranked)
    return (shown if readable else []), known


def _name(market: Market) -> str:
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
