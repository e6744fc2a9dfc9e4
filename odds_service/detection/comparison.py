"""Comparison of an observation with the cached odds, as un-numbered intents.

Pure functions: they neither await nor read a clock nor access a database.
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
from odds_service.model.difference import Difference, compare_markets, number_after
from odds_service.model.draws import includes_draw, shows_draw
from odds_service.model.event import Event
from odds_service.model.market import Markets
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
    """The result of one comparison.

    Args:
        intents: in the order of event ids, shown events before missing ones.
        markets: the number of markets compared.
        late: the events that were discarded because a newer observation was applied before.
        duplicates: the events that the payload contains more than once; the first one counts.
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

    Events are compared in the order of their ids, so the order in the payload does not matter. A
    failed observation affects only the state of its source, and gives no intents.

    Args:
        events: the cached entries, with the moves applied.
        observation: a fetch, or a slice of one.
        places: the source's id of an event -> its place, for every event of the observation.
        present: the source's ids of the events in other slices of the same fetch.
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
    """Compare an event that the source shows; `entry` is None for a new event."""
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
        tier=observation.tier,
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
    """Compare the bookmakers of a shown event: first those shown, then those gone.

    Returns:
        All intents, and the subset for cached odds that differ.
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
        held_markets = current.markets
        differences = compare_markets(held_markets, shown, scope_markets, elsewhere=elsewhere)
        matched = number_after(held_markets, shown.markets, differences)
        lagging: Mapping[str, Seen] = {}
        # An answer that matches, or will, shows every cached market.
        if shown.unreadable or not (whole or matched):
            lagging = lagging_types(current, shown, scope)
        if differences:
            differ = OddsDiffer(key, differences, shown.source_updated_at, lagging, matched)
            intents.append(differ)
            differing.append(differ)
        elif not lagging or is_confirmed(current, lagging):
            if matched and type(held_markets) is Markets:
                held_markets.matched = matched
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
    """Return the intent for a bookmaker that is new to the event."""
    differences = compare_markets({}, shown)
    matched = number_after({}, shown.markets, differences)
    return OddsDiffer(key, differences, shown.source_updated_at, {}, matched)


def _is_carried_otherwise(carried: EventSource, fresh: EventSource) -> bool:
    """Return whether the new value of an event's source has to be stored."""
    return (
        carried.listing != fresh.listing
        or carried.source_event_id != fresh.source_event_id
        or (carried.shown is not fresh.shown and carried.shown != fresh.shown)
        or carried.match != fresh.match
        or carried.told is not fresh.told
    )


def _listing(carried: EventSource | None, scope: Scope) -> str | None:
    """Return the listing whose answers decide on the event's absence.

    An event stays with its listing until that listing lacks it, so an event in two listings does
    not alternate between them.
    """
    if carried is None or (scope.listing is not None and carried.absences > 0):
        return scope.listing
    return scope.listing if carried.listing is None else carried.listing


def _may_be_gone(bookmaker: str, observed: ObservedEvent, scope: Scope) -> bool:
    """Return whether a bookmaker that a shown event lacks may be gone."""
    return bookmaker not in observed.unreadable and (
        scope.bookmakers is None or bookmaker in scope.bookmakers
    )


def _draws_lost(
    event: Event, held: Mapping[BookmakerKey, BookmakerOdds], differing: list[OddsDiffer]
) -> EventDifference | None:
    """Return the update of an event whose markets have just lost the draw, None if none has.

    The event remembers the loss, since the market may be removed and return.
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
    """Yield the types of three-way markets that lose the draw or are removed."""
    for difference in differences:
        before = odds.markets.get(difference.key)
        if before is not None and shows_draw(before.outcomes):
            observed = difference.observed
            if observed is not None:
                if not shows_draw(observed.outcomes):
                    yield difference.key.market
            elif difference.kind is ChangeKind.REMOVED:
                yield difference.key.market
