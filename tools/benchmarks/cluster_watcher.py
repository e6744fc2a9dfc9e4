"""A subscriber of the benchmark `cluster` that notes when changes come."""

import threading
import time
from collections.abc import Callable
from typing import Any, Final

import grpc

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc

COME_S: Final = 60.0


class Watcher:
    """One stream, read in a thread of its own.

    Args:
        channel: A channel to a node that serves; closing it ends the stream.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        request = pb.WatchChangesRequest(image=pb.IMAGE_MODE_NEVER)
        request.heartbeat.FromSeconds(1)
        call: Any = pb_grpc.OddsServiceStub(channel).WatchChanges(request)
        self._call = call  # an iterator, which grpc-stubs does not know
        self._news = threading.Condition()
        self._arrived: list[tuple[float, str, int]] = []
        self._ended = ""
        first: pb.WatchChangesResponse = next(self._call)  # changes after it wait for the thread
        self._at = first.opened.cursor.epoch, first.opened.cursor.revision
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def epoch(self) -> str:
        """The epoch of the last message."""
        return self._at[0]

    def since(self, at: float) -> list[float]:
        """Return the times, by the monotonic clock, of the messages with changes after one."""
        with self._news:
            return [when for when, _, _ in self._arrived if when > at]

    def wait(self, holds: Callable[[str, int], bool], after: float = 0.0) -> float:
        """Wait for a message with changes up to a place; return the time when it came.

        Args:
            holds: Whether the cursor of a message, an epoch and a revision, is such a place.
            after: The monotonic clock before it.

        Raises:
            RuntimeError: The stream ended, or no such message came in time.
        """
        until = time.monotonic() + COME_S
        looked = 0
        with self._news:
            while True:
                for when, epoch, revision in self._arrived[looked:]:
                    if when > after and holds(epoch, revision):
                        return when
                looked = len(self._arrived)
                if self._ended or not self._news.wait(until - time.monotonic()):
                    raise RuntimeError(self._ended or "the awaited changes did not come")

    def close(self) -> None:
        """End the stream."""
        self._call.cancel()

    def _read(self) -> None:
        ended = "the stream ended"
        try:
            for message in self._call:
                self._take(message)
        except grpc.RpcError as error:
            ended = f"the stream ended: {error}"
        with self._news:
            self._ended = ended
            self._news.notify_all()

    def _take(self, message: pb.WatchChangesResponse) -> None:
        kind = message.WhichOneof("message")
        if kind not in {"changes", "heartbeat"}:
            return
        cursor = getattr(message, kind).cursor
        with self._news:
            self._at = cursor.epoch, cursor.revision
            if kind == "changes":
                self._arrived.append((time.monotonic(), cursor.epoch, cursor.revision))
                self._news.notify_all()
