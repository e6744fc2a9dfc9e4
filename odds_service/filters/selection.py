"""Selections of events, bookmakers, markets and sources."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from odds_service.model.change import EventChange, MarketChange
from odds_service.model.event import Event, EventStatus
from odds_service.model.market import Market
from odds_service.model.restriction import Restriction
from odds_service.model.snapshot import BookmakerOdds


class Selection(Struct, frozen=True, eq=False, kw_only=True, weakref=True):
    """A checked filter; a field that is None restricts nothing.

    Selections compare by identity.

    Attributes:
        only_sources: The sources that the caller may see; an event that none of them carries is
            not selected.
        only_bookmakers: The bookmakers that the caller may see.
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
    only_sources: frozenset[str] | None = None
    only_bookmakers: frozenset[str] | None = None
    size_bytes: int = 0

    def within(self, restriction: Restriction) -> "Selection":
        """Return the part of the selection that a restricted caller may see.

        A name that the caller may not see selects nothing, like a name that does not exist.
        """
        return replace(
            self,
            sources=_both(self.sources, restriction.sources),
            bookmakers=_both(self.bookmakers, restriction.bookmakers),
            only_sources=restriction.sources,
            only_bookmakers=restriction.bookmakers,
        )

    @property
    def by_event(self) -> bool:
        """Return whether deciding on an event takes more than its id."""
        fields = (self.sports, self.competitions, self.start_from, self.start_to, self.in_play)
        return self.only_sources is not None or any(field is not None for field in fields)

    @property
    def hides(self) -> bool:
        """Return whether events are shown without the names that the caller may not see."""
        return not (self.only_sources is None and self.only_bookmakers is None)

    @property
    def of_markets(self) -> bool:
        """Return whether some markets of a selected event may be left out."""
        return not (self.bookmakers is None and self.markets is None and self.sources is None)

    def takes_event_id(self, event_id: str) -> bool:
        return self.event_ids is None or event_id in self.event_ids

    def takes_event(self, event: Event) -> bool:
        only = self.only_sources
        return (only is None or not only.isdisjoint(event.source_ids)) and self.matches(event)

    def matches(self, event: Event) -> bool:
        """Return whether an event passes the filter, whoever carries it."""
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

    def may_show(self, source: str, bookmaker: str | None = None) -> bool:
        """Return whether the caller may see a source, and a bookmaker of it if one is given."""
        return (self.only_sources is None or source in self.only_sources) and (
            bookmaker is None or self.only_bookmakers is None or bookmaker in self.only_bookmakers
        )

    def shown(self, event: Event) -> Event:
        """Return an event without the names that the caller may not see."""
        if not self.hides:
            return event
        source_ids = {s: each for s, each in event.source_ids.items() if self.may_show(s)}
        told = {s: status for s, status in event.told.items() if self.may_show(s)}
        lost = tuple(each for each in event.draws_lost if self.may_show(each[0], each[1]))
        if (len(source_ids), len(told), len(lost)) == (
            len(event.source_ids),
            len(event.told),
            len(event.draws_lost),
        ):
            return event
        return replace(event, source_ids=source_ids, told=told, draws_lost=lost)

    def shown_change(self, change: EventChange) -> EventChange:
        """Return an event's change without the names that the caller may not see."""
        if not self.hides:
            return change
        source = change.source if self.may_show(change.source) else ""
        before = None if change.before is None else self.shown(change.before)
        after = self.shown(change.after)
        if source == change.source and before is change.before and after is change.after:
            return change
        return replace(change, source=source, before=before, after=after, ended=())


EVERYTHING: Final = Selection()
_NOTHING: Final = frozenset({""})  # no source or bookmaker has this name


def _both(asked: frozenset[str] | None, only: frozenset[str] | None) -> frozenset[str] | None:
    """Return the names that pass two sets, of which None restricts nothing; never an empty set."""
    if asked is None or only is None:
        return only if asked is None else asked
    return asked & only or _NOTHING  # readers of the database take an empty set for no restriction
