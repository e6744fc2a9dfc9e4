"""The past in `odds-service watch --replay`: as it was, at once or at its own pace."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event

from odds_service.client import Disconnected, SyncReplay
from odds_service.commands.change_lines import ChangeLines
from odds_service.commands.output import Output
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb


class Pace:
    """The clock of a replay that goes at a multiple of the log's own pace.

    Args:
        speed: The seconds of the log in one second; None does not wait.
        ended: Ends a wait.
        clock: Returns the seconds of a monotonic clock.
    """

    def __init__(
        self,
        speed: float | None,
        ended: Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._speed = speed
        self._ended = ended
        self._clock = clock
        self._begun: tuple[float, datetime] | None = None

    def wait_for(self, change: pb.Change) -> None:
        """Wait until a change is due; the first one is at once."""
        if self._speed is None:
            return
        at = change.detected_at.ToDatetime(tzinfo=UTC)
        if self._begun is None:
            self._begun = self._clock(), at
        begun_s, begins = self._begun
        due_s = begun_s + (at - begins).total_seconds() / self._speed - self._clock()
        if due_s > 0:
            self._ended.wait(due_s)


def show_replay(
    replay: SyncReplay, lines: ChangeLines, pace: Pace, out: Output, *, as_json: bool
) -> None:
    """Print a replay until its end.

    Args:
        replay: The replay.
        lines: The lines of changes.
        pace: The time of each change; messages of --json do not wait.
        out: The output.
        as_json: Whether to print the messages themselves.
    """
    for message in replay.messages():
        if isinstance(message, Disconnected):
            text = f"{message.error}; trying again in {message.retry_in_s:.1f} s"
            out.remark(text, style="yellow")
        elif as_json:
            out.json(message)
        elif message.HasField("end"):
            out.line(f"— the end, at revision {message.end.cursor.revision}", style="dim")
        elif message.HasField("changes"):
            for change in message.changes.changes:
                pace.wait_for(change)
                if replay.closed:
                    return
                out.parts(*lines.change(change))
        else:  # the numbers of the fields are those of the live stream
            alike = pb.WatchChangesResponse.FromString(message.SerializeToString())
            for line in lines.message(alike):
                out.parts(*line)
