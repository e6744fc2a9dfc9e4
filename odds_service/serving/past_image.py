"""An image of past odds, read from the database in groups of events and encoded piece by piece."""

from collections.abc import AsyncIterator, Iterable
from typing import Final

from odds_service.cache import CacheView
from odds_service.filters.selection import Selection
from odds_service.model.cursor import Cursor
from odds_service.model.event import Event
from odds_service.model.snapshot import Reading
from odds_service.model.source import SourceState
from odds_service.serving.as_of import judged
from odds_service.serving.lagging import wait_for_revision
from odds_service.serving.odds import ImagePiece, OddsView, image_pieces
from odds_service.serving.parts import OddsAsOf, Past
from odds_service.serving.server_context import ServerContext
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import bytes_tag

# The events read at once. Their odds, a few thousand markets, are all that a stalled reader holds.
_GROUP_EVENTS: Final = 25
_NOBODY: Final = ""  # no event has this id
_EVENTS: Final = bytes_tag(pb.Image.EVENTS_FIELD_NUMBER)


class PastImage:
    """The selected odds as of a revision.

    Attributes:
        sources: The selected sources as of then, once `begin` has returned.
        events: The number of events in the pieces made so far.
        markets: The number of markets in them.
        unknown: The number of later changes that are not known.
    """

    def __init__(
        self, server: ServerContext, store: Past, selection: Selection, revision: int
    ) -> None:
        self.sources: list[SourceState] = []
        self.events = self.markets = self.unknown = 0
        self._server = server
        self._store = store
        self._selection = selection
        self._revision = revision
        self._states: list[SourceState] = []

    async def begin(self) -> None:
        """Read the states of the sources. Raises BelowFloor and Behind."""
        await wait_for_revision(self._server, self._revision)
        at = (await self._odds_of([_NOBODY])).at or self._server.parts.now()
        ask = self._server.ask
        self._states = list(await ask(self._store.sources_at, self._revision, at))
        takes = self._selection.takes_source
        self.sources = [state for state in self._states if takes(state.source)]

    async def pieces(self, events: Iterable[Event]) -> AsyncIterator[ImagePiece]:
        """Yield the pieces, reading each group of events when its first piece is asked for.

        Args:
            events: All events as of the revision.

        Raises:
            BelowFloor: Retention has overtaken the reader.
        """
        takes = self._selection.takes_event
        chosen = [event for event in events if takes(event)]
        chosen.sort(key=lambda event: (event.start_time, event.id))
        for first in range(0, len(chosen), _GROUP_EVENTS):
            group = chosen[first : first + _GROUP_EVENTS]
            past = await self._odds_of([event.id for event in group])
            self.unknown += past.unstored
            for piece in image_pieces(self._view(past), _EVENTS):
                self.events += piece.events
                self.markets += piece.markets
                yield piece

    async def _odds_of(self, event_ids: list[str]) -> OddsAsOf:
        async with self._server.replays:
            return await self._server.ask(self._store.odds_at, self._revision, event_ids)

    def _view(self, past: OddsAsOf) -> OddsView:
        server = self._server
        cached = CacheView(
            Cursor(server.parts.feed.epoch, past.revision),
            server.parts.feed.durable_revision,
            {entry.event.id: entry for entry in past.events},
            judged(self._states, past.events),
        )
        now = Reading(past.at or server.parts.now())
        return OddsView(cached, self._selection, now, server.wires)
