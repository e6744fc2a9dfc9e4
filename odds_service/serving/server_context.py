"""The state shared by all calls of one server; for use on the server's loop only."""

import asyncio
import copy
from collections.abc import Awaitable, Callable
from datetime import datetime
from hashlib import sha256
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from odds_service.access import OWNER, Grant
from odds_service.filters.selection import Selection
from odds_service.model.cursor import Cursor, ends, incomplete, mark_of, marked, plain_epoch
from odds_service.serving.deliveries import Deliveries
from odds_service.serving.freshness import FreshnessLogs
from odds_service.serving.hub import Hub
from odds_service.serving.limits import ClientLimits
from odds_service.serving.meter import Meter
from odds_service.serving.parts import ServingParts
from odds_service.serving.reading import LogReader
from odds_service.serving.replies import Asked, Replies
from odds_service.serving.selection import selection
from odds_service.serving.usage import Usage
from odds_service.status import RpcReport
from odds_service.stream.shared_windows import SharedWindows
from odds_service.wire.encode import Wires
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

T = TypeVar("T")

REPLAYS_AT_ONCE: Final = 8  # concurrent readers of the database; others wait for their turn


class ServerContext:
    """The parts of the service, and the state shared by calls, as one caller may use them.

    `seen_by` returns the context of another caller. All contexts share every part but the grant, so
    no attribute is assigned after `__init__` except there.

    Attributes:
        grant: The caller's access.
        usage: The caller's counts.
    """

    def __init__(self, parts: ServingParts, loop: asyncio.AbstractEventLoop) -> None:
        self.parts = parts
        self.loop = loop
        self.hub = Hub(parts.feed, loop)
        self.reader = LogReader(parts.cache, parts.feed, parts.delays)
        self.deliveries = Deliveries()
        self.windows = SharedWindows()
        self.wires = Wires()
        self.freshness = FreshnessLogs(parts.cache, parts.feed, self.wires, parts.reading)
        self.limits = ClientLimits(parts.settings)
        self.grant = OWNER
        self.usages: dict[str, Usage] = {}
        self.usage = self.usages.setdefault(OWNER.name, Usage(OWNER.name))
        self._mark = ""
        self.replies = Replies(parts.cache, parts.feed, self.selection, parts.now)
        self.replays = asyncio.Semaphore(REPLAYS_AT_ONCE)
        self.meters: list[Meter] = []
        self._selections: WeakValueDictionary[bytes, Selection] = WeakValueDictionary()
        self._seen_by: dict[Grant, ServerContext] = {OWNER: self}

    def seen_by(self, grant: Grant) -> "ServerContext":
        """Return the context of a caller with other access."""
        found = self._seen_by.get(grant)
        if found is None:
            found = copy.copy(self)
            found.grant = grant
            found.usage = self.usages.setdefault(grant.name, Usage(grant.name))
            found._mark = grant.restriction.mark
            self._seen_by[grant] = found
        return found

    @property
    def epoch(self) -> str:
        """The epoch in the caller's cursors.

        Read it after the revision of a cursor: a later epoch names an older place as well.
        """
        return marked(self.parts.feed.epoch, self._mark)

    def keep_grants(self, keeps: Callable[[Grant], bool]) -> None:
        """Forget the contexts of grants that no caller has any more; their counts remain."""
        for grant in [grant for grant in self._seen_by if not (grant is OWNER or keeps(grant))]:
            del self._seen_by[grant]

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
            usage=[usage.report() for usage in tuple(self.usages.values())],
        )

    def selection(self, request: pb.Filter) -> Selection:
        """Return the part of a filter that the caller may see, as a checked selection.

        Equal filters of callers with equal restrictions yield the same object while any call uses
        it, so that readers share bytes. Raises Refused.
        """
        filter_bytes = request.SerializeToString(deterministic=True)
        key = sha256(filter_bytes).digest() + self._mark.encode()
        chosen = self._selections.get(key)
        if chosen is None:
            chosen = selection(request)
            if self._mark:
                chosen = chosen.within(self.grant.restriction)
            self._selections[key] = chosen
        return chosen

    def asked(self, request: bytes) -> Asked:
        """Parse a request for GetOdds of the caller. Raises Refused or DecodeError."""
        return self.replies.FromString(request, self._mark, self.selection)

    def own(self, epoch: str, revision: int) -> Cursor:
        """Return a place in the log as a cursor for the caller."""
        return Cursor(marked(epoch, self._mark), revision)

    def resumes(self, cursor: pb.Cursor) -> pb.IntentReason.ValueType:
        """Return the verdict on a cursor to resume at.

        One that came with other access is not good: its client holds odds that it may no longer
        see, or lacks odds that it may see now.
        """
        if mark_of(cursor.epoch) != self._mark:
            return pb.INTENT_REASON_EPOCH_CHANGED
        return self.verdict(cursor)

    def verdict(self, cursor: pb.Cursor) -> pb.IntentReason.ValueType:
        """Return INTENT_REASON_RESUMED for a good cursor, or the reason why it is not good.

        A good cursor has a known epoch and a revision that is below the first one of the next
        epoch (later ones were lost in a crash) and not beyond the head. A cursor from inside an
        image is judged like any other.
        """
        feed = self.parts.feed
        epochs, head = feed.epochs, feed.head_revision
        lasts = ends(epochs)
        last = lasts.get(plain_epoch(cursor.epoch), -1)
        if last is None:
            ahead = cursor.revision > head
            return pb.INTENT_REASON_AHEAD_OF_SERVER if ahead else pb.INTENT_REASON_RESUMED
        good = cursor.revision <= last
        return pb.INTENT_REASON_RESUMED if good else pb.INTENT_REASON_EPOCH_CHANGED

    async def arrived(self, cursor: pb.Cursor) -> None:
        """Wait for a place that only other nodes have reached, for `behind_wait_s` at most.

        That is a revision ahead of this node, or an epoch that it does not know.
        """
        wait_s = self.parts.behind_wait_s
        if wait_s:
            await self.hub.until(lambda: not self._may_arrive(cursor), wait_s)

    def _may_arrive(self, cursor: pb.Cursor) -> bool:
        known = plain_epoch(cursor.epoch) in dict(self.parts.feed.epochs)
        return not known or self.verdict(cursor) == pb.INTENT_REASON_AHEAD_OF_SERVER

    def forget_log(self) -> None:
        """Forget all that was made of the log, which another one has replaced; no stream is open.

        Streams may begin again afterwards.
        """
        self.reader.forget()
        self.windows.forget()
        self.freshness.forget()
        self.hub.reopen()

    def cursor(self, revision: int, *, whole: bool = True) -> pb.Cursor:
        """Return a cursor to resume at, in the present epoch.

        Args:
            revision: The place in the log.
            whole: False inside an image, which begins anew on a resume.
        """
        epoch = self.epoch
        return pb.Cursor(epoch=epoch if whole else incomplete(epoch), revision=revision)

    def head(self) -> Cursor:
        return self.parts.feed.cursor

    async def ask(self, work: Callable[..., Awaitable[T]], *args: object) -> T:
        """Await a Trio function of the service."""
        return await self.parts.gate.call(work, *args)
