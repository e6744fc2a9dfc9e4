"""The worker's end of the differences: what was sent last, and what has to be sent now."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from operator import is_, itemgetter
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from odds_service.model.market import MarketKey, ObservedMarket, Outcome
from odds_service.model.observation import ObservedBookmaker, ObservedEvent
from odds_service.workers.messages import (
    ANEW,
    BookmakerDelta,
    EventDelta,
    RepricedMarket,
    ShownMarket,
)

KEPT_S: Final = 3_600.0  # an event that was not sent for so long is forgotten at both ends

_MOST_PLACES: Final = 256  # of times, so that a place is a byte
_PLACE: Final = itemgetter(0)
_FIELDS: Final = tuple(name for name in ObservedEvent.__struct_fields__ if name != "bookmakers")


class _Sent(Struct):
    number: int
    event: ObservedEvent
    at_s: float


class Sent:
    """The events of one source as they were sent last."""

    def __init__(self) -> None:
        self._events: dict[str, _Sent] = {}  # the longest unsent first
        self._number = 0

    def delta(self, event: ObservedEvent, now_s: float) -> EventDelta:
        """Return an event as the difference from what was sent of it last, and remember it.

        The next one builds on this one, so it has to be sent before.

        Args:
            event: the event, from behind the gate.
            now_s: a monotonic time in seconds.
        """
        self._number += 1
        known = self._events.pop(event.source_event_id, None)
        self._events[event.source_event_id] = sent = _Sent(self._number, event, now_s)
        if known is None:
            whole = tuple([_anew(shown) for shown in event.bookmakers])
            return EventDelta(
                event.source_event_id, 0, self._number, replace(event, bookmakers=()), whole
            )
        before = known.event
        fields = None if _same_fields(before, event) else replace(event, bookmakers=())
        deltas, kept = _differing(before.bookmakers, event.bookmakers)
        sent.event = replace(event, bookmakers=kept)
        return EventDelta(event.source_event_id, known.number, self._number, fields, deltas)

    def drop(self, source_event_id: str) -> None:
        """Forget an event, which is sent whole the next time."""
        self._events.pop(source_event_id, None)

    def forget(self, now_s: float) -> list[str]:
        """Forget the events that were not sent for KEPT_S, and return their ids."""
        gone = []
        for source_event_id, sent in self._events.items():
            if sent.at_s >= now_s - KEPT_S:
                break
            gone.append(source_event_id)
        for source_event_id in gone:
            del self._events[source_event_id]
        return gone

    def clear(self) -> None:
        """Forget all events."""
        self._events.clear()


def _same_fields(one: ObservedEvent, other: ObservedEvent) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in _FIELDS)


def _differing(
    before: tuple[ObservedBookmaker, ...], now: tuple[ObservedBookmaker, ...]
) -> tuple[tuple[int | BookmakerDelta, ...] | None, tuple[ObservedBookmaker, ...]]:
    """Return the differences of an event's bookmakers, None if there are none.

    Returns:
        The differences, and the bookmakers with their markets in the order that the other end has.
    """
    places = {shown.bookmaker: place for place, shown in enumerate(before)}
    deltas: list[int | BookmakerDelta] = []
    kept = []
    for shown in now:
        place = places.get(shown.bookmaker)
        if place is None:
            deltas.append(_anew(shown))
            kept.append(shown)
            continue
        delta, ordered = _since(place, before[place], shown)
        deltas.append(delta)
        kept.append(ordered)
    if deltas == list(range(len(before))):
        return None, before
    return tuple(deltas), tuple(kept)


def _since(
    place: int, before: ObservedBookmaker, now: ObservedBookmaker
) -> tuple[int | BookmakerDelta, ObservedBookmaker]:
    """Return a bookmaker as a difference, or its place in the base if it is as before."""
    if before is now:
        return place, before
    held, markets = before.markets, now.markets
    # Behind the gate equal keys are one object: where all are in the same places, none is hashed.
    aligned = len(held) == len(markets) and all(map(is_, held, markets))
    others: Iterable[ObservedMarket | None] = held.values() if aligned else map(held.get, markets)
    shown: list[ShownMarket] = []
    repriced: list[tuple[int, ObservedMarket]] = []
    added: list[MarketKey] = []
    retimed = False
    pairs = zip(others, markets.values(), strict=True)
    for place_now, (other, market) in enumerate(pairs):
        if other is market:
            continue
        if other is None:
            shown.append(_shown(market))
            added.append(market.key)
        elif other.status is market.status and other.outcomes == market.outcomes:
            retimed = retimed or other.source_updated_at != market.source_updated_at
        elif _differ_in_prices(other.outcomes, market.outcomes):
            repriced.append((place_now, market))
        else:
            shown.append(_shown(market))
    gone: tuple[MarketKey, ...] = ()
    if len(markets) - len(added) < len(held):
        gone = tuple([key for key in held if key not in markets])
    if not (
        shown or repriced or retimed or gone
        or before.source_updated_at != now.source_updated_at
        or before.unreadable != now.unreadable
    ):  # fmt: skip
        return place, before
    kept = now
    if not aligned:
        ordered = {key: markets[key] for key in held if key in markets}
        ordered.update((key, markets[key]) for key in added)
        kept = replace(now, markets=ordered)
    times: tuple[datetime | None, ...] = ()
    at = b""
    if retimed:
        each = [market.source_updated_at for market in kept.markets.values()]
        times, at = _once_each(each)
        if None in times:  # which one comes first tells then whether the source gives times
            return _anew(now), now
    delta = BookmakerDelta(
        place, "", now.source_updated_at, tuple(sorted(now.unreadable)), tuple(shown),
        _repriced(repriced, None if aligned else held), gone, times, at,
    )  # fmt: skip
    return delta, kept


def _once_each(each: list[datetime | None]) -> tuple[tuple[datetime | None, ...], bytes]:
    """Return times, each once, and for each given one its place; all times if they are many."""
    if each.count(each[0]) == len(each):  # as in most answers of the sources that give times
        return (each[0],), bytes(len(each))
    places: dict[datetime | None, int] = {}
    at = [places.setdefault(time, len(places)) for time in each]
    if len(places) > _MOST_PLACES:
        return tuple(each), b""
    return tuple(places), bytes(at)


def _anew(shown: ObservedBookmaker) -> BookmakerDelta:
    markets: Mapping[MarketKey, ObservedMarket] = shown.markets
    return BookmakerDelta(
        ANEW, shown.bookmaker, shown.source_updated_at, tuple(sorted(shown.unreadable)),
        tuple([_shown(market) for market in markets.values()]),
    )  # fmt: skip


def _differ_in_prices(before: tuple[Outcome, ...], now: tuple[Outcome, ...]) -> bool:
    """Return whether two outcomes of each place differ in nothing but their prices."""
    return len(before) == len(now) and all(
        one.key == other.key and one.name == other.name and one.active == other.active
        for one, other in zip(before, now, strict=True)
    )


def _repriced(
    now: list[tuple[int, ObservedMarket]], held: Mapping[MarketKey, ObservedMarket] | None
) -> tuple[RepricedMarket, ...]:
    """Return markets by their place among those of the base.

    Args:
        now: the markets with their places in the answer.
        held: those of the base; None if all are in the same places.
    """
    if now and held is not None:
        places = {key: place for place, key in enumerate(held)}
        now = sorted(((places[market.key], market) for _, market in now), key=_PLACE)
    return tuple([
        RepricedMarket(
            place, market.status, tuple([each.price for each in market.outcomes]),
            market.source_updated_at,
        )
        for place, market in now
    ])  # fmt: skip


def _shown(market: ObservedMarket) -> ShownMarket:
    return ShownMarket(market.key, market.status, market.outcomes, market.source_updated_at)
