"""The messages between the processes of the benchmark `watch`, as lines of JSON."""

from typing import Final

from msgspec import Struct

from odds_service.config import ServerSettings

EPOCH: Final = "bench"
BOOKMAKERS: Final = tuple(f"book{number:02}" for number in range(10))
SETTINGS: Final = ServerSettings(
    listen="127.0.0.1:0", max_streams=5_000, max_streams_per_client=5_000, max_requests_per_s=1e6
)


class Do(Struct, omit_defaults=True):
    """To the server. publish: changes a second from now on, `batch` at a time, until `stop`.

    burst: publish one batch of so many now. An empty one asks how it stands.
    """

    publish: float = 0.0
    batch: int = 10
    burst: int = 0
    stop: bool = False


class Done(Struct):
    """The server's state after a command. rss: bytes."""

    subscribers: int
    head: int
    cpu_s: float
    rss: int


class Ask(Struct, omit_defaults=True):
    """To the clients. attach: open so many streams more, and wait for the first message of each.

    paths: of readers of events alone: open a stream of each.
    filtered: each selects one bookmaker. reset: forget what was measured. reach: wait until all
    streams are there, at most `within_s`. burst: the same, and answer as soon as they are.
    """

    attach: int = 0
    paths: list[str] = []
    filtered: bool = False
    reset: bool = False
    reach: int | None = None
    within_s: float = 30.0


class Answer(Struct):
    """The clients' results since the last reset; times in ms, each list at most some 10,000.

    behind: streams that are not at the revision asked for. lost: streams that ended, or whose
    prev_revision did not fit.
    """

    streams: int
    opened_ms: list[float]
    latency_ms: list[float]
    messages: int
    changes: int
    bytes: int
    behind: int
    lost: int
    cpu_s: float
