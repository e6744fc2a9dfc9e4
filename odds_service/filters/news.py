"""The subjects of some changes, to see at a glance that none of them passes a filter."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import TypeVar

from odds_service.filters.selection import Selection
from odds_service.model.change import Change, MarketChange, SourceChange

T = TypeVar("T")


class News:
    """The events, markets, bookmakers and sources that some changes concern."""

    def __init__(self, changes: Iterable[Change]) -> None:
        self._announced: set[str] = set()  # sources whose state changed
        self._events: set[str] = set()  # ids of events that changed themselves
        self._quoted: set[str] = set()  # ids of events whose markets changed
        self._markets: set[str] = set()
        self._bookmakers: set[str] = set()
        self._sources: set[str] = set()
        for change in changes:
            if isinstance(change, MarketChange):
                self._quoted.add(change.event_id)
                self._markets.add(change.after.key.market)
                self._bookmakers.add(change.bookmaker)
                self._sources.add(change.source)
            elif isinstance(change, SourceChange):
                self._announced.add(change.source)
            else:
                self._events.add(change.event_id)

    def may_concern(self, selection: Selection) -> bool:
        """Return False only if `filtering.select` yields none of the changes."""
        wanted = selection.event_ids
        if self._quoted and (
            _meet(wanted, self._quoted)
            and _meet(selection.markets, self._markets)
            and _meet(selection.bookmakers, self._bookmakers)
            and _meet(selection.sources, self._sources)
        ):
            return True
        if self._events and _meet(wanted, self._events):
            return True
        return bool(self._announced) and _meet(selection.sources, self._announced)


def _meet(wanted: frozenset[T] | None, there: AbstractSet[T]) -> bool:
    return wanted is None or not wanted.isdisjoint(there)
