"""The service's end of the differences: observations as the worker's source made them."""

from collections.abc import Sequence
from datetime import datetime
from itertools import count
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from odds_service.model.market import MarketKey, ObservedMarket, ObservedMarkets, Outcome
from odds_service.model.observation import ObservedBookmaker, ObservedEvent
from odds_service.sources.shared_values import SharedValues
from odds_service.workers.messages import (
    ANEW,
    BookmakerDelta,
    EventDelta,
    RepricedMarket,
    ShownMarket,
)

_contents: Final = count(1)  # of all mirrors, so that no two contents have one number


class Doubt(Exception):
    """A difference builds on something that is not known here: ask for the whole."""


class _Held(Struct, frozen=True):
    number: int
    event: ObservedEvent


class Mirror:
    """The events of one source as its worker has sent them last.

    Its markets share equal keys and outcomes, as those behind the gate do in the worker.
    """

    def __init__(self) -> None:
        self._events: dict[str, _Held] = {}
        self._shared = SharedValues()

    def __len__(self) -> int:
        return len(self._events)

    def take(self, delta: EventDelta) -> ObservedEvent:
        """Return the event that a difference stands for, and remember it.

        What has not changed is the same object as before. The markets of its bookmakers are
        ObservedMarkets, which tell where they differ.

        Raises:
            Doubt: It builds on another number than the last one.
        """
        self._shared.renew()
        held = self._events.pop(delta.source_event_id, None)
        fields, places = delta.fields, delta.bookmakers
        before: tuple[ObservedBookmaker, ...] = ()
        if delta.base:
            if held is None or held.number != delta.base:
                raise Doubt(f"{delta.source_event_id!r} builds on {delta.base}")
            before = held.event.bookmakers
            if fields is None:
                fields = held.event
        if fields is None or (places is None and not delta.base):
            raise Doubt(f"{delta.source_event_id!r} has no fields, or no bookmakers")
        bookmakers = (
            before if places is None else tuple([self._taken(before, each) for each in places])
        )
        if fields.bookmakers is bookmakers:
            event = fields
        else:
            event = replace(fields, bookmakers=bookmakers)
        self._events[delta.source_event_id] = _Held(delta.number, event)
        return event

    def forget(self, source_event_id: str) -> None:
        """Forget an event that the worker has forgotten."""
        self._events.pop(source_event_id, None)

    def _taken(
        self, before: tuple[ObservedBookmaker, ...], delta: int | BookmakerDelta
    ) -> ObservedBookmaker:
        """Return the bookmaker that a difference stands for. Raises Doubt."""
        place = delta if isinstance(delta, int) else delta.base
        if not ANEW <= place < len(before) or delta == ANEW:
            raise Doubt(f"there is no bookmaker {place}")
        if isinstance(delta, int):
            return before[place]
        unreadable = frozenset(delta.unreadable)
        if place == ANEW:
            whole = {market.key: market for market in map(self._market, delta.shown)}
            markets = ObservedMarkets(whole, next(_contents))
            name = delta.bookmaker
        else:
            base = before[place]
            name, markets = base.bookmaker, self._changed(base, delta)
        return ObservedBookmaker(
            bookmaker=name,
            markets=markets,
            source_updated_at=delta.source_updated_at,
            unreadable=unreadable,
        )

    def _changed(self, base: ObservedBookmaker, delta: BookmakerDelta) -> ObservedMarkets:
        """Return the markets of a bookmaker with its differences."""
        held = base.markets
        if type(held) is not ObservedMarkets:
            raise Doubt(f"{base.bookmaker!r} was not sent by a worker")
        changes = bool(delta.shown or delta.repriced or delta.gone)
        if not (changes or delta.times):
            return held
        repriced = self._repriced(held, delta.repriced)
        number, since = held.number, 0
        differing: tuple[MarketKey, ...] = ()
        if changes:
            number, since = next(_contents), held.number
            moved = [market.key for market in repriced]
            differing = (*moved, *[market.key for market in delta.shown], *delta.gone)
        # New times of all markets replace those of the base; else its markets need them.
        markets = ObservedMarkets(held if delta.times else held.timed(), number, since, differing)
        for market in repriced:
            markets[market.key] = market
        for key in delta.gone:
            if markets.pop(key, None) is None:
                raise Doubt(f"{base.bookmaker!r} had no market {key}")
        for each in delta.shown:
            market = self._market(each)
            markets[market.key] = market
        if delta.times:
            _retime(markets, delta)
        return markets

    def _repriced(
        self, held: ObservedMarkets, repriced: Sequence[RepricedMarket]
    ) -> list[ObservedMarket]:
        """Return markets of the base with other prices. Raises Doubt."""
        if not repriced:
            return []
        base = tuple(held.values())
        markets = []
        told: datetime | None = None
        for each in repriced:
            if not 0 <= each.place < len(base):
                raise Doubt(f"there is no market {each.place}")
            market = base[each.place]
            if len(each.prices) != len(market.outcomes):
                raise Doubt(f"{len(each.prices)} prices for {market.key}")
            outcomes = []
            for outcome, price in zip(market.outcomes, each.prices, strict=False):  # as many
                if outcome.price != price:
                    given = Outcome(outcome.key, outcome.name, price, outcome.active)
                    outcome = self._outcome(given)
                outcomes.append(outcome)
            # Equal times are one object, as from most readers: delays are counted by it.
            told = told if each.source_updated_at == told else each.source_updated_at
            markets.append(ObservedMarket(market.key, each.status, tuple(outcomes), told))
        return markets

    def _market(self, shown: ShownMarket) -> ObservedMarket:
        shared = self._shared
        key = shared.known_key(shown.key) or shared.add_key(shown.key)
        outcomes = tuple(map(self._outcome, shown.outcomes))
        return ObservedMarket(key, shown.status, outcomes, shown.source_updated_at)

    def _outcome(self, given: Outcome) -> Outcome:
        """Return the outcome that equal ones share."""
        return self._shared.known_outcome(given) or self._shared.add_outcome(given)


def _retime(markets: ObservedMarkets, delta: BookmakerDelta) -> None:
    """Give all markets their new times. Raises Doubt."""
    times, at = delta.times, delta.at
    if at and max(at) >= len(times):
        raise Doubt("a time that was not sent")
    if len(at or times) != len(markets):
        raise Doubt(f"{len(at or times)} times for {len(markets)} markets")
    markets.times, markets.at = times, at
