"""The events that the sources list and carry, beyond one source's own offer."""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from odds_service.cache import OddsCache
from odds_service.model.event import EventStatus
from odds_service.sources.base import Pull


class Carried(Struct, frozen=True):
    """An event in the cache, as one source carries it.

    bookmakers: the number that price it, at all sources. priced: the source shows odds of it.
    in_play: the source said so at its last look.
    """

    listing: str | None
    start_time: datetime
    bookmakers: int
    priced: bool = False
    in_play: bool = False


class Listings:
    """The offers of all sources; one object for all scrapers.

    It says how many bookmakers price an event. Until something was fetched, only the shared ids
    in the sources' offers tell that several carry one event.
    """

    def __init__(self, cache: OddsCache) -> None:
        self._cache = cache
        self._listed: dict[str, frozenset[tuple[str, str]]] = {}

    def update(self, source: str, pulls: Iterable[Pull]) -> None:
        """Replace what a source lists."""
        self._listed[source] = frozenset(
            shared for pull in pulls for shared in pull.shared_ids.items()
        )

    def sources(self, pull: Pull) -> int:
        """Return how many sources list the pull's event under a shared id; 0 if it has none."""
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
