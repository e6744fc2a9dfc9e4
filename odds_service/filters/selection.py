"""Selections of events, bookmakers, markets and sources."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from msgspec import Struct

from odds_service.model.change import MarketChange
from odds_service.model.event import Event, EventStatus
from odds_service.model.market import Market
from odds_service.model.snapshot import BookmakerOdds


class Selection(Struct, frozen=True, eq=False, kw_only=True, weakref=True):
    """A checked filter; a field that is None restricts nothing.

    Selections compare by identity.

    Attributes:
        size_bytes: The approximate size in memory.
    """

    sports: frozenset[str] | None = None
    competitions: frozenset[str] | None = None
    event_ids: frozenset[str] | None = None
    bookmakers: frozenset[str] | None = None
    markets: frozenset[str] | None = None
    sources: frozenset[str] | None = None
    start_from: datetime | None = None
    start_to: datetime | None = None
    in_play: bool | None = None
    size_bytes: int = 0

    @property
    def by_event(self) -> bool:
        """Return whether deciding on an event takes more than its id."""
        fields = (self.sports, self.competitions, self.start_from, self.start_to, self.in_play)
        return any(field is not None for field in fields)

    @property
    def of_markets(self) -> bool:
        """Return whether some markets of a selected event may be left out."""
        return not (self.bookmakers is None and self.markets is None and self.sources is None)

    def takes_event_id(self, event_id: str) -> bool:
        return self.event_ids is None or event_id in self.event_ids

    def takes_event(self, event: Event) -> bool:
        return (
            (self.event_ids is None or event.id in self.event_ids)
            and (self.sports is None or event.sport in self.sports)
            and (self.competitions is None or event.competition in self.competitions)
            and (self.start_from is None or event.start_time >= self.start_from)
            and (self.start_to is None or event.start_time < self.start_to)
            and (self.in_play is None or (event.status is EventStatus.IN_PLAY) is self.in_play)
        )

    def takes_source(self, source: str) -> bool:
        return self.sources is None or source in self.sources

    def takes_bookmaker(self, source: str, bookmaker: str) -> bool:
        return self.takes_source(source) and (
            self.bookmakers is None or bookmaker in self.bookmakers
        )

    def markets_of(self, odds: BookmakerOdds) -> Iterable[Market]:
        """Return the selected markets of a selected bookmaker."""
        if self.markets is None:
            return odds.markets.values()
        wanted = self.markets
        return [market for key, market in odds.markets.items() if key.market in wanted]

    def takes_market(self, change: MarketChange) -> bool:
        """Return whether a market's change is selected, provided its event is."""
        return self.takes_bookmaker(change.source, change.bookmaker) and (
            self.markets is None or change.after.key.market in self.markets
        )


EVERYTHING: Final = Selection()
