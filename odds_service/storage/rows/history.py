"""Rows of odds_history: changes of markets, events and sources alike."""

import base64
import zlib
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from odds_service.model.change import Change, ChangeKind, EventChange, MarketChange, SourceChange
from odds_service.model.market import Market, MarketKey
from odds_service.model.snapshot import BookmakerOdds
from odds_service.storage.rows import Unreadable
from odds_service.storage.rows.events import event_from
from odds_service.storage.rows.odds import (
    Odds,
    after_text,
    aware,
    before_text,
    market_from,
    market_of,
    whole,
)
from odds_service.storage.rows.sources import state_from

UNSTORED: Final = 0  # kind of a placeholder: the database refused the change, see dead_letters


class HistoryRow(NamedTuple):
    """A row of odds_history, for a change of a market, an event or a source."""

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
    ended: str | None
    wall_at: datetime | None = None  # absent in older spill files


class StoredRow(Protocol):
    """The input of change_from(): a HistoryRow, or a row from a database."""

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
    def ended(self) -> str | None: ...
    @property
    def wall_at(self) -> datetime | None: ...


class _Ended(msgspec.Struct, array_like=True):
    """The odds of one bookmaker at an event's end."""

    snapshot_id: int
    source: str
    bookmaker: str
    observed_at: datetime
    confirmed_at: datetime
    source_updated_at: datetime | None
    markets: list[tuple[str, str, str, Odds]]


_encode = msgspec.json.Encoder().encode
_decode_ended = msgspec.json.Decoder(list[_Ended]).decode


def history_row(change: Change) -> HistoryRow:
    """Encode a change as a row. Raises UnicodeEncodeError for invalid Unicode."""
    return HistoryRow(*history_values(change, _unchanged))


def _unchanged(time: datetime) -> Any:
    return time


def history_values(change: Change, stored_time: Callable[[datetime], Any]) -> tuple[Any, ...]:
    """Encode a change as the values of a row, in the order of the columns.

    Args:
        change: any change.
        stored_time: converts a time to the form that the database stores.

    Raises:
        UnicodeEncodeError: a text is not valid Unicode.
        NaiveTime: a time has no zone; raised by `stored_time`.
    """
    wall_at = None if change.wall_at is None else stored_time(change.wall_at)
    if isinstance(change, MarketChange):
        before, after = change.before, change.after
        key = after.key
        return (
            change.revision,
            stored_time(change.detected_at),
            int(change.kind),  # sqlite3 would look for an adapter of our enum for every value
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
            None if before is None else before_text(before),
            after_text(after, change.revision, change.observed_at),
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
        _encode(packed).decode() if packed else None,
        wall_at,
    )


def placeholder(change: Change, stored_time: Callable[[datetime], Any]) -> tuple[Any, ...]:
    """Return the row that replaces a refused change in history: revision and time, no text."""
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
        [(*key, whole(market)) for key, market in odds.markets.items()],
    )


def change_from(row: StoredRow) -> Change:
    """Decode a row of odds_history, except a placeholder. Raises Unreadable."""
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
    """Decode rows; return the changes, and the revisions of placeholders and unreadable rows."""
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
    """Return the market before its change."""
    if row.before is None:
        return None
    key = MarketKey(row.market, row.line, row.participant)
    return market_from(key, row.before, row.revision, row.observed_at)


def ended_of(row: StoredRow) -> tuple[BookmakerOdds, ...]:
    """Return the odds at an event's end, without markets that are too large."""
    if row.ended is None:
        return ()
    try:
        told = _decode_ended(ended_text(row.ended))
    except (zlib.error, ValueError) as error:
        raise Unreadable(str(error)) from None
    return tuple(
        BookmakerOdds(
            ended.snapshot_id,
            row.event_id,
            ended.source,
            ended.bookmaker,
            aware(ended.observed_at),
            aware(ended.confirmed_at),
            ended.source_updated_at,
            _ended_markets(ended, row.observed_at),
        )
        for ended in told
    )


def ended_text(ended: str) -> str | bytes:
    """Return the text of odds at an event's end.

    In letters and spills of versions up to 0.2 it is compressed, in base64. Raises zlib.error or
    ValueError.
    """
    return ended if ended.startswith("[") else zlib.decompress(base64.b64decode(ended))


def _ended_markets(ended: _Ended, changed_at: datetime) -> dict[MarketKey, Market]:
    markets: dict[MarketKey, Market] = {}
    for market, line, participant, odds in ended.markets:
        key = MarketKey(market, line, participant)
        try:
            markets[key] = market_of(key, odds, 0, changed_at)
        except Unreadable:
            continue
    return markets
