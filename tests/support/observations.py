"""Small observations, and a fold of changes that knows nothing of the cache."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from odds_service.detection.comparison import compare_observation
from odds_service.detection.numbering import Numbered, number
from odds_service.filters.selection import Selection
from odds_service.model.change import Change, ChangeKind, EventChange, MarketChange
from odds_service.model.market import Market, MarketKey, MarketStatus, Outcome, observed_market
from odds_service.model.match import Placed, ShownEvent
from odds_service.model.observation import (
    Completeness,
    Observation,
    ObservedBookmaker,
    ObservedEvent,
    Scope,
)
from odds_service.model.snapshot import EventOdds

NOON = datetime(2026, 8, 4, 12, tzinfo=UTC)

Prices = Mapping[str, float | None]  # outcome key -> price, None where suspended
Offer = Mapping[str, Mapping[str, Mapping[MarketKey, Prices]]]  # event -> bookmaker -> market
Place = tuple[str, str, str, MarketKey]  # event, source, bookmaker, market
Shown = tuple[MarketStatus, tuple[tuple[str, float | None, bool], ...]]


def observed_event(
    event_id: str,
    bookmakers: Mapping[str, Mapping[MarketKey, Prices]],
    *,
    start_time: datetime = NOON + timedelta(hours=6),
    home: str = "Home",
    away: str = "Away",
    unreadable: Mapping[str, frozenset[str]] = {},
) -> ObservedEvent:
    """Return an observed event.

    Args:
        event_id: The source's own id of the event.
        bookmakers: Bookmaker -> market -> outcome -> price, None for a suspended outcome.
        start_time: The start of the event, in UTC.
        home: The name of the home side.
        away: The name of the away side.
        unreadable: Bookmaker -> market types that could not be decoded.
    """
    return ObservedEvent(
        source_event_id=event_id,
        sport="soccer",
        competition="soccer_epl",
        home=home,
        away=away,
        start_time=start_time,
        bookmakers=tuple(
            ObservedBookmaker(
                bookmaker=name,
                markets={
                    key: observed_market(
                        key,
                        [
                            Outcome(outcome, outcome.title(), price, price is not None)
                            for outcome, price in prices.items()
                        ],
                    )
                    for key, prices in markets.items()
                },
                unreadable=unreadable.get(name, frozenset()),
            )
            for name, markets in bookmakers.items()
        ),
    )


def observe(
    events: Iterable[ObservedEvent],
    minute: float = 0,
    *,
    source: str = "toa",
    scope: Scope | None = None,
    completeness: Completeness = Completeness.COMPLETE,
    unreadable: frozenset[str] = frozenset(),
) -> Observation:
    """Return a fetch that started and ended `minute` minutes after NOON."""
    at = NOON + timedelta(minutes=minute)
    return Observation(
        source=source,
        scope=scope or Scope(listing="soccer_epl"),
        completeness=completeness,
        started_at=at,
        observed_at=at,
        sequence=round(at.timestamp()),
        events=tuple(events),
        unreadable=unreadable,
    )


def offered(offer: Offer) -> list[ObservedEvent]:
    return [observed_event(event_id, bookmakers) for event_id, bookmakers in offer.items()]


def by_own_ids(observation: Observation) -> dict[str, Placed]:
    """Place each source event under its own id, as a reconciler that joins none would."""
    return {
        observed.source_event_id: Placed(
            observed.source_event_id,
            ShownEvent(
                observed.sport,
                observed.competition,
                observed.home,
                observed.away,
                observed.start_time,
                observed.start_time,
                dict(observed.shared_ids),
            ),
        )
        for observed in observation.events
    }


def detect(
    events: Mapping[str, EventOdds],
    observation: Observation,
    *,
    first_revision: int,
    detected_at: datetime | None = None,
) -> Numbered:
    """Compare and number an observation whose source events are all events of their own."""
    return number(
        events,
        compare_observation(events, observation, by_own_ids(observation)).intents,
        first_revision=first_revision,
        detected_at=detected_at or observation.observed_at,
    )


class Book:
    """Cached entries and a log, driven by comparison and numbering alone."""

    def __init__(self) -> None:
        self.events: dict[str, EventOdds] = {}
        self.log: list[Change] = []

    def see(self, observation: Observation) -> Numbered:
        """Apply an observation; return what it changed."""
        found = detect(self.events, observation, first_revision=len(self.log) + 1)
        self.take(found)
        return found

    def take(self, found: Numbered) -> None:
        """Append numbered changes to the log, and put their new entries into the cache."""
        for event_id, entry in found.entries.items():
            if entry is None:
                del self.events[event_id]
            else:
                self.events[event_id] = entry
        self.log += found.changes


def shown_odds(market: Market) -> Shown:
    """Return a market's odds without names, times and revision."""
    return market.status, tuple((o.key, o.price, o.active) for o in market.outcomes)


def cached(events: Mapping[str, EventOdds]) -> dict[Place, Shown]:
    """Return all markets of cached entries by place, without names, times and revisions."""
    return {
        (event_id, source, bookmaker, key): shown_odds(market)
        for event_id, entry in events.items()
        for (source, bookmaker), odds in entry.bookmakers.items()
        for key, market in odds.markets.items()
    }


def shown_of(selection: Selection, events: Mapping[str, EventOdds]) -> dict[Place, Shown]:
    """Return the part of cached entries that a selection shows."""
    chosen = {name: entry for name, entry in events.items() if selection.takes_event(entry.event)}
    return {
        place: shown
        for place, shown in cached(chosen).items()
        if selection.takes_bookmaker(place[1], place[2])
        and (selection.markets is None or place[3].market in selection.markets)
    }


def apply_changes(held: dict[Place, Shown], changes: Iterable[Change]) -> None:
    """Fold changes into a map as a client does; assert that each `before` is what the map held."""
    for change in changes:
        if isinstance(change, EventChange) and change.kind is ChangeKind.EVENT_ENDED:
            for place in [place for place in held if place[0] == change.event_id]:
                del held[place]
        if not isinstance(change, MarketChange):
            continue
        place = (change.event_id, change.source, change.bookmaker, change.after.key)
        before = change.before
        had = held.pop(place, None)
        assert had == (None if before is None else shown_odds(before))
        if change.after.status is not MarketStatus.REMOVED:
            held[place] = shown_odds(change.after)


def fold(changes: Iterable[Change]) -> dict[Place, Shown]:
    """Fold a whole log as a reader does; assert that its revisions follow on one another."""
    shown: dict[Place, Shown] = {}
    last = 0
    for change in changes:
        assert change.revision == last + 1
        last = change.revision
        apply_changes(shown, [change])
    return shown
