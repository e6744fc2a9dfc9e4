"""grpc.aio under asyncio."""

import asyncio
from typing import Any, Final, Generic, cast

from grpc import aio

from odds_service.client.address import Address, channel_options
from odds_service.client.errors import client_closed, service_error
from odds_service.client.stub_methods import Flag, M, Q, Streaming, Unary
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc

_END: Final[object] = aio.EOF  # type: ignore[attr-defined]  # not in grpc-stubs


class AsyncioTransport:
    """A channel on the running asyncio loop; see transport.AsyncTransport for its methods."""

    def __init__(self, address: Address, server: str) -> None:
        credentials, options = address.credentials(), channel_options(address)
        if credentials is None:
            self._channel = aio.insecure_channel(server, options)
        else:
            self._channel = aio.secure_channel(server, credentials, options)
        self._server = server
        # grpc-stubs give the stub the type of the synchronous one; the method names are the same.
        self._stub: Any = pb_grpc.OddsServiceStub(self._channel)

    async def call(self, chosen: "Unary[Q, M]", request: Q, timeout_s: float) -> M:
        method = cast("aio.UnaryUnaryMultiCallable[Q, M]", chosen(self._stub))
        task = asyncio.current_task()
        try:
            return await method(request, timeout=timeout_s)
        except aio.AioRpcError as error:
            raise service_error(error, self._server) from None
        except asyncio.CancelledError:
            if task is not None and task.cancelling():
                raise
            # The caller was not cancelled: grpc.aio raises this when the channel was closed.
            closed = client_closed()
            raise closed from None  # noqa: ASYNC104  # see above

    def open(self, chosen: "Streaming[Q, M]", request: Q) -> "AsyncioStream[M]":
        method = cast("aio.UnaryStreamMultiCallable[Q, M]", chosen(self._stub))
        return AsyncioStream(method(request), self._server)

    def flag(self) -> Flag:
        return asyncio.Event()

    async def wait(self, flag: Flag, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await cast("asyncio.Event", flag).wait()
        except TimeoutError:
            return

    async def aclose(self) -> None:
        await self._channel.close(None)


class AsyncioStream(Generic[M]):
    """A streamed reply.

    grpc.aio cancels the whole stream when a read is cancelled. So each read runs in its own task: a
    cancelled read continues there, and the next read takes its result.
    """

    def __init__(self, call: "aio.UnaryStreamCall[Any, M]", server: str) -> None:
        self._call = call
        self._server = server
        self._reading: asyncio.Future[object] | None = None
        self._closed = False

    async def read(self) -> M | None:
        """Return the next message; see transport.AsyncStream.read()."""
        if self._closed:
            return None
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._call.read())
        reading = self._reading
        await asyncio.wait({reading})
        self._reading = None
        if reading.cancelled():
            return None
        try:
            message = reading.result()
        except aio.AioRpcError as error:
            raise service_error(error, self._server) from None
        return None if message is _END else cast("M", message)

    def end(self) -> None:
        """End the stream without waiting for a pending read."""
        self._closed = True
        self._call.cancel()
        if self._reading is not None:
            self._reading.add_done_callback(_seen)

    async def aclose(self) -> None:
        """End the stream and wait for a pending read."""
        self.end()
        if self._reading is not None:
            await asyncio.wait({self._reading})


def _seen(reading: "asyncio.Future[object]") -> None:
    """Retrieve a task's exception, since asyncio logs exceptions that are never retrieved."""
    if not reading.cancelled():
        reading.exception()
