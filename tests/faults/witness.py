"""A watcher that survives every fault, and remembers every change announced as durable.

It relies on the contract alone. Given several addresses, it goes on at another one after each cut.
It keeps each change as a number (a hash of the fields that a change shares with its row in the
history), so that millions fit in memory, and the sum of its odds at each heartbeat.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import grpc

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc
from tests.support.watching import Odds, Prices, odds_in, place_of, shown

_RETRY_S: Final = 0.1
_PASSING: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


class Mark(NamedTuple):
    """The odds at a heartbeat, as a sum of their numbers."""

    epoch: str
    revision: int
    sum: int


class Reopened(NamedTuple):
    """The outcome of opening a stream at a cursor."""

    cursor: tuple[str, int]
    epoch: str
    intent: int
    reason: int


def told(kind: int, subject: tuple[object, ...], before: object, after: object) -> int:
    """Hash the content of a change; the number is valid only in this process."""
    return hash((kind, subject, before, after))


def number_of(place: object, odds: object) -> int:
    """Hash one market's odds; the numbers of all add up to that of a map, in any order."""
    return hash((place, odds))


def prices_of(market: pb.Market | None) -> tuple[int, Prices] | None:
    return None if market is None else shown(market)


class Witness:
    """A watcher in a thread, which reconnects until it is closed."""

    def __init__(self, *addresses: str) -> None:
        self.odds: Odds = {}
        self.whole = False
        self.cursor: pb.Cursor | None = None
        self.changes = 0
        self.images = 0
        self.cuts = 0
        self.reopened: list[Reopened] = []
        self.marks: list[Mark] = []
        # epoch -> revision -> told(); epoch -> the last revision announced as durable
        self.told: dict[str, dict[int, int]] = {}
        self.durable: dict[str, int] = {}
        self.failure: Exception | None = None
        self._addresses: Sequence[str] = addresses
        self._sum = 0
        self._image: Odds | None = None
        self._last = 0
        self._reached = 0  # the last change, or the image
        self._closed = False
        self._call: grpc.Call | None = None
        self._thread = threading.Thread(target=self._run, name="witness")
        self._thread.start()

    def close(self) -> None:
        """Stop watching, and raise any error found."""
        self._closed = True
        self.hop()
        self._thread.join(60)
        assert not self._thread.is_alive()
        self.check()

    @property
    def address(self) -> str:
        """The present address."""
        return self._addresses[self.cuts % len(self._addresses)]

    def hop(self) -> None:
        """Cut the present stream, so that it goes on at the next address."""
        if self._call is not None:
            self._call.cancel()  # type: ignore[no-untyped-call]  # grpc-stubs leave it bare

    def check(self) -> None:
        """Raise any error found."""
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            while not self._closed:
                try:
                    self._watch()
                except grpc.RpcError as error:
                    if error.code() not in _PASSING:
                        raise
                self.cuts += 1
                threading.Event().wait(_RETRY_S)
        except Exception as error:  # the test raises it
            self.failure = error

    def _watch(self) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        request = pb.WatchChangesRequest(resume=self.cursor)
        request.heartbeat.FromMilliseconds(500)
        with grpc.insecure_channel(self.address, options) as channel:
            self._call = pb_grpc.OddsServiceStub(channel).WatchChanges(request)
            self._image = None
            opened = False
            for message in self._call:
                if message.HasField("opened"):
                    assert not opened
                    opened = True
                    self._open(message.opened)
                else:
                    assert opened
                    self._take(message)

    def _open(self, opened: pb.Opened) -> None:
        if self.cursor is not None:
            before = self.cursor.epoch, self.cursor.revision
            epoch = opened.cursor.epoch
            self.reopened.append(Reopened(before, epoch, opened.intent, opened.reason))
        if opened.intent == pb.INTENT_IMAGE:
            self.whole = False
        else:
            assert self.cursor is not None
            assert opened.cursor.revision == self.cursor.revision
            # A cursor of an earlier epoch is good only as far as that epoch was stored.
            reached = min(opened.durable_revision, self.cursor.revision)
            self._note_durable(self.cursor.epoch, reached)
            self.cursor = opened.cursor
        self._last = opened.cursor.revision
        self._note_durable(opened.cursor.epoch, opened.durable_revision)

    def _take(self, message: pb.WatchChangesResponse) -> None:
        kind = message.WhichOneof("message")
        assert kind is not None
        part = getattr(message, kind)
        assert part.prev_revision == self._last, (kind, part.prev_revision, self._last)
        self._last = part.cursor.revision
        if kind == "image_begin":
            self._image = {}
        elif kind == "image":
            assert self._image is not None
            self._image |= odds_in(iter(part.events))
        elif kind == "image_end":
            assert self._image is not None
            assert len(self._image) == part.markets
            self.odds, self._image = self._image, None
            self._sum = sum(number_of(*each) for each in self.odds.items())
            self.whole = True
            self._reached = part.cursor.revision
            self.images += 1
        elif kind == "lagged":
            self.whole = False
        elif kind == "changes":
            assert self.whole
            for change in part.changes:
                self._apply(part.cursor.epoch, change)
        if kind in {"changes", "heartbeat", "closing"}:
            self._note_durable(part.cursor.epoch, part.durable_revision)
        if self.whole:
            self.cursor = part.cursor
            if kind == "heartbeat":
                self.marks.append(Mark(part.cursor.epoch, part.cursor.revision, self._sum))

    def _note_durable(self, epoch: str, revision: int) -> None:
        self.durable[epoch] = max(revision, self.durable.get(epoch, 0))

    def _apply(self, epoch: str, change: pb.Change) -> None:
        revisions = self.told.setdefault(epoch, {})
        assert change.revision > self._reached, "told twice"
        self._reached = change.revision
        self.changes += 1
        subject: tuple[object, ...] = ()
        before = after = None
        if change.kind <= pb.CHANGE_KIND_REMOVED:
            place = place_of(change.event_id, change.source, change.bookmaker, change.after.key)
            subject = place
            before = prices_of(change.before if change.HasField("before") else None)
            after = shown(change.after)
            held = self.odds.pop(place, None)
            assert held == before, f"{epoch}: {change} does not follow on {held}"
            if held is not None:
                self._sum -= number_of(place, held)
            if change.after.status != pb.MARKET_STATUS_REMOVED:
                self.odds[place] = after
                self._sum += number_of(place, after)
        elif change.kind <= pb.CHANGE_KIND_EVENT_ENDED:
            subject = (change.event_id,)
            if change.kind == pb.CHANGE_KIND_EVENT_ENDED:
                for ended in [p for p in self.odds if p[0] == change.event_id]:
                    self._sum -= number_of(ended, self.odds.pop(ended))
        else:
            subject = (change.source,)
        what = told(change.kind, subject, before, after)
        # Another node may have lagged behind this watcher, and sent an image of earlier odds.
        assert revisions.setdefault(change.revision, what) == what, "told otherwise"

    def told_durable(self) -> Iterator[tuple[str, int, int]]:
        """Yield (epoch, revision, number) of every change that was announced as durable."""
        for epoch, revisions in self.told.items():
            durable = self.durable.get(epoch, 0)
            for revision, what in revisions.items():
                if revision <= durable:
                    yield epoch, revision, what
