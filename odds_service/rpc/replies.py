"""Repeated GetOdds: requests that were read, and replies while nothing has changed."""

from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct

from odds_service.cache import OddsCache
from odds_service.feed import ChangeFeed
from odds_service.filters.selection import Selection
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

# A kept reply is at most this old; any change invalidates it at once.
KEPT: Final = timedelta(seconds=0.5)
MOST_REQUESTS: Final = 1_000
MOST_REQUEST_BYTES: Final = 1_024  # longer ones name hundreds of events and are rarely repeated
MOST_REPLY_BYTES: Final = 32 * 2**20  # 32 MiB of all replies together

_NEVER: Final = datetime.min.replace(tzinfo=UTC)

Stamp = tuple[int, int]  # the cache's version and the durable revision


class Asked(Struct, eq=False):
    """A request that was read, with its last reply.

    plain: the reply depends only on the selection, the cache and the durable revision.
    """

    request: bytes
    message: pb.GetOddsRequest
    selection: Selection
    plain: bool
    reply: bytes = b""
    stamp: Stamp = (-1, -1)
    made_at: datetime = _NEVER


class Replies:
    """Keeps the last reply to each request, for equal ones; used on the server's loop alone.

    Bounded in requests, in their length and in the bytes of all replies. LRU: the request that was
    not repeated for longest goes first.
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
        self._asked: OrderedDict[bytes, Asked] = OrderedDict()
        self._bytes = 0

    def FromString(self, request: bytes) -> Asked:
        """Read a request, as a message type does.

        Raises DecodeError; Refused for a filter that is wrong.
        """
        asked = self._asked.get(request)
        if asked is not None:
            self._asked.move_to_end(request)
            return asked
        message = pb.GetOddsRequest.FromString(request)
        plain = not (
            message.include_best
            or message.HasField("min_cursor")
            or message.WhichOneof("as_of") is not None
        )
        asked = Asked(request, message, self._select(message.filter), plain)
        if len(request) <= MOST_REQUEST_BYTES:
            self._asked[request] = asked
            if len(self._asked) > MOST_REQUESTS:
                self._drop_oldest()
        return asked

    def stamp(self) -> Stamp:
        """Return the state of the cache. Take it before the view that a reply is made from."""
        return self._cache.version, self._feed.durable_revision

    def known(self, asked: Asked, stamp: Stamp) -> bytes | None:
        """Return the last reply if a new one would be the same, else None."""
        if asked.stamp == stamp and asked.made_at <= self._now() < asked.made_at + KEPT:
            return asked.reply
        return None

    def keep(self, asked: Asked, stamp: Stamp, made_at: datetime, reply: bytes) -> None:
        """Remember a reply.

        Args:
            asked: the request.
            stamp: taken before the view that the reply was made from.
            made_at: the time at which its staleness was judged.
            reply: its bytes.
        """
        if not asked.plain or self._asked.get(asked.request) is not asked:
            return  # it depends on more, is too long, or was dropped meanwhile
        self._bytes += len(reply) - len(asked.reply)
        asked.reply, asked.stamp, asked.made_at = reply, stamp, made_at
        while self._bytes > MOST_REPLY_BYTES:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, dropped = self._asked.popitem(last=False)
        self._bytes -= len(dropped.reply)
