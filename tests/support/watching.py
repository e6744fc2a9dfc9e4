"""A client of the contract that uses nothing of odds_service but the generated messages."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import trio

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc

Place = tuple[str, str, str, str, float | None, str]  # event, source, bookmaker, market key
Prices = tuple[tuple[str, float | None, bool], ...]
Odds = dict[Place, tuple[int, Prices]]

WAIT_S = 60.0


def shown(market: pb.Market) -> tuple[int, Prices]:
    return market.status, tuple(
        (o.key, o.price if o.HasField("price") else None, o.active) for o in market.outcomes
    )


def place_of(event_id: str, source: str, bookmaker: str, key: pb.MarketKey) -> Place:
    line = key.line if key.HasField("line") else None
    return event_id, source, bookmaker, key.market, line, key.participant


def odds_in(events: Iterator[pb.EventOdds]) -> Odds:
    return {
        place_of(entry.event.id, b.source, b.bookmaker, market.key): shown(market)
        for entry in events
        for b in entry.bookmakers
        for market in b.markets
    }


class Fold:
    """A fold of one stream after another into a map, which checks the promises of each message."""

    def __init__(self, odds: Odds | None = None, cursor: pb.Cursor | None = None) -> None:
        self.odds: Odds = odds or {}
        self.cursor = cursor
        self.opened: pb.Opened | None = None
        self.closing: pb.Closing | None = None
        self.changes: list[pb.Change] = []
        self.durable = 0
        self._image: Odds | None = None

    def take(self, message: pb.WatchChangesResponse) -> None:
        kind = message.WhichOneof("message")
        assert kind is not None
        part = getattr(message, kind)
        if kind == "opened":
            assert self.opened is None or self.cursor is not None
            self.opened = part
        else:
            assert self.cursor is not None
            assert part.prev_revision == self.cursor.revision, kind
        if kind == "image_begin":
            self._image = {}
        elif kind == "image":
            assert self._image is not None
            self._image |= odds_in(iter(part.events))
        elif kind == "image_end":
            assert self._image is not None
            assert len(self._image) == part.markets
            self.odds, self._image = self._image, None
        elif kind == "changes":
            for change in part.changes:
                self._apply(change)
            self.durable = part.durable_revision
        elif kind == "closing":
            self.closing = part
        if kind != "lagged":
            self.cursor = part.cursor

    def _apply(self, change: pb.Change) -> None:
        assert self._image is None
        assert not self.changes or change.revision > self.changes[-1].revision
        self.changes.append(change)
        if change.kind == pb.CHANGE_KIND_EVENT_ENDED:
            self.odds = {p: o for p, o in self.odds.items() if p[0] != change.event_id}
        if change.kind > pb.CHANGE_KIND_REMOVED:
            return
        place = place_of(change.event_id, change.source, change.bookmaker, change.after.key)
        before = self.odds.pop(place, None)
        assert before == (shown(change.before) if change.HasField("before") else None)
        if change.after.status != pb.MARKET_STATUS_REMOVED:
            self.odds[place] = shown(change.after)


class Watcher:
    """A WatchChanges stream, folded in a thread."""

    def __init__(self, address: str, request: pb.WatchChangesRequest, fold: Fold) -> None:
        self.fold = fold
        self.error: grpc.RpcError | None = None
        self.failure: Exception | None = None
        self._channel = grpc.insecure_channel(address)
        self._call = pb_grpc.OddsServiceStub(self._channel).WatchChanges(request)
        self._moved = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            for message in self._call:
                with self._moved:
                    self.fold.take(message)
                    self._moved.notify_all()
        except grpc.RpcError as error:
            self.error = error
        except Exception as error:  # raised by the waiting methods
            self.failure = error
        with self._moved:
            self._ended = True
            self._moved.notify_all()

    async def reach(self, revision: int) -> None:
        """Wait until the fold's cursor is at the revision or after it."""
        await trio.to_thread.run_sync(self._wait, revision)

    async def level(self, head: Callable[[], int]) -> None:
        """Wait until the fold is at the head and the head has not moved meanwhile."""
        reached = -1
        while reached != head():
            reached = head()
            await self.reach(reached)

    def _wait(self, revision: int) -> None:
        with self._moved:
            reached = self._moved.wait_for(
                lambda: (
                    self._ended
                    or (self.fold.cursor is not None and self.fold.cursor.revision >= revision)
                ),
                WAIT_S,
            )
        if self.failure is not None:
            raise self.failure
        assert reached, f"not at {revision} within {WAIT_S} s: {self.fold.cursor}"

    async def begun(self) -> pb.Opened:
        """Wait for the first message and return it."""
        await trio.to_thread.run_sync(self._wait_begun)
        assert self.fold.opened is not None
        return self.fold.opened

    def _wait_begun(self) -> None:
        with self._moved:
            assert self._moved.wait_for(lambda: self.fold.opened is not None, WAIT_S)

    def wait_ended(self) -> None:
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        self._call.cancel()  # type: ignore[no-untyped-call]  # grpc-stubs leave it bare
        self._thread.join(WAIT_S)
        self._channel.close()


@contextmanager
def watching(
    address: str, request: pb.WatchChangesRequest | None = None, fold: Fold | None = None
) -> Iterator[Watcher]:
    watcher = Watcher(address, request or pb.WatchChangesRequest(), fold or Fold())
    try:
        yield watcher
    finally:
        watcher.close()
