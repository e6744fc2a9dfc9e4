"""What is known of a source's events beyond what it lists: who prices them, what is left over."""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from odds_service.cache import OddsCache
from odds_service.model.event import EventStatus
from odds_service.sources.base import Pull


class Carried(Struct, frozen=True):
    """An event in the cache as one source carries it.

    bookmakers: how many price it, of all. priced: whether the source shows odds of it; in_play:
    whether it told at its last look that the event is in play.
    """

    listing: str | None
    start_time: datetime
    bookmakers: int
    priced: bool = False
    in_play: bool = False


class Coverage:
    """How many bookmakers price an event: those in the cache, or the sources that list it.

    One for all scrapers. Before anything was fetched only the shared ids of what the sources list
    can tell that several price one event.
    """

    def __init__(self, cache: OddsCache) -> None:
        self._cache = cache
        self._listed: dict[str, frozenset[tuple[str, str]]] = {}

    def tell(self, source: str, pulls: Iterable[Pull]) -> None:
        """Take over what a source lists now."""
        self._listed[source] = frozenset(
            shared for pull in pulls for shared in pull.shared_ids.items()
        )

    def listings(self, pull: Pull) -> int:
        """How many sources list the pull's event under a shared id; 0 where it has none."""
        return sum(
            not listed.isdisjoint(pull.shared_ids.items()) for listed in self._listed.values()
        )

    def carried(self, source: str) -> dict[str, Carried]:
        """Source's id -> what the cache holds of the event."""
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
