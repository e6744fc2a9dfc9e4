"""The calls of the contract at their paths; docs/http.md and the OpenAPI document list them."""

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Final

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from odds_service.http.answers import answered
from odds_service.http.columns import TYPES, Pieces, form_asked
from odds_service.http.context import Caller
from odds_service.http.errors import error_response
from odds_service.http.lines import Lines
from odds_service.http.queries import fill, from_body, in_parameters, parse_cursor
from odds_service.http.session import Sessions
from odds_service.http.streaming import (
    Events,
    Runs,
    StreamContext,
    StreamResponse,
    event_of,
    failed_event,
)
from odds_service.serving.admission import Entrance
from odds_service.serving.auth import Holder
from odds_service.serving.errors import Refused
from odds_service.serving.server import Room
from odds_service.wire.json_mapping import to_json
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb


class Path(Struct, frozen=True):
    """The place of a call.

    Attributes:
        verb: The HTTP method.
        path: The path, with the request's field in braces.
        call: The call's name in the contract.
    """

    verb: str
    path: str
    call: str


PATHS: Final = (
    Path("GET", "/v1/odds", "GetOdds"),
    Path("GET", "/v1/changes", "WatchChanges"),
    Path("GET", "/v1/events", "ListEvents"),
    Path("GET", "/v1/history", "GetHistory"),
    Path("GET", "/v1/replay", "Replay"),
    Path("GET", "/v1/closing", "GetClosingOdds"),
    Path("POST", "/v1/events/{event_id}:refresh", "RefreshEvent"),
    Path("GET", "/v1/series", "GetSeries"),
    Path("GET", "/v1/status", "GetStatus"),
    Path("GET", "/v1/markets", "ListMarkets"),
    Path("GET", "/v1/coverage", "GetCoverage"),
    Path("GET", "/v1/unmapped", "ListUnmapped"),
    Path("GET", "/v1/runs", "ListRuns"),
    Path("POST", "/v1/reload", "Reload"),
)

EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
LINES: Final = "application/x-ndjson; charset=utf-8"


def sends_events(method: MethodDescriptor) -> bool:
    """Return whether a stream is one of Server-Sent Events; others are lines of JSON."""
    return method.server_streaming and "message" in method.output_type.oneofs_by_name


def takes_last_event_id(method: MethodDescriptor) -> bool:
    """Return whether a stream is resumed at the id of an event."""
    return sends_events(method) and "resume" in method.input_type.fields_by_name


def call_routes(room: Room, sessions: Sessions, closed: bool) -> list[Route]:
    """Return a route for each call. `closed`: see Entrance.answer."""
    events = Events()
    routes = []
    for path in PATHS:
        entrance = room.entrances[path.call]
        endpoint = _endpoint(entrance, sessions, events, closed)
        place = re.sub(r"{(\w+)}", r"{\1:path}", path.path)  # an id may hold a slash
        routes.append(Route(place, endpoint, methods=[path.verb]))
    return routes


def _endpoint(
    entrance: Entrance, sessions: Sessions, events: Events, closed: bool
) -> Callable[..., object]:
    method = entrance.method
    asks = GetMessageClass(method.input_type)
    answers = GetMessageClass(method.output_type)

    async def answer(request: Request) -> Response | StreamResponse:
        try:
            message = await _message(request, asks(), takes_last_event_id(method))
            wire, given = message.SerializeToString(), sessions.authorization(request)
            if not method.server_streaming:
                reply = await entrance.answer(wire, Caller(request), given, closed=closed)
                return await answered(request, to_json(answers.FromString(reply)))
            if request.method == "HEAD":  # the stream might never end
                await _begin(entrance, wire, request, given, closed)
        except Refused as refusal:
            return error_response(in_parameters(refusal, method.input_type))
        form = getattr(message, "form", pb.HISTORY_FORM_UNSPECIFIED)
        kind = EVENT_STREAM if sends_events(method) else TYPES.get(form, LINES)
        if request.method == "HEAD":
            return Response(media_type=kind, headers={"cache-control": "no-store"})
        runs = _runs(entrance, wire, given, closed)
        if sends_events(method):
            shared = method.name == "WatchChanges"
            encode = events.event if shared else partial(event_of, answers)
            return StreamResponse(runs, EVENT_STREAM, encode, failed_event)
        if form in TYPES:
            pieces = Pieces(form)
            return StreamResponse(runs, kind, pieces.encode, pieces.failed)
        lines = Lines(answers)
        return StreamResponse(runs, LINES, lines.encode, lines.failed, lines.ended)

    return answer


class _Begun(Exception):
    """The first message of a stream whose body nobody wants."""


class _Beginning(Caller):
    """The context of a stream that ends with its first message."""

    begun = False

    async def write(self, message: bytes) -> None:
        self.begun = True
        raise _Begun


async def _begin(
    entrance: Entrance, wire: bytes, request: Request, given: str | Holder, closed: bool
) -> None:
    """Run a stream to its first message, for HEAD. Raises Refused."""
    context = _Beginning(request)
    try:
        await entrance.stream(wire, context, given, closed=closed, gone=_Begun)
    except asyncio.CancelledError:  # noqa: ASYNC103  # of the call's own making, once it has begun
        if not context.begun:
            raise


def _runs(entrance: Entrance, wire: bytes, given: str | Holder, closed: bool) -> Runs:
    async def run(context: StreamContext) -> None:
        try:
            await entrance.stream(wire, context, given, closed=closed)
        except Refused as refusal:
            raise in_parameters(refusal, entrance.method.input_type) from None

    return run


async def _message(request: Request, message: Message, takes_id: bool) -> Message:
    """Return the call's request, from path, query, headers and body. Raises Refused.

    Args:
        request: The request.
        message: The message to fill.
        takes_id: See takes_last_event_id().
    """
    if request.method == "POST":
        from_body(message, await request.body())
    fill(message, request.query_params.multi_items())
    if isinstance(message, pb.GetHistoryRequest) and not message.form:
        message.form = form_asked(request)
    for name, value in request.path_params.items():
        setattr(message, name, value)
    last = request.headers.get("last-event-id", "")
    if last and takes_id:
        # A browser's own reconnect repeats the address, so its header is the later place.
        message.resume.CopyFrom(parse_cursor("Last-Event-ID", last))  # type: ignore[attr-defined]
    return message
