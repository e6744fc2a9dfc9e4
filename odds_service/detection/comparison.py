"""The comparison of an observation with the cached odds, as un-numbered intents.

Pure functions: they await nothing, read no clock and touch no database.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from operator import attrgetter
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from odds_service.detection.confirming import confirms_all, is_confirmed, lagging_types
from odds_service.detection.departure import is_late, lose_odds, miss_event, missing
from odds_service.detection.events import describe, reason_of_update
from odds_service.detection.intents import (
    EventDifference,
    EventIntent,
    Look,
    OddsConfirmed,
    OddsDiffer,
    OddsIntent,
)
from odds_service.model.change import ChangeKind, Reason
from odds_service.model.difference import Difference, compare_markets
from odds_service.model.draws import includes_draw, shows_draw
from odds_service.model.event import Event
from odds_service.model.match import Placed
from odds_service.model.observation import (
    ANY,
    Completeness,
    Observation,
    ObservedBookmaker,
    ObservedEvent,
    Scope,
)
from odds_service.model.snapshot import BookmakerKey, BookmakerOdds, EventOdds, EventSource, Seen

_BY_BOOKMAKER: Final = attrgetter("bookmaker")


class Compared(Struct, frozen=True):
    """The outcome of one comparison.

    Args:
        intents: in the order of event ids, events that are shown before events that are missing.
        markets: the markets that were compared.
        late: events whose observation is older than the last one applied to them; discarded.
        duplicates: events that stood in the payload more than once; the first one counts.
    """

    intents: tuple[EventIntent, ...] = ()
    markets: int = 0
    late: int = 0
    duplicates: int = 0


def compare_observation(
    events: Mapping[str, EventOdds],
    observation: Observation,
    places: Mapping[str, Placed],
    present: AbstractSet[str] = frozenset(),
) -> Compared:
    """Compare an observation with the cached events.

    Events are taken in the order of their ids, so the order of a payload changes nothing. A failed
    observation bears on its source's state alone, and gives no intent.

    Args:
        events: the cached entries, with the moves applied.
        observation: one fetch, or one slice of it.
        places: the source's id of an event -> its place, for every event of the observation.
        present: the source's ids of events that other slices of the same fetch show.
    """
    if observation.completeness is Completeness.FAILED:
        return Compared()
    source = observation.source
    look = Look(source, observation.observed_at, observation.observed_boot_s)
    named: dict[str, tuple[ObservedEvent, Placed]] = {}
    duplicates = markets = late = 0
    for observed in observation.events:
        placed = places[observed.source_event_id]
        if named.setdefault(placed.event_id, (observed, placed))[0] is not observed:
            duplicates += 1
    intents: list[EventIntent] = []
    for event_id in sorted(named):
        entry = events.get(event_id)
        if entry is not None and is_late(entry.sources.get(source), observation):
            late += 1
            continue
        observed, placed = named[event_id]
        intents.append(_see_event(entry, observed, placed, observation, look))
        for shown in observed.bookmakers:
            markets += len(shown.markets)
    if observation.completeness is Completeness.COMPLETE and ANY not in observation.unreadable:
        for entry in missing(events, named.keys(), observation, present):
            if is_late(entry.sources[source], observation):
                late += 1
            else:
                intents.append(miss_event(entry, observation.sequence, look))
    return Compared(tuple(intents), markets, late, duplicates)


def _see_event(
    entry: EventOdds | None,
    observed: ObservedEvent,
    placed: Placed,
    observation: Observation,
    look: Look,
) -> EventIntent:
    """Compare an event that the source shows.

    entry: the event in the cache, None where it is new.
    """
    source, scope = look.source, observation.scope
    carried = None if entry is None else entry.sources.get(source)
    listing = _listing(carried, scope)
    fresh = EventSource(
        source,
        observed.source_event_id,
        listing,
        observation.sequence,
        shown=placed.shown,
        match=placed.match,
        told=observed.status,
        seen_boot_s=look.boot_s,
    )
    moved = carried is None or _is_carried_otherwise(carried, fresh)
    event = describe(entry, placed.event_id, observed, look)
    first = None
    held: Mapping[BookmakerKey, BookmakerOdds] = {}
    sources = {source: fresh}
    if entry is None:
        first = EventDifference(ChangeKind.EVENT_ADDED, "", None, event)
    else:
        held = entry.bookmakers
        sources = {**entry.sources, source: fresh}
        if moved or event != entry.event:
            relisted = carried is not None and carried.listing != listing
            reason = reason_of_update(entry.event, event, relisted=relisted)
            first = EventDifference(ChangeKind.EVENT_UPDATED, reason, entry.event, event)
    odds, differing = _see_odds(held, observed, observation)
    last = _draws_lost(event, held, differing) if differing else None
    return EventIntent(
        look,
        event if last is None else last.after,
        sources,
        first,
        odds,
        last,
        (fresh,) if moved else (),
    )


def _see_odds(
    held: Mapping[BookmakerKey, BookmakerOdds], observed: ObservedEvent, observation: Observation
) -> tuple[list[OddsIntent], list[OddsDiffer]]:
    """Compare the bookmakers of an event that is shown: those shown, then those that are gone.

    Returns all intents, and again those of held odds that differ.
    """
    source, scope = observation.source, observation.scope
    scope_markets, elsewhere, whole = scope.markets, scope.elsewhere, confirms_all(scope)
    intents: list[OddsIntent] = []
    differing: list[OddsDiffer] = []
    names = set()
    known = 0
    for shown in sorted(observed.bookmakers, key=_BY_BOOKMAKER):
        bookmaker = shown.bookmaker
        names.add(bookmaker)
        key = source, bookmaker
        current = held.get(key)
        if current is None:
            if shown.markets:
                intents.append(_new_odds(key, shown))
            continue
        known += 1
        differences = compare_markets(current.markets, shown, scope_markets, elsewhere=elsewhere)
        lagging: Mapping[str, Seen] = {}
        if not whole or shown.unreadable:
            lagging = lagging_types(current, shown, scope)
        if differences:
            differ = OddsDiffer(key, differences, shown.source_updated_at, lagging)
            intents.append(differ)
            differing.append(differ)
        elif not lagging or is_confirmed(current, lagging):
            intents.append(OddsConfirmed(key, shown.source_updated_at, lagging))
    if known < len(held) and ANY not in observed.unreadable:
        for key in sorted(held):
            if key[0] == source and key[1] not in names and _may_be_gone(key[1], observed, scope):
                lost = lose_odds(held[key], scope)
                if lost is not None:
                    intents.append(lost)
                    differing.append(lost)
    return intents, differing


def _new_odds(key: BookmakerKey, shown: ObservedBookmaker) -> OddsDiffer:
    """Return the odds of a bookmaker that the event did not have."""
    return OddsDiffer(key, compare_markets({}, shown), shown.source_updated_at, {})


def _is_carried_otherwise(carried: EventSource, fresh: EventSource) -> bool:
    """Return whether a store has to keep the new value of an event's source."""
    return (
        carried.listing != fresh.listing
        or carried.source_event_id != fresh.source_event_id
        or (carried.shown is not fresh.shown and carried.shown != fresh.shown)
        or carried.match != fresh.match
        or carried.told is not fresh.told
    )


