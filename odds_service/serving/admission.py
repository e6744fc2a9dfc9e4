"""The way into each call, the same at every door: token, right, limits, parsing and counts."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, TypeVar

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from odds_service.access import OWNER, Grant, Tokens
from odds_service.serving.auth import RIGHTS, Holder, caller
from odds_service.serving.context import Context, StreamingContext
from odds_service.serving.errors import Refused, StatusCode, as_refusal, exhausted
from odds_service.serving.guard import Revocations
from odds_service.serving.meter import Meter
from odds_service.serving.server_context import ServerContext
from odds_service.serving.servicer import Servicer
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

SERVICE: Final = pb.DESCRIPTOR.services_by_name["OddsService"]
MAX_REQUEST_BYTES: Final = 2**20  # 1 MiB: a filter that names 10,000 events fits

_OK: Final = StatusCode.OK.name
# The caller went away or its deadline has passed; no door tells a handler which.
_CANCELLED: Final = StatusCode.CANCELLED.name

R_co = TypeVar("R_co", covariant=True)


class Reads(Protocol[R_co]):
    """A parser of a caller's requests."""

    def __call__(self, server: ServerContext, request: bytes, /) -> R_co: ...


class Entrance:
    """One call of the contract: bytes in, bytes out, every failure a Refused.

    Attributes:
        method: The call's place in the contract.
    """

    def __init__(
        self,
        server: ServerContext,
        tokens: Tokens,
        revocations: Revocations,
        servicer: Servicer,
        method: MethodDescriptor,
    ) -> None:
        self.method = method
        self._server = server
        self._tokens = tokens
        self._revocations = revocations
        self._call: Callable[..., Awaitable[Any]] = getattr(servicer, method.name)
        self._meter: Meter = server.meter(method.name, streams=method.server_streaming)
        self._right = RIGHTS[method.name]
        message = GetMessageClass(method.input_type)

        def parsed(_: ServerContext, request: bytes) -> Message:
            return message.FromString(request)

        first = self._call is servicer.GetOdds
        self._reads: Reads[Any] = ServerContext.asked if first else parsed

    async def answer(
        self, request: bytes, context: Context, authorization: str | Holder, *, closed: bool
    ) -> bytes:
        """Answer a call that has one reply.

        Args:
            request: The message as bytes.
            context: The caller's side of the call.
            authorization: The token as it came, `Bearer …`, or its holder; empty without one.
            closed: Whether only the owner can reach the door if it asks for no tokens.

        Raises:
            Refused: The call failed.
        """
        began = self._meter.begin()
        try:
            theirs, _, _ = self._admit(context, authorization, closed)
            reply: bytes = await self._call(theirs, self._read(theirs, request), context)
        except asyncio.CancelledError:
            self._meter.end(_CANCELLED, began)
            raise
        except Exception as error:  # one wrapper for all: nothing unmapped gets out
            raise self._refused(error, began) from None
        self._meter.end(_OK, began)
        return reply

    async def stream(
        self,
        request: bytes,
        context: StreamingContext,
        authorization: str | Holder,
        *,
        closed: bool,
        gone: type[Exception] | tuple[type[Exception], ...] = (),
    ) -> None:
        """Answer a call that writes a stream to its context.

        Args:
            request: The message as bytes.
            context: The caller's side of the call.
            authorization: The token as it came, `Bearer …`, or its holder; empty without one.
            closed: Whether only the owner can reach the door if it asks for no tokens.
            gone: The errors by which the door's `write` says that the caller has left.

        Raises:
            Refused: The call failed; messages may have been written before.
            CancelledError: The caller left.
        """
        began = self._meter.begin()
        try:
            theirs, client, grant = self._admit(context, authorization, closed)
            with self._server.limits.stream(client), self._revocations.open(grant):
                await self._call(theirs, self._read(theirs, request), context)
        except asyncio.CancelledError:
            self._meter.end(_CANCELLED, began)
            raise
        except gone:
            self._meter.end(_CANCELLED, began)
            raise asyncio.CancelledError from None
        except Exception as error:  # one wrapper for all: nothing unmapped gets out
            raise self._refused(error, began) from None
        self._meter.end(_OK, began)

    def _admit(
        self, context: Context, authorization: str | Holder, closed: bool
    ) -> tuple[ServerContext, str, Grant]:
        peer = context.peer()
        client, grant = caller(self._tokens, authorization, peer, self._right, closed=closed)
        self._server.limits.request(client)
        theirs = self._server if grant is OWNER else self._server.seen_by(grant)
        theirs.usage.calls += 1
        return theirs, client, grant

    def _read(self, server: ServerContext, request: bytes) -> Any:
        """Parse a request. Raises Refused if it is too large, DecodeError if it is malformed."""
        if len(request) > MAX_REQUEST_BYTES:
            most = f"{MAX_REQUEST_BYTES:,}"
            text = f"the request has {len(request):,} bytes; at most {most} are allowed"
            raise exhausted("request size", text)
        return self._reads(server, request)

    def _refused(self, error: Exception, began: float) -> Refused:
        refusal = as_refusal(error)
        self._meter.end(refusal.code.name, began)
        return refusal


def entrances(
    server: ServerContext,
    tokens: Tokens,
    revocations: Revocations,
    servicer: Servicer,
) -> Mapping[str, Entrance]:
    """Return the entrance of each call of the contract, by name."""
    return {
        method.name: Entrance(server, tokens, revocations, servicer, method)
        for method in SERVICE.methods
    }
