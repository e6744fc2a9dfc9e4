"""Model values as rows, and back. Odds are compact JSON: arrays, without field names."""

import zlib
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row

from odds_service.model.change import (
    Change,
    ChangeKind,
    EventChange,
    MarketChange,
    SourceChange,
)
from odds_service.model.event import Event
from odds_service.model.market import Market, MarketKey, MarketStatus, Outcome
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.snapshot import BookmakerOdds
from odds_service.model.source import SourceState

Values = dict[str, Any]


class _Odds(msgspec.Struct, array_like=True):
    """A market without its key: status, outcomes, revision and times."""

    status: MarketStatus
    outcomes: list[tuple[str, str, float | None, bool]]
    revision: int
    changed_at: datetime
    source_updated_at: datetime | None


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
_odds = msgspec.json.Decoder(_Odds)
_ended = msgspec.json.Decoder(list[_Ended])
_event = msgspec.json.Decoder(Event)
_state = msgspec.json.Decoder(SourceState)


def _packed(market: Market) -> _Odds:
    outcomes = [(o.key, o.name, o.price, o.active) for o in market.outcomes]
    return _Odds(
        market.status, outcomes, market.revision, market.changed_at, market.source_updated_at
    )


def _unpacked(key: MarketKey, odds: _Odds) -> Market:
    return Market(
        key,
        odds.status,
        tuple(Outcome(*outcome) for outcome in odds.outcomes),
        odds.revision,
        odds.changed_at,
        odds.source_updated_at,
    )


def market_from(key: MarketKey, odds: bytes) -> Market:
    return _unpacked(key, _odds.decode(odds))


def event_from(event: bytes) -> Event:
    return _event.decode(event)


def state_from(state: bytes) -> SourceState:
    return _state.decode(state)


def current_row(change: MarketChange) -> Values:
    """The row of odds_current that a change leaves; a REMOVED one is a tombstone."""
    key = change.after.key
    return {
        "event_id": change.event_id,
        "source": change.source,
        "bookmaker": change.bookmaker,
        "market": key.market,
        "line": key.line,
        "participant": key.participant,
        "status": int(change.after.status),
        "odds": _encode(_packed(change.after)),
        "revision": change.revision,
    }


def event_row(change: EventChange) -> Values:
    event = change.after
    return {
        "event_id": event.id,
        "event": _encode(event),
        "sport": event.sport,
        "competition": event.competition,
        "start_time": event.start_time,
        "status": int(event.status),
        "revision": change.revision,
        "ended_revision": change.revision if change.kind is ChangeKind.EVENT_ENDED else 0,
    }


def state_row(state: SourceState) -> Values:
    return {"source": state.source, "state": _encode(state)}


def run_row(run: ScrapeRun) -> Values:
    return msgspec.structs.asdict(run) | {"problems": _encode(run.problems)}


def history_row(change: Change) -> Values:
    """One appended row; its columns are the same for changes of markets, events and sources."""
    row: Values = {
        "revision": change.revision,
        "detected_at": change.detected_at,
        "kind": int(change.kind),
        "reason": change.reason,
        "event_id": "",
        "source": change.source,
        "bookmaker": "",
        "market": "",
        "line": "",
        "participant": "",
        "snapshot_id": None,
        "observed_at": change.observed_at,
        "before": None,
        "other_line": None,
        "ended": None,
    }
    if isinstance(change, MarketChange):
        key = change.after.key
        return row | {
            "event_id": change.event_id,
            "bookmaker": change.bookmaker,
            "market": key.market,
            "line": key.line,
            "participant": key.participant,
            "snapshot_id": change.snapshot_id,
            "before": None if change.before is None else _encode(_packed(change.before)),
            "after": _encode(_packed(change.after)),
            "other_line": change.other_line,
        }
    before = None if change.before is None else _encode(change.before)
    row |= {"before": before, "after": _encode(change.after)}
    if isinstance(change, EventChange):
        ended = [_packed_ended(odds) for odds in change.ended]
        row |= {
            "event_id": change.event_id,
            "ended": zlib.compress(_encode(ended)) if ended else None,
        }
    return row


def _packed_ended(odds: BookmakerOdds) -> _Ended:
    return _Ended(
        odds.snapshot_id,
        odds.source,
        odds.bookmaker,
        odds.observed_at,
        odds.confirmed_at,
        odds.source_updated_at,
        [(*key, _packed(market)) for key, market in odds.markets.items()],
    )


def change_from(row: Row[Any]) -> Change:
    """A row of odds_history as the change it was."""
    kind = ChangeKind(row.kind)
    if kind <= ChangeKind.REMOVED:
        key = MarketKey(row.market, row.line, row.participant)
        return MarketChange(
            row.revision,
            kind,
            row.reason,
            row.event_id,
            row.source,
            row.bookmaker,
            row.snapshot_id,
            row.observed_at,
            row.detected_at,
            None if row.before is None else market_from(key, row.before),
            market_from(key, row.after),
            row.other_line,
        )
    if kind <= ChangeKind.EVENT_ENDED:
        packed = [] if row.ended is None else _ended.decode(zlib.decompress(row.ended))
        return EventChange(
            row.revision,
            kind,
            row.reason,
            row.event_id,
            row.source,
            row.observed_at,
            row.detected_at,
            None if row.before is None else event_from(row.before),
            event_from(row.after),
            tuple(_unpacked_ended(row.event_id, ended) for ended in packed),
        )
    return SourceChange(
        row.revision,
        kind,
        row.reason,
        row.source,
        row.observed_at,
        row.detected_at,
        None if row.before is None else state_from(row.before),
        state_from(row.after),
    )


def _unpacked_ended(event_id: str, ended: _Ended) -> BookmakerOdds:
    keys = [(MarketKey(*parts), odds) for *parts, odds in ended.markets]
    return BookmakerOdds(
        ended.snapshot_id,
        event_id,
        ended.source,
        ended.bookmaker,
        ended.observed_at,
        ended.confirmed_at,
        ended.source_updated_at,
        {key: _unpacked(key, odds) for key, odds in keys},
    )
