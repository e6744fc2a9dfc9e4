"""Decoders from the contract's messages to the client's values."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby
from typing import Final, TypeVar

from odds_service.client.market_change import KINDS, ChangeKind, market_change
from odds_service.client.market_decoding import market, market_key, moment
from odds_service.client.values import (
    BookmakerOdds,
    Change,
    ClosedEvent,
    ClosingOdds,
    EventChange,
    EventOdds,
    Freshness,
    HistoricalChange,
    ListedBookmaker,
    ListedEvent,
    Odds,
    OddsFreshness,
    Refreshed,
    RefreshedSource,
    SourceChange,
    SourceMatch,
    SourceState,
    UnknownChange,
)
from odds_service.model.cursor import Cursor
from odds_service.model.event import Event, EventStatus
from odds_service.model.market import AtStart
from odds_service.model.overround import BestMarket, BestPrice, Exclusion
from odds_service.model.reload import Reloaded
from odds_service.model.source import SourceStatus
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

E = TypeVar("E")

_UNSTORED: Final = int(ChangeKind.UNSTORED)
_EVENT_STATUSES: Final = {int(status): status for status in EventStatus}
_SOURCE_STATUSES: Final = {int(status): status for status in SourceStatus}
_AT_STARTS: Final = {int(status): status for status in AtStart}
_EXCLUSIONS: Final = {int(exclusion): exclusion for exclusion in Exclusion}


def cursor(message: pb.Cursor) -> Cursor:
    return Cursor(message.epoch, message.revision)


def event(message: pb.Event) -> Event:
    return Event(
        id=message.id,
        sport=message.sport,
        competition=message.competition,
        home=message.home,
        away=message.away,
        start_time=moment(message.start_time),
        status=_EVENT_STATUSES.get(message.status, EventStatus.SCHEDULED),
        source_ids=dict(message.source_ids),
        merged_into=message.merged_into,
        title="" if message.home or message.away else message.name,
        told={
            source: _EVENT_STATUSES[status]
            for source, status in message.told.items()
            if status in _EVENT_STATUSES  # a newer status cannot be compared
        },
        draws_lost=tuple((lost.source, lost.bookmaker, lost.market) for lost in message.draws_lost),
    )


def bookmaker_odds(event_id: str, message: pb.BookmakerOdds) -> BookmakerOdds:
    markets = [market(each) for each in message.markets]
    return BookmakerOdds(
        snapshot_id=message.snapshot_id,
        event_id=event_id,
        source=message.source,
        bookmaker=message.bookmaker,
        observed_at=moment(message.observed_at),
        confirmed_at=moment(message.confirmed_at),
        source_updated_at=(
            moment(message.source_updated_at) if message.HasField("source_updated_at") else None
        ),
        markets={each.key: each for each in markets},
        stale=message.stale,
    )


def event_odds(message: pb.EventOdds) -> EventOdds:
    shown = event(message.event)
    bookmakers = [bookmaker_odds(shown.id, each) for each in message.bookmakers]
    by_key = {each.key: each for each in bookmakers}
    confirmed = {key: each.confirmed_at for key, each in by_key.items()}
    return EventOdds(shown, by_key, tuple(best_market(best, confirmed) for best in message.best))


def best_market(
    message: pb.BestMarket, confirmed_at: dict[tuple[str, str], datetime]
) -> BestMarket:
    """Decode a best market.

    Args:
        message: The message of the contract.
        confirmed_at: (source, bookmaker) -> the time at which the same reply confirms its odds.
    """
    prices = tuple(
        BestPrice(
            price.outcome,
            price.name,
            price.price,
            price.source,
            price.bookmaker,
            confirmed_at[price.source, price.bookmaker],
        )
        for price in message.prices
    )
    combined = message.combined_overround if message.HasField("combined_overround") else None
    return BestMarket(
        market_key(message.key),
        tuple(price.outcome for price in prices),
        prices,
        {(each.source, each.bookmaker): each.overround for each in message.overrounds},
        combined,
        {
            (each.source, each.bookmaker): _EXCLUSIONS.get(each.reason, Exclusion.STALE)
            for each in message.exclusions
        },
        message.suspect_overround if message.HasField("suspect_overround") else None,
        tuple(message.suspect_reasons),
    )


def source_state(message: pb.SourceState) -> SourceState:
    return SourceState(
        source=message.source,
        status=_SOURCE_STATUSES.get(message.state, SourceStatus.STALE),
        last_success_at=(
            moment(message.last_success_at) if message.HasField("last_success_at") else None
        ),
        consecutive_failures=message.consecutive_failures,
        reason=message.reason,
        quota_left=message.quota_left if message.HasField("quota_left") else None,
        detail=message.detail,
    )


def odds(message: pb.GetOddsResponse) -> Odds:
    entries = [event_odds(each) for each in message.events]
    states = [source_state(each) for each in message.sources]
    return Odds(
        cursor(message.cursor),
        message.durable_revision,
        {each.event.id: each for each in entries},
        {each.source: each for each in states},
    )


def historical_change(message: pb.Change) -> HistoricalChange:
    """Decode any change; dispatch on which field is set, so unknown kinds still decode.

    A change of a market is decoded when it is first looked at: leave its message as it is.
    """
    number = message.kind
    if message.HasField("after") and number != _UNSTORED:
        return market_change(message)
    kind = KINDS.get(number, ChangeKind.UNSPECIFIED)
    if kind is not ChangeKind.UNSTORED:
        if message.HasField("source_state"):
            return SourceChange(
                revision=message.revision,
                kind=kind,
                state=source_state(message.source_state),
                observed_at=moment(message.observed_at),
                detected_at=moment(message.detected_at),
                reason=message.reason,
                conflated_count=message.conflated_count,
            )
        if message.HasField("event"):
            return EventChange(
                revision=message.revision,
                kind=kind,
                event=event(message.event),
                source=message.source,
                observed_at=moment(message.observed_at),
                detected_at=moment(message.detected_at),
                reason=message.reason,
                conflated_count=message.conflated_count,
            )
    return UnknownChange(
        revision=message.revision,
        kind=kind,
        event_id=message.event_id,
        source=message.source,
        bookmaker=message.bookmaker,
        detected_at=moment(message.detected_at) if message.HasField("detected_at") else None,
        reason=message.reason,
    )


def listed_event(message: pb.ListedEvent) -> ListedEvent:
    return ListedEvent(
        event=event(message.event),
        bookmakers=tuple(
            ListedBookmaker(
                bookmaker=each.bookmaker,
                source=each.source,
                markets=each.markets,
                confirmed_at=moment(each.confirmed_at),
                stale=each.stale,
            )
            for each in message.bookmakers
        ),
        matches=tuple(
            SourceMatch(
                source=each.source,
                source_event_id=each.source_event_id,
                score=each.score,
                reason=each.reason,
                home=each.home,
                away=each.away,
                competition=each.competition,
                start_time=moment(each.start_time) if each.HasField("start_time") else None,
            )
            for each in message.matches
        ),
    )


def closed_event(message: pb.ClosedEvent) -> ClosedEvent:
    return ClosedEvent(
        event=event(message.event),
        odds=tuple(
            ClosingOdds(
                bookmaker=each.bookmaker,
                source=each.source,
                market=market(each.market),
                confirmed_at=moment(each.confirmed_at),
                age_s=each.age.ToTimedelta().total_seconds(),
                offered=each.offered,
                at_start=_AT_STARTS.get(each.at_start, AtStart.NOT_KNOWN),
                looked_at=moment(
                    each.looked_at if each.HasField("looked_at") else each.confirmed_at
                ),
                opening=market(each.opening) if each.HasField("opening") else None,
            )
            for each in message.odds
        ),
    )


def closed_events(pages: Iterable[pb.ClosingOddsPage]) -> Iterator[ClosedEvent]:
    """Decode closed events, joining an event that is split over several pages."""
    entries = (closed_event(message) for page in pages for message in page.events)
    for _, parts in groupby(entries, key=lambda entry: entry.event.id):
        first, *others = parts
        odds = (*first.odds, *(each for other in others for each in other.odds))
        yield ClosedEvent(event=first.event, odds=odds)


def history_page(page: pb.HistoryPage) -> list[HistoricalChange]:
    return [historical_change(message) for message in page.changes]


def known_changes(changes: list[HistoricalChange]) -> tuple[Change, ...]:
    """Return the changes except those with unknown odds."""
    return tuple(change for change in changes if not isinstance(change, UnknownChange))


def refreshed(message: pb.RefreshEventResponse) -> Refreshed:
    return Refreshed(
        cursor=cursor(message.cursor),
        durable_revision=message.durable_revision,
        changes=known_changes([historical_change(each) for each in message.changes]),
        snapshots={(each.source, each.bookmaker): each.snapshot_id for each in message.snapshots},
        sources=tuple(
            RefreshedSource(
                source=each.source,
                ok=each.ok,
                error_code=each.error_code,
                error_message=each.error_message,
                latency_s=each.latency.ToTimedelta().total_seconds(),
            )
            for each in message.sources
        ),
    )


def reloaded(message: pb.ReloadResponse) -> Reloaded:
    return Reloaded(
        added=tuple(message.sources_added),
        removed=tuple(message.sources_removed),
        changed=tuple(message.sources_changed),
        unchanged=tuple(message.sources_unchanged),
        applied=tuple(message.applied),
        needs_restart=tuple(message.needs_restart),
        withdrawn=message.withdrawn,
        cursor=cursor(message.cursor),
    )


def freshness(message: pb.Freshness) -> Freshness:
    return Freshness(
        cursor=cursor(message.cursor),
        odds=tuple(
            OddsFreshness(
                event_id=each.event_id,
                source=each.source,
                bookmaker=each.bookmaker,
                confirmed_at=moment(each.confirmed_at),
                stale=each.stale,
            )
            for each in message.odds
        ),
    )
