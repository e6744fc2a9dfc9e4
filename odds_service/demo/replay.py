"""The replay of a recorded series behind the HTTP shape of The Odds API v4.

Bodies are sent byte for byte, whatever format, markets and bookmakers a request asks for; the
header ``x-odds-format`` names the format of the prices. A request for some `eventIds`, or for one
event, is answered from the body that was last pulled, and pulls no other.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import msgspec
import trio

from odds_service.demo.series import Body, ReplayError, Series
from odds_service.http.message import Request, Response
from odds_service.http.server import serve_http


class Position(msgspec.Struct):
    """The state of a sport's replay, as `/replay` shows it."""

    position: int  # bodies that were sent whole; by clock: that were current so far
    bodies: int
    at_end: bool  # the last one was sent whole at least once


class _Sequence:
    """The bodies of one sport, and the next one to send."""

    def __init__(self, bodies: list[Body]) -> None:
        self.bodies = bodies
        self._sent = 0
        self._ended = False

    def next(self) -> int:
        """Return the index of the body to send: the next one, or at the end the last."""
        return min(self._sent, len(self.bodies) - 1)

    def last(self) -> int:
        """Return the index of the body that was sent last; before any was, the first."""
        return max(0, self._sent - 1)

    def sent(self, index: int) -> None:
        """Advance after a body was sent whole; two simultaneous pulls of it advance once."""
        self._sent = max(self._sent, index + 1)
        self._ended = self._ended or index == len(self.bodies) - 1

    def current(self, elapsed: timedelta) -> int:
        """Return, by clock, the last body recorded within ``elapsed`` after the first."""
        first = self.bodies[0].recorded_at
        index = 0
        for number, body in enumerate(self.bodies):
            if first is not None and body.recorded_at is not None:
                if body.recorded_at - first > elapsed:
                    break
                index = number
        return index

    def position(self) -> Position:
        """Return the state of the replay."""
        return Position(self._sent, len(self.bodies), self._ended)


class Replay:
    """The application to serve.

    Without ``speed`` each pull of a sport gives its next body. A body counts as pulled once its
    answer was sent whole (as far as the system can tell: was taken by the socket); an answer that
    was cut is repeated. With ``speed`` the recorded time decides: at speed 60 a recorded minute
    takes a second, from the first pull on.

    Args:
        series: the recorded bodies.
        speed: recorded seconds per second; None for one body per pull.
        clock: seconds on a monotonic clock.

    Raises:
        ReplayError: with a speed, a file whose name does not begin with its time.
        ValueError: the speed is not above 0.
    """

    def __init__(
        self,
        series: Series,
        *,
        speed: float | None = None,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        if speed is not None:
            if not speed > 0:
                raise ValueError("speed must be above 0")
            _check_times(series)
        self._series = series
        self._speed = speed
        self._clock = clock
        self._began: float | None = None
        self._sequences = {key: _Sequence(bodies) for key, bodies in series.bodies.items()}

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        if request.method not in {"GET", "HEAD"}:
            return _error(405, "METHOD_NOT_ALLOWED", "Only GET and HEAD are answered")
        path = request.path.strip("/").split("/")
        if path == ["replay"]:
            state = {key: sequence.position() for key, sequence in self._sequences.items()}
            return Response(body=msgspec.json.encode(state))
        if path[:2] != ["v4", "sports"]:
            return _error(404, "NOT_FOUND", "There is no such path")
        if not request.first("apiKey"):
            return _error(401, "MISSING_KEY", "API key is missing; any will do")
        if len(path) == 2:
            return Response(body=msgspec.json.encode(list(self._series.sports.values())))
        sequence = self._sequences.get(path[2])
        if sequence is None:
            return _error(404, "UNKNOWN_SPORT", "Unknown sport: the series has none of its events")
        match path[3:]:
            case ["odds"]:
                wanted = request.listed("eventIds")
                return await (self._some(sequence, wanted) if wanted else self._pull(sequence))
            case ["events"]:
                return await self._events(sequence)
            case ["events", event_id, "odds"]:
                return await self._event(sequence, event_id)
        return _error(404, "NOT_FOUND", "There is no such path")

    async def _pull(self, sequence: _Sequence) -> Response:
        if self._speed is None:
            index = sequence.next()
        else:
            now = self._clock()
            if self._began is None:
                self._began = now
            index = sequence.current(timedelta(seconds=(now - self._began) * self._speed))
        content = await self._read(sequence.bodies[index])
        return Response(
            body=content,
            headers=_headers(sequence, index),
            on_sent=partial(sequence.sent, index),
        )

    async def _some(self, sequence: _Sequence, event_ids: list[str]) -> Response:
        index = sequence.last()
        events = await self._recorded(sequence, index, event_ids)
        return Response(body=msgspec.json.encode(events), headers=_headers(sequence, index))

    async def _event(self, sequence: _Sequence, event_id: str) -> Response:
        index = sequence.last()
        events = await self._recorded(sequence, index, [event_id])
        if not events:
            return _error(404, "EVENT_NOT_FOUND", "Event not found in the body last pulled")
        return Response(body=bytes(events[0]), headers=_headers(sequence, index))

    async def _events(self, sequence: _Sequence) -> Response:
        index = sequence.last()
        content = await self._read(sequence.bodies[index])
        events = msgspec.json.decode(content, type=list[_EventHead])
        return Response(body=msgspec.json.encode(events), headers=_headers(sequence, index))

    async def _recorded(
        self, sequence: _Sequence, index: int, event_ids: list[str]
    ) -> list[msgspec.Raw]:
        """Return the recorded events of a body that were asked for."""
        content = await self._read(sequence.bodies[index])
        events = msgspec.json.decode(content, type=list[msgspec.Raw])
        return [raw for raw in events if msgspec.json.decode(raw, type=_Id).id in event_ids]

    async def _read(self, body: Body) -> bytes:
        return await trio.to_thread.run_sync(self._series.read, body)


class _Id(msgspec.Struct):
    id: str


class _EventHead(_Id):
    """An event without its odds; outrights have no sides."""

    sport_key: str
    sport_title: str
    commence_time: str
    home_team: str | None = None
    away_team: str | None = None


def _headers(sequence: _Sequence, index: int) -> list[tuple[str, str]]:
    return [
        ("x-odds-format", sequence.bodies[index].odds_format),
        ("x-replay-body", f"{index + 1}/{len(sequence.bodies)}"),
    ]


def _check_times(series: Series) -> None:
    for bodies in series.bodies.values():
        for body in bodies:
            if body.recorded_at is None:
                raise ReplayError(
                    f"{body.name}: a replay by clock needs names like 20250910T053659Z__x.json"
                )


def _error(status: int, code: str, message: str) -> Response:
    return Response(status, msgspec.json.encode({"message": message, "error_code": code}))


async def run_replay(
    path: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    speed: float | None = None,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a recorded series; ``started()`` hands over the port. Returns only when cancelled.

    The whole series is checked first, in a thread.

    Raises:
        ReplayError: ``path`` is no series of bodies or, with a speed, has no times.
        ValueError: the speed is not above 0.
        OSError: the address cannot be bound.
    """
    series = await trio.to_thread.run_sync(Series, path)
    with series:
        app = Replay(series, speed=speed)
        await serve_http(app, host=host, port=port, task_status=task_status)
