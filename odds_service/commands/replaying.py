"""The past in `odds-service watch --replay`: as it was, at once or at its own pace."""

from datetime import UTC
from threading import Event

from odds_service.client import Disconnected, SyncReplay
from odds_service.client.following import ReplayClock
from odds_service.commands.change_lines import ChangeLines
from odds_service.commands.output import Output
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb


class Waits:
    """The waits between changes that are shown at a pace.

    Args:
        speed: The seconds of the log in one second; None does not wait.
        ended: Ends a wait.
    """

    def __init__(self, speed: float | None, ended: Event) -> None:
        self._log_clock = None if speed is None else ReplayClock(speed)
        self._ended = ended

    def until(self, change: pb.Change) -> None:
        """Wait until a change is due; the first one is at once."""
        if self._log_clock is None:
            return
        due_s = self._log_clock.due_s(change.detected_at.ToDatetime(tzinfo=UTC))
        if due_s > 0:
            self._ended.wait(due_s)


def show_replay(
    replay: SyncReplay, lines: ChangeLines, waits: Waits, out: Output, *, as_json: bool
) -> None:
    """Print a replay until its end.

    Args:
        replay: The replay.
        lines: The lines of changes.
        waits: The waits before changes; messages of --json do not wait.
        out: The output.
        as_json: Whether to print the messages themselves.
    """
    for message in replay.messages():
        if isinstance(message, Disconnected):
            if message.changed_to is None:  # the client tells the rest itself
                text = f"{message.error}; trying again in {message.retry_in_s:.1f} s"
                out.remark(text, style="yellow")
        elif as_json:
            out.json(message)
        elif message.HasField("end"):
            out.line(f"— the end, at revision {message.end.cursor.revision}", style="dim")
        elif message.HasField("changes"):
            for change in message.changes.changes:
                waits.until(change)
                if replay.closed:
                    return
                out.parts(*lines.change(change))
        else:  # the numbers of the fields are those of the live stream
            alike = pb.WatchChangesResponse.FromString(message.SerializeToString())
            for line in lines.message(alike):
                out.parts(*line)
