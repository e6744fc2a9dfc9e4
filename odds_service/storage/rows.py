"""Model values as rows, and back. Odds are compact JSON: arrays, without field names."""

import zlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol

import msgspec
from sqlalchemy import Row

from odds_service.model.bounds import FEW_OUTCOMES, MOST_MARKET_BYTES, market_bytes
from odds_service.model.change import (
    Change,
    ChangeKind,
    EventChange,
    MarketChange,
    SourceChange,
)
from odds_service.model.event import Event, EventStatus
from odds_service.model.market import Market, MarketKey, MarketStatus, Outcome
from odds_service.model.match import Match, ShownEvent
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.snapshot import BookmakerOdds, EventSource, Seen
from odds_service.model.source import SourceState, told_by_word
from odds_service.model.text import MOST_CHARS
from odds_service.storage.schema import UNSTORED

Values = dict[str, Any]


class Unreadable(Exception):
    """A stored row cannot be served: it is too large for a message, or no row of ours.

    Only an older version, or another hand, can have written it.
    """


class HistoryRow(NamedTuple):
    """A row of odds_history, for changes of markets, events and sources alike."""

    revision: int
    detected_at: datetime
    kind: int
    reason: str
    event_id: str
    source: str
    bookmaker: str
    market: str
    line: str
    participant: str
    status: int | None
    snapshot_id: int | None
    observed_at: datetime
    before: str | None
    after: str | None
    other_line: str | None
    ended: bytes | None
    wall_at: datetime | None = None  # the rows of older spill files have none


