"""The image being sent to a stream: a view of the cache, encoded piece by piece."""

from typing import Final

from odds_service.filters.selection import Selection
from odds_service.serving.odds import OddsView, image_pieces
from odds_service.serving.server_context import ServerContext
from odds_service.wire.encode import source_message
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import bytes_tag, delimited

_IMAGE: Final = bytes_tag(pb.WatchChangesResponse.IMAGE_FIELD_NUMBER)
_EVENTS: Final = bytes_tag(pb.Image.EVENTS_FIELD_NUMBER)


class PendingImage:
    """A view of the cache taken now, and its pieces still to be sent.

    Attributes:
        revision: The revision of the view.
        dropped: Whether the view was dropped before all pieces were made.
    """

    def __init__(self, server: ServerContext, selection: Selection) -> None:
        cached = server.parts.cache.view(selection.event_ids)
        states = [
            state for state in cached.sources.values() if selection.takes_source(state.source)
        ]
        self.revision = cached.cursor.revision
        self.dropped = False
        self._sources = [source_message(state) for state in states]
        self._events = self._markets = 0
        self._body = b""
        view = OddsView(cached, selection, server.parts.reading(), server.wires)
        self._pieces = image_pieces(view, _EVENTS)

    def drop(self) -> None:
        """Drop the view; no more pieces are made."""
        self.dropped = True
        self._pieces.close()

    def make_piece(self) -> bool:
        """Make the next piece; return whether there was one."""
        piece = next(self._pieces, None)
        if piece is None:
            return False
        self._body = piece.body
        self._events += piece.events
        self._markets += piece.markets
        return True

    def begin(self, cursor: pb.Cursor, prev_revision: int, durable_revision: int) -> bytes:
        """Return the message that begins the image."""
        begin = pb.ImageBegin(
            cursor=cursor,
            prev_revision=prev_revision,
            durable_revision=durable_revision,
            sources=self._sources,
        )
        return pb.WatchChangesResponse(image_begin=begin).SerializeToString()

    def piece(self, cursor: pb.Cursor, number: int) -> bytes:
        """Return the last piece made as a message with its number, counted from 1."""
        tail = pb.Image(cursor=cursor, prev_revision=cursor.revision, piece=number)
        return _IMAGE + delimited(self._body + tail.SerializeToString())

    def end(self, cursor: pb.Cursor, pieces: int) -> bytes:
        """Return the message that ends the image, with the counts of events and markets sent."""
        end = pb.ImageEnd(
            cursor=cursor,
            prev_revision=cursor.revision,
            pieces=pieces,
            events=self._events,
            markets=self._markets,
        )
        return pb.WatchChangesResponse(image_end=end).SerializeToString()