def _listing(carried: EventSource | None, scope: Scope) -> str | None:
    """Return the listing by which the event's absence is judged.

    An event stays with its listing until that one lacks it, so an event that stands in two
    listings does not move to and fro.
    """
    if carried is None or (scope.listing is not None and carried.absences > 0):
        return scope.listing
    return scope.listing if carried.listing is None else carried.listing


def _may_be_gone(bookmaker: str, observed: ObservedEvent, scope: Scope) -> bool:
    """Return whether the absence of a bookmaker from an event that is shown means it is gone."""
    return bookmaker not in observed.unreadable and (
        scope.bookmakers is None or bookmaker in scope.bookmakers
    )


def _draws_lost(
    event: Event, held: Mapping[BookmakerKey, BookmakerOdds], differing: list[OddsDiffer]
) -> EventDifference | None:
    """Return the update of an event whose markets have just lost their draw.

    The event remembers it, since the market itself may go and come back.
    """
    lost = {
        (*intent.key, market)
        for intent in differing
        for market in _losing_draws(held[intent.key], intent.differences)
        if not includes_draw(event.sport, event.competition, market)
    }.difference(event.draws_lost)
    if not lost:
        return None
    updated = replace(event, draws_lost=tuple(sorted(lost.union(event.draws_lost))))
    return EventDifference(ChangeKind.EVENT_UPDATED, Reason.DRAW_LOST, event, updated)


def _losing_draws(odds: BookmakerOdds, differences: Iterable[Difference]) -> Iterator[str]:
    """Yield the types of the three-way markets that lose the draw, or that go as a whole."""
    for difference in differences:
        before = odds.markets.get(difference.key)
        if before is not None and shows_draw(before.outcomes):
            observed = difference.observed
            if observed is not None:
                if not shows_draw(observed.outcomes):
                    yield difference.key.market
            elif difference.kind is ChangeKind.REMOVED:
                yield difference.key.market