class StoredRow(Protocol):
    """What a change is made of again: a HistoryRow, or a row that a database gave."""

    @property
    def revision(self) -> int: ...
    @property
    def detected_at(self) -> datetime: ...
    @property
    def kind(self) -> int: ...
    @property
    def reason(self) -> str: ...
    @property
    def event_id(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def bookmaker(self) -> str: ...
    @property
    def market(self) -> str: ...
    @property
    def line(self) -> str: ...
    @property
    def participant(self) -> str: ...
    @property
    def snapshot_id(self) -> int | None: ...
    @property
    def observed_at(self) -> datetime: ...
    @property
    def before(self) -> str | None: ...
    @property
    def after(self) -> str | None: ...
    @property
    def other_line(self) -> str | None: ...
    @property
    def ended(self) -> bytes | None: ...
    @property
    def wall_at(self) -> datetime | None: ...


class _Odds(msgspec.Struct, array_like=True, gc=False):
    """A market without its key; its last fields are left out where the row itself tells them."""

    status: MarketStatus
    outcomes: tuple[Outcome, ...]
    source_updated_at: datetime | None = None
    changed_at: datetime | None = None
    revision: int = 0


class _Ended(msgspec.Struct, array_like=True):
    """What one bookmaker showed until an event's end."""

    snapshot_id: int
    source: str
    bookmaker: str
    observed_at: datetime
    confirmed_at: datetime
    source_updated_at: datetime | None
    markets: list[tuple[str, str, str, _Odds]]


_encode = msgspec.json.Encoder().encode
_decode_odds = msgspec.json.Decoder(_Odds).decode
_decode_ended = msgspec.json.Decoder(list[_Ended]).decode
_decode_event = msgspec.json.Decoder(Event).decode
_decode_shown = msgspec.json.Decoder(ShownEvent).decode
_decode_state = msgspec.json.Decoder(SourceState).decode


def _whole(market: Market) -> tuple[Any, ...]:
    """A market with all that it knows, as _Odds."""
    return (
        market.status,
        market.outcomes,
        market.source_updated_at,
        market.changed_at,
        market.revision,
    )


def _after_text(market: Market, revision: int, changed_at: datetime) -> str:
    if market.revision != revision or market.changed_at != changed_at:
        return _encode(_whole(market)).decode()
    claimed = market.source_updated_at
    if claimed is None:
        return _encode((market.status, market.outcomes)).decode()
    return _encode((market.status, market.outcomes, claimed)).decode()


def _market(key: MarketKey, odds: _Odds, revision: int, changed_at: datetime) -> Market:
    outcomes = odds.outcomes
    if len(outcomes) > FEW_OUTCOMES and market_bytes(key, outcomes) > MOST_MARKET_BYTES:
        raise Unreadable("a market is too large")
    claimed = odds.source_updated_at
    return Market(
        key,
        odds.status,
        outcomes,
        odds.revision or revision,
        changed_at if odds.changed_at is None else _aware(odds.changed_at),
        None if claimed is None or claimed.tzinfo is None else claimed,
    )


def _aware(at: datetime) -> datetime:
    """A time without a zone, which an older version can have stored, is taken for UTC."""
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def market_from(key: MarketKey, odds: str, revision: int, changed_at: datetime) -> Market:
    """A market; its revision and time are the row's where its text does not tell them.

    A time of the bookmaker's that has no zone is left out. Raises Unreadable.
    """
    try:
        decoded = _decode_odds(odds)
    except msgspec.MsgspecError as error:
        raise Unreadable(str(error)) from None
    # Few outcomes can have texts of any length.
    if len(odds) > MOST_MARKET_BYTES and market_bytes(key, decoded.outcomes) > MOST_MARKET_BYTES:
        raise Unreadable("a market is too large")
    return _market(key, decoded, revision, changed_at)


def event_from(event: str) -> Event:
    """An event; names that are longer than they may be are cut. Raises Unreadable."""
    try:
        found = _decode_event(event)
    except msgspec.MsgspecError as error:
        raise Unreadable(str(error)) from None
    if len(event) > MOST_CHARS:
        cut = {
            field: text[:MOST_CHARS]
            for field in ("sport", "competition", "home", "away")
            if len(text := getattr(found, field)) > MOST_CHARS
        }
        if cut:
            found = msgspec.structs.replace(found, **cut)
    if found.start_time.tzinfo is None:
        found = msgspec.structs.replace(found, start_time=_aware(found.start_time))
    return found


def state_from(state: str) -> SourceState:
    """A source's state. Raises Unreadable."""
    try:
        found = _decode_state(state)
    except msgspec.MsgspecError as error:
        raise Unreadable(str(error)) from None
    success = found.last_success_at
    if success is not None and success.tzinfo is None:
        found = msgspec.structs.replace(found, last_success_at=_aware(success))
    return told_by_word(found)


def _shown_from(shown: str) -> ShownEvent:
    found = _decode_shown(shown)
    return msgspec.structs.replace(
        found, start_time=_aware(found.start_time), first_start=_aware(found.first_start)
    )


def event_row(change: EventChange) -> Values:
    event = change.after
    return {
        "event_id": event.id,
        "event": _encode(event).decode(),
        "sport": event.sport,
        "competition": event.competition,
        "start_time": event.start_time,
        "status": int(event.status),
        "revision": change.revision,
        "ended_revision": change.revision if change.kind is ChangeKind.EVENT_ENDED else 0,
    }


def carried_row(event_id: str, carried: EventSource) -> Values:
    return {
        "event_id": event_id,
        "source": carried.source,
        "source_event_id": carried.source_event_id,
        "listing": carried.listing,
        "shown": None if carried.shown is None else _encode(carried.shown).decode(),
        "match_score": carried.match.score,
        "match_reason": carried.match.reason,
        "told": None if carried.told is None else int(carried.told),
        "departed_at": carried.departed_at,
    }


def carried_from(row: Row[*tuple[Any, ...]]) -> EventSource:
    """How a source carries an event, of a row of event_sources."""
    return EventSource(
        row.source,
        row.source_event_id,
        row.listing,
        None,
        shown=None if row.shown is None else _shown_from(row.shown),
        match=Match(row.match_score, row.match_reason),
        told=None if row.told is None else EventStatus(row.told),
        departed_at=row.departed_at,
    )


def state_row(change: SourceChange) -> Values:
    return {
        "source": change.source,
        "state": _encode(change.after).decode(),
        "revision": change.revision,
    }


def run_row(run: ScrapeRun) -> Values:
    return msgspec.structs.asdict(run) | {"problems": _encode(run.problems).decode()}


def history_row(change: Change) -> HistoryRow:
    """The appended row. Raises UnicodeEncodeError for text that is no Unicode."""
    return HistoryRow(*history_values(change, _unchanged))


def _unchanged(time: datetime) -> Any:
    return time


def history_values(change: Change, stored_time: Callable[[datetime], Any]) -> tuple[Any, ...]:
    """The appended row as a database wants it; stored_time: a time as it stores one."""
    wall_at = None if change.wall_at is None else stored_time(change.wall_at)
    if isinstance(change, MarketChange):
        before, after = change.before, change.after
        key = after.key
        return (
            change.revision,
            stored_time(change.detected_at),
            int(change.kind),  # sqlite3 asks its adapters about every value of a type of our own
            change.reason,
            change.event_id,
            change.source,
            change.bookmaker,
            key.market,
            key.line,
            key.participant,
            int(after.status),
            change.snapshot_id,
            stored_time(change.observed_at),
            None if before is None else _encode(_whole(before)).decode(),
            _after_text(after, change.revision, change.observed_at),
            change.other_line,
            None,
            wall_at,
        )
    event = change if isinstance(change, EventChange) else None
    packed = [] if event is None else [_packed_ended(odds) for odds in event.ended]
    return (
        change.revision,
        stored_time(change.detected_at),
        int(change.kind),
        change.reason,
        "" if event is None else event.event_id,
        change.source,
        "",
        "",
        "",
        "",
        None,
        None,
        stored_time(change.observed_at),
        None if change.before is None else _encode(change.before).decode(),
        _encode(change.after).decode(),
        None,
        zlib.compress(_encode(packed)) if packed else None,
        wall_at,
    )


def placeholder(change: Change, stored_time: Callable[[datetime], Any]) -> tuple[Any, ...]:
    """What stands in history for a change that was refused: its revision and time, no text."""
    at = stored_time(change.detected_at)
    return (
        change.revision, at, UNSTORED, "", "", "", "", "", "", "", None, None, at,
        None, None, None, None, None if change.wall_at is None else stored_time(change.wall_at),
    )  # fmt: skip


def _packed_ended(odds: BookmakerOdds) -> tuple[Any, ...]:
    return (
        odds.snapshot_id,
        odds.source,
        odds.bookmaker,
        odds.observed_at,
        odds.confirmed_at,
        odds.source_updated_at,
        [(*key, _whole(market)) for key, market in odds.markets.items()],
    )


def change_from(row: StoredRow) -> Change:
    """A row of odds_history as the change it was; placeholders are none. Raises Unreadable."""
    try:
        kind = ChangeKind(row.kind)
    except ValueError as error:
        raise Unreadable(str(error)) from None
    if kind <= ChangeKind.REMOVED:
        key = MarketKey(row.market, row.line, row.participant)
        return MarketChange(
            row.revision,
            kind,
            row.reason,
            row.event_id,
            row.source,
            row.bookmaker,
            row.snapshot_id or 0,
            row.observed_at,
            row.detected_at,
            before_of(row),
            market_from(key, row.after or "", row.revision, row.observed_at),
            row.other_line,
            wall_at=row.wall_at,
        )
    if kind <= ChangeKind.EVENT_ENDED:
        return EventChange(
            row.revision,
            kind,
            row.reason,
            row.event_id,
            row.source,
            row.observed_at,
            row.detected_at,
            None if row.before is None else event_from(row.before),
            event_from(row.after or ""),
            ended_of(row),
            wall_at=row.wall_at,
        )
    after = state_from(row.after or "")
    return SourceChange(
        row.revision,
        kind,
        after.reason,
        row.source,
        row.observed_at,
        row.detected_at,
        None if row.before is None else state_from(row.before),
        after,
        wall_at=row.wall_at,
    )


def changes_from(found: Iterable[StoredRow]) -> tuple[list[Change], list[int]]:
    """Rows as changes, and the revisions of those that are placeholders or cannot be served."""
    changes: list[Change] = []
    unstored: list[int] = []
    for row in found:
        if row.kind != UNSTORED:
            try:
                changes.append(change_from(row))
            except Unreadable:
                unstored.append(row.revision)
        else:
            unstored.append(row.revision)
    return changes, unstored


def before_of(row: StoredRow) -> Market | None:
    """The market before a change of it."""
    if row.before is None:
        return None
    key = MarketKey(row.market, row.line, row.participant)
    return market_from(key, row.before, row.revision, row.observed_at)


def ended_of(row: StoredRow) -> tuple[BookmakerOdds, ...]:
    """What the bookmakers showed until an event's end, without the markets that are too large."""
    if row.ended is None:
        return ()
    try:
        told = _decode_ended(zlib.decompress(row.ended))
    except (zlib.error, msgspec.MsgspecError) as error:
        raise Unreadable(str(error)) from None
    return tuple(
        BookmakerOdds(
            ended.snapshot_id,
            row.event_id,
            ended.source,
            ended.bookmaker,
            _aware(ended.observed_at),
            _aware(ended.confirmed_at),
            ended.source_updated_at,
            _ended_markets(ended, row.observed_at),
        )
        for ended in told
    )


def _ended_markets(ended: _Ended, changed_at: datetime) -> dict[MarketKey, Market]:
    markets: dict[MarketKey, Market] = {}
    for market, line, participant, odds in ended.markets:
        key = MarketKey(market, line, participant)
        try:
            markets[key] = _market(key, odds, 0, changed_at)
        except Unreadable:
            continue
    return markets


_LAGGING: Final = msgspec.json.Decoder(dict[str, datetime])


def packed_lagging(lagging: Mapping[str, Seen]) -> str | None:
    """The column of market types that the last look did not show; None where there are none."""
    if not lagging:
        return None
    return msgspec.json.encode({name: seen.at for name, seen in lagging.items()}).decode()


def lagging_from(text: str | None) -> dict[str, Seen]:
    """Read the column back. The boot clock at those looks is that of an earlier start: none."""
    if not text:
        return {}
    return {name: Seen(at, 0.0) for name, at in _LAGGING.decode(text).items()}
