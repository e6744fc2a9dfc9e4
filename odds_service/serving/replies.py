"""Repeated GetOdds calls: parsed requests, and replies that are still current."""

from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from msgspec import Struct

from odds_service.cache import OddsCache
from odds_service.delays import Parcel
from odds_service.feed import ChangeFeed
from odds_service.filters.selection import Selection
from odds_service.serving.reply_events import LastEvents
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

# A kept reply is at most this old; any change invalidates it at once.
KEPT: Final = timedelta(seconds=0.5)
MOST_REQUESTS: Final = 1_000
MOST_REQUEST_BYTES: Final = 1_024  # longer ones name hundreds of events and are rarely repeated
MOST_REPLY_BYTES: Final = 32 * 2**20  # 32 MiB of all replies together
_PLACE_BYTES: Final = 600  # of an event's place in a reply

_NEVER: Final = datetime.min.replace(tzinfo=UTC)

Stamp = tuple[int, int]  # the cache's version and the durable revision


AskedKey: TypeAlias = bytes | tuple[str, bytes]  # a request, of a restricted caller with its mark


class Asked(Struct, eq=False):
    """A parsed request with its last reply.

    Attributes:
        plain: Whether the reply depends only on the selection, the cache and the durable revision.
        ages: The ages of the odds in the reply, to be counted at each answer.
        events: The events of the reply, for the next one; None of the first reply.
    """

    key: AskedKey
    message: pb.GetOddsRequest
    selection: Selection
    plain: bool
    reply: bytes = b""
    stamp: Stamp = (-1, -1)
    made_at: datetime = _NEVER
    ages: Parcel | None = None
    events: LastEvents | None = None

    @property
    def kept_bytes(self) -> int:
        """The approximate size of the reply and its events in memory."""
        places = 0 if self.events is None else len(self.events.places)
        return len(self.reply) + _PLACE_BYTES * places


class Replies:
    """An LRU cache of requests and their last replies; for use on the server's loop only.

    It is bounded in the number of requests, in their length and in the bytes of all replies.
    """

    def __init__(
        self,
        cache: OddsCache,
        feed: ChangeFeed,
        select: Callable[[pb.Filter], Selection],
        now: Callable[[], datetime],
    ) -> None:
        self._cache = cache
        self._feed = feed
        self._select = select
        self._now = now
        self._asked: OrderedDict[AskedKey, Asked] = OrderedDict()
        self._bytes = 0

    def FromString(
        self, request: bytes, mark: str = "", select: Callable[[pb.Filter], Selection] | None = None
    ) -> Asked:
        """Parse a request, like the method of a message type.

        Args:
            request: The message as bytes.
            mark: The mark of the caller's restriction; empty without one.
            select: Checks the filter of a restricted caller.

        Raises:
            DecodeError: The request is malformed.
            Refused: Its filter is malformed.
        """
        key = (mark, request) if mark else request
        asked = self._asked.get(key)
        if asked is not None:
            self._asked.move_to_end(key)
            return asked
        message = pb.GetOddsRequest.FromString(request)
        plain = not (
            message.include_best
            or message.HasField("min_cursor")
            or message.WhichOneof("as_of") is not None
        )
        asked = Asked(key, message, (select or self._select)(message.filter), plain)
        if len(request) <= MOST_REQUEST_BYTES:
            self._asked[key] = asked
            if len(self._asked) > MOST_REQUESTS:
                self._drop_oldest()
        return asked

    def stamp(self) -> Stamp:
        """Return the state of the cache; take it before the view behind a reply."""
        return self._cache.version, self._feed.durable_revision

    def known(self, asked: Asked, stamp: Stamp) -> bytes | None:
        """Return the last reply if it is still current, else None."""
        if asked.stamp == stamp and asked.made_at <= self._now() < asked.made_at + KEPT:
            return asked.reply
        return None

    def keep(
        self,
        asked: Asked,
        stamp: Stamp,
        made_at: datetime,
        reply: bytes,
        ages: Parcel | None = None,
        events: LastEvents | None = None,
    ) -> None:
        """Remember a reply.

        Args:
            asked: The request.
            stamp: The stamp taken before the view behind the reply.
            made_at: The time at which its staleness was judged.
            reply: The message as bytes.
            ages: The ages of its odds.
            events: Its events.
        """
        if not asked.plain or self._asked.get(asked.key) is not asked:
            return  # it depends on more, is too long, or was dropped meanwhile
        self._bytes -= asked.kept_bytes
        asked.reply, asked.stamp, asked.made_at, asked.ages = reply, stamp, made_at, ages
        asked.events = events
        self._bytes += asked.kept_bytes
        while self._bytes > MOST_REPLY_BYTES:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, dropped = self._asked.popitem(last=False)
        self._bytes -= dropped.kept_bytes
