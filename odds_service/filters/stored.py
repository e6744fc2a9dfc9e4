"""The part of a selection that the database applies to the stored log."""

from odds_service.filters.selection import Selection
from odds_service.store import HistoryFilter


def filter_of(selection: Selection, event_ids: frozenset[str] | None = None) -> HistoryFilter:
    """Return the filter for the database; `event_ids` replaces the selection's own."""
    return HistoryFilter(
        event_ids=event_ids or selection.event_ids or frozenset(),
        sources=selection.sources or frozenset(),
        bookmakers=selection.bookmakers or frozenset(),
        markets=selection.markets or frozenset(),
        ended=False,
    )
