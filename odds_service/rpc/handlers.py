"""The server's table of calls, each behind one wrapper, bytes in and bytes out.

The wrapper admits the caller, parses the request and maps errors to statuses. It replaces a stack
of interceptors, three of which cost an eighth of a unary call even if they do nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from odds_service.access import OWNER, Tokens
from odds_service.rpc import calls, closing_odds, history, listing, reload, status
from odds_service.rpc.auth import RIGHTS, Caller, caller, is_closed
from odds_service.rpc.errors import Context, abort, as_refusal, exhausted, unavailable
from odds_service.rpc.guard import Revocations
from odds_service.rpc.hub import Subscriber
from odds_service.rpc.meter import Meter
from odds_service.rpc.server_context import ServerContext
from odds_service.rpc.servicer import Servicer, Streaming, Unary
from odds_service.rpc.watch import Watch
from odds_service.rpc.watch_options import watch_options
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

_DESCRIPTOR: Final = pb.DESCRIPTOR.services_by_name["OddsService"]
SERVICE: Final = _DESCRIPTOR.full_name

MAX_REQUEST_BYTES: Final = 2**20  # 1 MiB: a filter that names 10,000 events fits
_OK: Final = grpc.StatusCode.OK.name
# The caller went away or its deadline has passed; grpc.aio does not tell a handler which.
_CANCELLED: Final = grpc.StatusCode.CANCELLED.name

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Reads(Protocol[R_co]):
    """A parser of a caller's requests."""

    def __call__(self, server: ServerContext, request: bytes, /) -> R_co: ...


class Admits(Protocol):
    """A check of the caller of a method. Raises Refused."""

    def __call__(self, context: Context, /) -> Caller: ...


async def watch_changes(
    server: ServerContext, request: pb.WatchChangesRequest, context: Context
) -> None:
    """Stream changes; see rpc.watch."""
    options = watch_options(server, request)
    parts = server.parts
    subscriber = Subscriber(context.peer(), parts.now(), parts.feed.head_revision)
    try:
        with server.hub.subscribed(subscriber):
            await Watch(server, options, request, context, subscriber).run()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not subscriber.given_up or task is None:
            raise
        task.uncancel()  # the hub cancelled this call; end it with a reason instead
        gone = unavailable("the client read nothing for too long", "STALLED_READER")
        raise gone from None  # noqa: ASYNC104  # the hub's own cancellation becomes a status


SERVICER: Final = Servicer(
    GetOdds=calls.get_odds,
    WatchChanges=watch_changes,
    ListEvents=listing.list_events,
    GetHistory=history.get_history,
    GetClosingOdds=closing_odds.get_closing_odds,
    RefreshEvent=calls.refresh_event,
    GetStatus=status.get_status,
    Reload=reload.reload,
)


def service_handler(
    server: ServerContext,
    tokens: Tokens,
    servicer: Servicer = SERVICER,
    revocations: Revocations | None = None,
) -> "grpc.GenericRpcHandler[bytes, bytes]":
    """Return the handler of all calls of odds.v1.OddsService.

    Args:
        server: The state shared by calls.
        tokens: The accepted tokens.
        servicer: The function behind each call.
        revocations: Ends the streams of tokens that are gone, while its `watch` runs.
    """
    closing = Revocations(server, tokens) if revocations is None else revocations
    table = {
        method.name: _method_handler(server, tokens, closing, servicer, method)
        for method in _DESCRIPTOR.methods
    }
    return grpc.method_handlers_generic_handler(SERVICE, table)


def _method_handler(
    server: ServerContext,
    tokens: Tokens,
    revocations: Revocations,
    servicer: Servicer,
    method: MethodDescriptor,
) -> "grpc.RpcMethodHandler[bytes, bytes]":
    call = getattr(servicer, method.name)
    meter = server.meter(method.name, streams=method.server_streaming)
    right, closed = RIGHTS[method.name], is_closed(server.parts.settings)

    def admit(context: Context) -> Caller:
        return caller(tokens, context, right, closed=closed)

    message = GetMessageClass(method.input_type)

    def parsed(_: ServerContext, request: bytes) -> Message:
        return message.FromString(request)

    reads: Reads[Any] = ServerContext.asked if call is servicer.GetOdds else parsed
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(
            _streaming(server, admit, revocations, meter, reads, call)
        )
    return grpc.unary_unary_rpc_method_handler(_answering(server, admit, meter, reads, call))


def _answering(
    server: ServerContext, admit: Admits, meter: Meter, reads: Reads[R], call: Unary[R]
) -> Callable[[bytes, Context], Awaitable[bytes]]:
    async def handle(request: bytes, context: Context) -> bytes:
        began = meter.begin()
        try:
            client, grant = admit(context)
            server.limits.request(client)
            theirs = server if grant is OWNER else server.seen_by(grant)
            theirs.usage.calls += 1
            reply = await call(theirs, _read(theirs, reads, request), context)
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
    server: ServerContext,
    admit: Admits,
    revocations: Revocations,
    meter: Meter,
    reads: Reads[R],
    call: Streaming[R],
) -> Callable[[bytes, Context], Awaitable[None]]:
    async def handle(request: bytes, context: Context) -> None:
        began = meter.begin()
        try:
            client, grant = admit(context)
            server.limits.request(client)
            theirs = server if grant is OWNER else server.seen_by(grant)
            theirs.usage.calls += 1
            with server.limits.stream(client), revocations.open(grant):
                await call(theirs, _read(theirs, reads, request), context)
        except asyncio.CancelledError:
            meter.end(_CANCELLED, began)
            raise
        except grpc.aio.InternalError:  # the caller left while a message was being written
            meter.end(_CANCELLED, began)
            raise asyncio.CancelledError from None
        except Exception as error:  # one wrapper for all: nothing unmapped gets out
            refusal = as_refusal(error)
            meter.end(refusal.code.name, began)
            await abort(context, refusal)
        meter.end(_OK, began)

    return handle


def _read(server: ServerContext, reads: Reads[R], request: bytes) -> R:
    """Parse a request. Raises Refused if it is too large, DecodeError if it is malformed."""
    if len(request) > MAX_REQUEST_BYTES:
        text = f"the request has {len(request):,} bytes; at most {MAX_REQUEST_BYTES:,} are allowed"
        raise exhausted("request size", text)
    return reads(server, request)
