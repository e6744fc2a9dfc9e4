"""gRPC under Trio: callbacks complete the calls, and a thread reads each stream."""

import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVarTuple, cast

import grpc
import trio

from odds_service.client.address import Address, channel_to
from odds_service.client.errors import ServiceError, client_closed, service_error
from odds_service.client.stub_methods import Flag, M, Q, Streaming, Unary
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc

A = TypeVarTuple("A")

AHEAD: Final = 16  # messages that the thread may read ahead; each is at most 1 MiB
CLOSE_S: Final = 5.0  # the time limit for a cancelled call to end; gRPC needs milliseconds


class TrioTransport:
    """A channel used from one Trio run; see transport.AsyncTransport for its methods."""

    def __init__(self, address: Address, server: str) -> None:
        self._channel = channel_to(address, server)
        self._server = server
        self._stub = pb_grpc.OddsServiceStub(self._channel)

    async def call(self, chosen: "Unary[Q, M]", request: Q, timeout_s: float) -> M:
        done = trio.Event()
        token = trio.lowlevel.current_trio_token()
        future = chosen(self._stub).future(request, timeout=timeout_s)

        def completed(_: object) -> None:
            _run_soon(token, done.set)

        future.add_done_callback(completed)
        try:
            await done.wait()
        finally:
            future.cancel()  # type: ignore[no-untyped-call]  # grpc-stubs leave it bare
        try:
            return future.result()
        except grpc.FutureCancelledError:
            raise client_closed() from None
        except grpc.RpcError as error:
            raise service_error(error, self._server) from None

    def open(self, chosen: "Streaming[Q, M]", request: Q) -> "TrioStream[M]":
        return TrioStream(chosen(self._stub)(request), self._server)

    def flag(self) -> Flag:
        return trio.Event()

    async def wait(self, flag: Flag, timeout_s: float) -> None:
        with trio.move_on_after(timeout_s):
            await cast("trio.Event", flag).wait()

    async def aclose(self) -> None:
        self._channel.close()
        await trio.lowlevel.checkpoint()


class TrioStream(Generic[M]):
    """A streamed reply, read by a thread that stays at most AHEAD messages ahead.

    The thread ends with the call, which `aclose` cancels. Trio's worker threads are limited in
    number and meant for short work, so this thread is not one of them.
    """

    def __init__(self, call: "grpc.CallIterator[M]", server: str) -> None:
        self._call = call
        self._server = server
        self._token = trio.lowlevel.current_trio_token()
        self._send, self._receive = trio.open_memory_channel[M](AHEAD)
        self._free = threading.Semaphore(AHEAD)
        self._closed = False
        self._error: ServiceError | None = None
        self._ended = trio.Event()
        thread = threading.Thread(target=self._run, name=f"watch {server}", daemon=True)
        thread.start()

    def _run(self) -> None:
        error = ServiceError("UNKNOWN", "reading the stream failed; see the traceback")
        try:
            for message in self._call:
                self._free.acquire()
                if self._closed or not _run_soon(self._token, self._deliver, message):
                    break
            _run_soon(self._token, self._end, None)
        except grpc.RpcError as raised:
            error = service_error(raised, self._server)
        finally:
            _run_soon(self._token, self._end, error)

    def _deliver(self, message: M) -> None:
        if not self._closed:
            self._send.send_nowait(message)  # never full: `_free` counts its free places

    def _end(self, error: ServiceError | None) -> None:
        if self._ended.is_set():
            return
        self._error = error
        self._send.close()
        self._ended.set()

    async def read(self) -> M | None:
        """Return the next message; see transport.AsyncStream.read()."""
        try:
            message = await self._receive.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            if self._error is not None and not self._closed:
                raise self._error from None
            return None
        self._free.release()
        return message

    def end(self) -> None:
        """End the stream without waiting for the thread."""
        self._closed = True
        self._call.cancel()  # type: ignore[no-untyped-call]  # grpc-stubs leave it bare
        self._free.release()
        self._receive.close()

    async def aclose(self) -> None:
        """End the stream and wait for the thread.

        Cancellation:
            It still waits for the thread, for at most CLOSE_S seconds.
        """
        self.end()
        with trio.move_on_after(CLOSE_S, shield=True):
            await self._ended.wait()
        await trio.lowlevel.checkpoint_if_cancelled()


def _run_soon(token: trio.lowlevel.TrioToken, work: Callable[[*A], object], *args: *A) -> bool:
    """Schedule a function in the Trio run; return False if that run has ended."""
    try:
        token.run_sync_soon(work, *args)
    except trio.RunFinishedError:
        return False
    return True
