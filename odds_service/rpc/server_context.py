"""The state shared by all calls of one server; for use on the server's loop only."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from hashlib import sha256
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from odds_service.certificates import Guard
from odds_service.filters.selection import Selection
from odds_service.model.cursor import Cursor, incomplete, plain_epoch
from odds_service.rpc.deliveries import Deliveries
from odds_service.rpc.freshness import FreshnessLogs
from odds_service.rpc.hub import Hub
from odds_service.rpc.limits import ClientLimits
from odds_service.rpc.meter import Meter
from odds_service.rpc.parts import RpcParts
from odds_service.rpc.reading import LogReader
from odds_service.rpc.replies import Replies
from odds_service.rpc.selection import selection
from odds_service.status import RpcReport
from odds_service.stream.shared_windows import SharedWindows
from odds_service.wire.encode import Wires
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

T = TypeVar("T")

REPLAYS_AT_ONCE: Final = 8  # concurrent readers of the database; others wait for their turn


class ServerContext:
    """The parts of the service, and the state shared by calls."""

    def __init__(
        self, parts: RpcParts, loop: asyncio.AbstractEventLoop, guard: Guard | None = None
    ) -> None:
        self.parts = parts
        self.guard = guard or Guard(parts.settings)
        self.loop = loop
        self.hub = Hub(parts.feed, loop)
        self.reader = LogReader(parts.cache, parts.feed, parts.delays)
        self.deliveries = Deliveries()
        self.windows = SharedWindows()
        self.wires = Wires()
        self.freshness = FreshnessLogs(parts.cache, parts.feed, self.wires, parts.reading)
        self.limits = ClientLimits(parts.settings)
        self.replies = Replies(parts.cache, parts.feed, self.selection, parts.now)
        self.replays = asyncio.Semaphore(REPLAYS_AT_ONCE)
        self.meters: list[Meter] = []
        self._epochs = list(parts.epochs) or [(parts.feed.epoch, 0)]
        self._selections: WeakValueDictionary[bytes, Selection] = WeakValueDictionary()

    def meter(self, method: str, *, streams: bool) -> Meter:
        """Add a meter for one method."""
        meter = Meter(method, streams=streams)
        self.meters.append(meter)
        return meter

    def report(self, now: datetime) -> RpcReport:
        """Return counts of calls and streams, for metrics. May be called from any thread."""
        return RpcReport(
            calls=[meter.report() for meter in self.meters],
            subscribers=self.hub.report(now),
            encoded=self.reader.pieces_made,
        )

    def selection(self, request: pb.Filter) -> Selection:
        """Return a filter as a checked selection.

        Equal filters yield the same object while any call uses it, so that readers share bytes.
        Raises Refused.
        """
        key = sha256(request.SerializeToString(deterministic=True)).digest()
        chosen = self._selections.get(key)
        if chosen is None:
            chosen = self._selections[key] = selection(request)
        return chosen

    def verdict(self, cursor: pb.Cursor) -> pb.IntentReason.ValueType:
        """Return INTENT_REASON_RESUMED for a good cursor, or the reason why it is not good.

        A good cursor has a known epoch and a revision that is below the first one of the next
        epoch (later ones were lost in a crash) and not beyond the head. A cursor from inside an
        image is judged like any other.
        """
        named = plain_epoch(cursor.epoch)
        after = [first for _, first in self._epochs[1:]]
        for place, (epoch, _) in enumerate(self._epochs):
            if epoch != named:
                continue
            if place < len(after):
                good = cursor.revision < after[place]
                return pb.INTENT_REASON_RESUMED if good else pb.INTENT_REASON_EPOCH_CHANGED
            ahead = cursor.revision > self.parts.feed.head_revision
            return pb.INTENT_REASON_AHEAD_OF_SERVER if ahead else pb.INTENT_REASON_RESUMED
        return pb.INTENT_REASON_EPOCH_CHANGED

    def cursor(self, revision: int, *, whole: bool = True) -> pb.Cursor:
        """Return a cursor to resume at, in the present epoch.

        Args:
            revision: The place in the log.
            whole: False inside an image, which begins anew on a resume.
        """
        epoch = self.parts.feed.epoch
        return pb.Cursor(epoch=epoch if whole else incomplete(epoch), revision=revision)

    def head(self) -> Cursor:
        return self.parts.feed.cursor

    async def ask(self, work: Callable[..., Awaitable[T]], *args: object) -> T:
        """Await a Trio function of the service."""
        return await self.parts.gate.call(work, *args)
