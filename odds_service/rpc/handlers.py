"""The server's table of calls: one wrapper round each, and bytes in and out.

The wrapper is in place of a stack of interceptors, of which three that do nothing cost an eighth
of a unary call. It admits the caller, reads the request and turns errors into statuses.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from odds_service.access import Tokens
from odds_service.rpc import calls, closing_odds, history, listing, status
from odds_service.rpc.auth import caller
from odds_service.rpc.errors import Context, abort, as_refusal, exhausted, unavailable
from odds_service.rpc.hub import Subscriber
from odds_service.rpc.meter import Meter
from odds_service.rpc.server_context import ServerContext
from odds_service.rpc.watch import Watch
from odds_service.rpc.watch_options import watch_options
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

SERVICE: Final = pb.DESCRIPTOR.services_by_name["OddsService"].full_name

MAX_REQUEST_BYTES: Final = 2**20  # 1 MiB: a filter that names 10,000 events fits
_OK: Final = grpc.StatusCode.OK.name
# The caller went away, or its deadline has passed: grpc.aio tells a handler no difference.
_CANCELLED: Final = grpc.StatusCode.CANCELLED.name

R = TypeVar("R", bound=Message, contravariant=True)
T = TypeVar("T", covariant=True)


class Call(Protocol[R, T]):
    """A call of the service; gives the reply's bytes, or None for a stream that it has written."""

    def __call__(self, serving: ServerContext, request: R, context: Context, /) -> Awaitable[T]: ...


async def watch_changes(
    serving: ServerContext, request: pb.WatchChangesRequest, context: Context
) -> None:
    """A stream of changes; see rpc.watch."""
    terms = watch_options(serving, request)
    parts = serving.parts
    subscriber = Subscriber(context.peer(), parts.now(), parts.feed.head_revision)
    try:
        with serving.hub.subscribed(subscriber):
            await Watch(serving, terms, request, context, subscriber).run()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not subscriber.given_up or task is None:
            raise
        task.uncancel()  # the hub's doing, which is the reader's to know
        gone = unavailable("nothing was read for too long", "STALLED_READER")
        raise gone from None  # noqa: ASYNC104  # the hub's own cancellation, told as a status


def service_handler(
    serving: ServerContext, tokens: Tokens
) -> "grpc.GenericRpcHandler[bytes, bytes]":
    """All calls of odds.v1.OddsService."""
    unary: dict[str, tuple[Any, Call[Any, bytes]]] = {
        "GetOdds": (serving.replies, calls.get_odds),
        "ListEvents": (pb.ListEventsRequest, listing.list_events),
        "RefreshEvent": (pb.RefreshEventRequest, calls.refresh_event),
        "GetStatus": (pb.GetStatusRequest, status.get_status),
    }
    streams: dict[str, tuple[Any, Call[Any, None]]] = {
        "WatchChanges": (pb.WatchChangesRequest, watch_changes),
        "GetHistory": (pb.GetHistoryRequest, history.get_history),
        "GetClosingOdds": (pb.GetClosingOddsRequest, closing_odds.get_closing_odds),
    }
    table = {}
    for name, (request, call) in unary.items():
        meter = serving.meter(name, streams=False)
        table[name] = grpc.unary_unary_rpc_method_handler(
            _answering(serving, tokens, meter, request, call)
        )
    for name, (request, stream) in streams.items():
        meter = serving.meter(name, streams=True)
        table[name] = grpc.unary_stream_rpc_method_handler(
            _streaming(serving, tokens, meter, request, stream)
        )
    return grpc.method_handlers_generic_handler(SERVICE, table)


def _answering(
    serving: ServerContext, tokens: Tokens, meter: Meter, request_type: Any, call: Call[Any, bytes]
) -> Callable[[bytes, Context], Awaitable[bytes]]:
    async def handle(request: bytes, context: Context) -> bytes:
        began = meter.begin()
        try:
            serving.limits.request(caller(tokens, context))
            reply = await call(serving, _read(request_type, request), context)
        except asyncio.CancelledError:
            meter.end(_CANCELLED, began)
            raise
        except Exception as error:  # one wrapper for all: nothing unmapped gets out
            refusal = as_refusal(error)
            meter.end(refusal.code.name, began)
            await abort(context, refusal)
        meter.end(_OK, began)
        return reply

    return handle


def _streaming(
    serving: ServerContext, tokens: Tokens, meter: Meter, request_type: Any, call: Call[Any, None]
) -> Callable[[bytes, Context], Awaitable[None]]:
    async def handle(request: bytes, context: Context) -> None:
        began = meter.begin()
        try:
            client = caller(tokens, context)
            serving.limits.request(client)
            with serving.limits.stream(client):
                await call(serving, _read(request_type, request), context)
        except asyncio.CancelledError:
            meter.end(_CANCELLED, began)
            raise
        except grpc.aio.InternalError:  # its name for a caller gone while a message is handed over
            meter.end(_CANCELLED, began)
            raise asyncio.CancelledError from None
        except Exception as error:  # one wrapper for all: nothing unmapped gets out
            refusal = as_refusal(error)
            meter.end(refusal.code.name, began)
            await abort(context, refusal)
        meter.end(_OK, began)

    return handle


def _read(request_type: Any, request: bytes) -> Any:
    """The request's message. Raises Refused, DecodeError."""
    if len(request) > MAX_REQUEST_BYTES:
        text = f"a request of {len(request):,} bytes; at most {MAX_REQUEST_BYTES:,} are read"
        raise exhausted("request size", text)
    return request_type.FromString(request)
