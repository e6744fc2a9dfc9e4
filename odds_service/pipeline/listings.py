"""The events that sources list and carry, across all sources."""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from odds_service.cache import OddsCache
from odds_service.model.event import EventStatus
from odds_service.sources.base import Pull


class Carried(Struct, frozen=True):
    """An event in the cache, as one source carries it.

    `bookmakers` is the number of bookmakers with odds at all sources. `priced` is true if this
    source shows odds. `in_play` is true if the source last reported the event as in play.
    """

    listing: str | None
    start_time: datetime
    bookmakers: int
    priced: bool = False
    in_play: bool = False


class Listings:
    """The offers of all sources, shared by all scrapers.

    They give the number of bookmakers for an event. Before anything is fetched, only shared ids in
    the offers reveal events that several sources carry.
    """

    def __init__(self, cache: OddsCache) -> None:
        self._cache = cache
        self._listed: dict[str, frozenset[tuple[str, str]]] = {}

    def update(self, source: str, pulls: Iterable[Pull]) -> None:
        """Replace the listed pulls of a source."""
        self._listed[source] = frozenset(
            shared for pull in pulls for shared in pull.shared_ids.items()
        )

    def drop(self, source: str) -> None:
        """Forget the listed pulls of a source that has left the settings."""
        self._listed.pop(source, None)

    def sources(self, pull: Pull) -> int:
        """Return the number of sources that list the pull's event, by shared id; 0 without one."""
        return sum(
            not listed.isdisjoint(pull.shared_ids.items()) for listed in self._listed.values()
        )

    def carried(self, source: str) -> dict[str, Carried]:
        """Return the source's events in the cache, by its own ids."""
        found = {}
        for entry in self._cache.events.values():
            mine = entry.sources.get(source)
            if mine is not None:
                found[mine.source_event_id] = Carried(
                    mine.listing,
                    entry.event.start_time,
                    len(entry.bookmakers),
                    any(key[0] == source for key in entry.bookmakers),
                    mine.told is EventStatus.IN_PLAY,
                )
        return found
