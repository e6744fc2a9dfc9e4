"""The replay of a recorded series behind the HTTP shape of The Odds API v4.

Bodies are sent byte for byte, regardless of the format, markets and bookmakers of a request; the
header ``x-odds-format`` gives the format of the prices. Requests for some `eventIds` or for a
single event are answered from the last body, and do not advance the replay.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

import msgspec
import trio
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import request_response

from odds_service.asgi import serve_app
from odds_service.decoding import JsonDecoder
from odds_service.demo.series import Body, Series
from odds_service.recorded_files import RecordingError

JSON: Final = "application/json; charset=utf-8"


class Position(msgspec.Struct):
    """The state of a sport's replay, as `/replay` shows it."""

    position: int  # the number of bodies sent completely; by clock: of bodies due so far
    bodies: int
    at_end: bool  # the last body was sent completely at least once


class _Sequence:
    """The bodies of one sport, and the next one to send."""

    def __init__(self, bodies: list[Body]) -> None:
        self.bodies = bodies
        self._sent = 0
        self._ended = False

    def next(self) -> int:
        """Return the index of the body to send: the next one, or the last one at the end."""
        return min(self._sent, len(self.bodies) - 1)

    def last(self) -> int:
        """Return the index of the body sent last, or of the first one if none was sent."""
        return max(0, self._sent - 1)

    async def sent(self, index: int) -> None:
        """Advance after a body was sent completely; simultaneous pulls of it advance once."""
        self._sent = max(self._sent, index + 1)
        self._ended = self._ended or index == len(self.bodies) - 1

    def current(self, elapsed: timedelta) -> int:
        """Return the index of the last body recorded within ``elapsed`` after the first."""
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
    """A replay, as an endpoint that answers every path.

    Without ``speed``, each pull of a sport returns its next body. A body counts as pulled once the
    socket has accepted the whole answer; an answer that was cut off is repeated. With ``speed``,
    the recorded time decides: at speed 60, a recorded minute takes a second, from the first pull.

    Args:
        series: the recorded bodies.
        speed: recorded seconds per second; None for one body per pull.
        clock: a monotonic clock, in seconds.

    Raises:
        RecordingError: A speed is given, and the name of a file does not begin with its time.
        ValueError: The speed is not above 0.
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

    @property
    def bodies(self) -> int:
        """The number of all bodies."""
        return sum(len(sequence.bodies) for sequence in self._sequences.values())

    @property
    def sent(self) -> int:
        """The number of bodies up to the last ones sent completely."""
        return sum(sequence.position().position for sequence in self._sequences.values())

    @property
    def over(self) -> bool:
        """Return whether the last body of every sport was sent completely."""
        return all(sequence.position().at_end for sequence in self._sequences.values())

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        if request.method not in {"GET", "HEAD"}:
            return _error(405, "METHOD_NOT_ALLOWED", "Only GET and HEAD are answered")
        path = request.scope["path"].strip("/").split("/")
        if path == ["replay"]:
            state = {key: sequence.position() for key, sequence in self._sequences.items()}
            return _json(state)
        if path[:2] != ["v4", "sports"]:
            return _error(404, "NOT_FOUND", "There is no such path")
        if not request.query_params.get("apiKey"):
            return _error(401, "MISSING_KEY", "API key is missing; any will do")
        if len(path) == 2:
            return _json(list(self._series.sports.values()))
        sequence = self._sequences.get(path[2])
        if sequence is None:
            return _error(404, "UNKNOWN_SPORT", "Unknown sport: the series has none of its events")
        match path[3:]:
            case ["odds"]:
                values = request.query_params.getlist("eventIds")
                wanted = [part.strip() for value in values for part in value.split(",")]
                if any(wanted):
                    return await self._some(sequence, wanted)
                return await self._pull(sequence, counts=request.method == "GET")
            case ["events"]:
                return await self._events(sequence)
            case ["events", event_id, "odds"]:
                return await self._event(sequence, event_id)
        return _error(404, "NOT_FOUND", "There is no such path")

    async def _pull(self, sequence: _Sequence, *, counts: bool) -> Response:
        if self._speed is None:
            index = sequence.next()
        else:
            now = self._clock()
            if self._began is None:
                self._began = now
            index = sequence.current(timedelta(seconds=(now - self._began) * self._speed))
        content = await self._read(sequence.bodies[index])
        sent = BackgroundTask(sequence.sent, index) if counts else None
        return Response(content, 200, _headers(sequence, index), JSON, sent)

    async def _some(self, sequence: _Sequence, event_ids: list[str]) -> Response:
        index = sequence.last()
        events = await self._recorded(sequence, index, event_ids)
        return _json(events, headers=_headers(sequence, index))

    async def _event(self, sequence: _Sequence, event_id: str) -> Response:
        index = sequence.last()
        events = await self._recorded(sequence, index, [event_id])
        if not events:
            return _error(404, "EVENT_NOT_FOUND", "Event not found in the body last pulled")
        return Response(bytes(events[0]), 200, _headers(sequence, index), JSON)

    async def _events(self, sequence: _Sequence) -> Response:
        index = sequence.last()
        content = await self._read(sequence.bodies[index])
        events = [head for raw in _parts.decode(content) if (head := _head_of(raw)) is not None]
        return _json(events, headers=_headers(sequence, index))

    async def _recorded(
        self, sequence: _Sequence, index: int, event_ids: list[str]
    ) -> list[msgspec.Raw]:
        """Return the requested events of a body, as recorded."""
        content = await self._read(sequence.bodies[index])
        events = _parts.decode(content)
        return [raw for raw in events if _identified.decode(raw).id in event_ids]

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


_parts: Final = JsonDecoder(list[msgspec.Raw])
_identified: Final = JsonDecoder(_Id)
_head: Final = JsonDecoder(_EventHead)


def _head_of(raw: msgspec.Raw) -> _EventHead | None:
    """Return an event without its odds; None if it has none of the usual shape."""
    try:
        return _head.decode(raw)
    except msgspec.MsgspecError:
        return None


def _headers(sequence: _Sequence, index: int) -> Mapping[str, str]:
    return {
        "x-odds-format": sequence.bodies[index].odds_format,
        "x-replay-body": f"{index + 1}/{len(sequence.bodies)}",
    }


def _check_times(series: Series) -> None:
    for bodies in series.bodies.values():
        for body in bodies:
            if body.recorded_at is None:
                raise RecordingError(
                    f"{body.name}: a replay by clock needs names like 20250910T053659Z__x.json"
                )


def _error(status: int, code: str, message: str) -> Response:
    return _json({"message": message, "error_code": code}, status)


def _json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, JSON)


async def run_replay(
    path: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    speed: float | None = None,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a recorded series until cancelled; ``started()`` passes the port.

    The whole series is checked first, in a thread.

    Args:
        path: the folder or zip.
        host: the address to listen on.
        port: the port; 0 for any free one.
        speed: recorded seconds per second; None for one body per pull.
        task_status: for nursery.start().

    Raises:
        RecordingError: ``path`` is not a series of bodies or, with a speed, has no times.
        ValueError: The speed is not above 0.
        OSError: The address cannot be bound.
    """
    series = await trio.to_thread.run_sync(Series, path)
    with series:
        app = Replay(series, speed=speed)
        await serve_app(request_response(app), host=host, port=port, task_status=task_status)
