"""The table of calls as gRPC's handlers, bytes in and bytes out.

One function a call replaces a stack of interceptors, three of which cost an eighth of a unary call
even if they do nothing.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import NoReturn, TypeAlias

import grpc
from grpc import aio
from grpc_status import rpc_status

from odds_service.serving.admission import SERVICE, Entrance
from odds_service.serving.errors import Refused, status_of

Context: TypeAlias = "aio.ServicerContext[bytes, bytes]"


def service_handler(
    entrances: Iterable[Entrance], *, closed: bool
) -> "grpc.GenericRpcHandler[bytes, bytes]":
    """Return the handler of all calls of odds.v1.OddsService.

    Args:
        entrances: The calls.
        closed: Whether only the owner can reach the port if it asks for no tokens.
    """
    table = {each.method.name: _handler(each, closed) for each in entrances}
    return grpc.method_handlers_generic_handler(SERVICE.full_name, table)


def _handler(entrance: Entrance, closed: bool) -> "grpc.RpcMethodHandler[bytes, bytes]":
    if entrance.method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(_streaming(entrance, closed))
    return grpc.unary_unary_rpc_method_handler(_answering(entrance, closed))


def _answering(entrance: Entrance, closed: bool) -> Callable[[bytes, Context], Awaitable[bytes]]:
    answer = entrance.answer

    async def handle(request: bytes, context: Context) -> bytes:
        try:
            return await answer(request, context, _authorization(context), closed=closed)
        except Refused as refusal:
            await abort(context, refusal)

    return handle


def _streaming(entrance: Entrance, closed: bool) -> Callable[[bytes, Context], Awaitable[None]]:
    gone = grpc.aio.InternalError  # the caller left while a message was being written

    async def handle(request: bytes, context: Context) -> None:
        given = _authorization(context)
        try:
            await entrance.stream(request, context, given, closed=closed, gone=gone)
        except Refused as refusal:
            await abort(context, refusal)

    return handle


def _authorization(context: Context) -> str:
    given = ""
    for key, value in context.invocation_metadata() or ():
        if key == "authorization" and isinstance(value, str):
            given = value
    return given


async def abort(context: Context, refusal: Refused) -> NoReturn:
    """End the call with a status, by raising grpc's AbortError."""
    trailing = rpc_status.to_status(status_of(refusal)).trailing_metadata
    await context.abort(refusal.code, str(refusal), trailing)
