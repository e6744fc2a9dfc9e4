"""A plain stub of several servers, for connect()."""

from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import Any, Final

import grpc

from odds_service.client.errors import NoServer, service_error
from odds_service.client.rotation import Rotation, Round
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc

SERVICE: Final = "OddsService"
ONCE: Final = frozenset({"RefreshEvent", "Reload"})  # never sent twice


class StubInTurn(pb_grpc.OddsServiceStub):
    """A stub whose blocking calls are made at the server in use, or at another if it is away.

    Args:
        rotation: The servers.
        channels: The channel to each of them.
    """

    def __init__(self, rotation: Rotation, channels: Mapping[str, grpc.Channel]) -> None:
        stubs = {server: pb_grpc.OddsServiceStub(channel) for server, channel in channels.items()}
        for method in pb.DESCRIPTOR.services_by_name[SERVICE].methods:
            each = {server: getattr(stub, method.name) for server, stub in stubs.items()}
            made = _Streaming if method.server_streaming else _Unary
            setattr(self, method.name, made(rotation, each, once=method.name in ONCE))


class _Attempts:
    """The attempts of one call."""

    def __init__(self, rotation: Rotation, *, once: bool, timeout: float | None) -> None:
        self._round = Round(rotation)
        self._once = once
        self._end_s = None if timeout is None else monotonic() + timeout

    def next(self) -> str:
        """Return the server for the next attempt."""
        return self._round.next()

    def left_s(self) -> float | None:
        """Return the seconds that are left; None without a deadline."""
        return None if self._end_s is None else max(self._end_s - monotonic(), 0.0)

    def failed(self, error: grpc.RpcError, *, final: bool = False) -> None:
        """Take a failure; raise the error of the call if no other server is to be tried."""
        made = service_error(error, self._round.server)
        other = self._round.failed(made)
        if other is not None and not final and not (self._once and made.sent):
            return
        told = self._round.told(made)
        raise error if told is made else NoServer(told)


class _Method:
    def __init__(
        self, rotation: Rotation, methods: Mapping[str, Callable[..., Any]], *, once: bool
    ) -> None:
        self._rotation = rotation
        self._methods = methods
        self._once = once

    def _attempts(self, timeout: float | None) -> _Attempts:
        return _Attempts(self._rotation, once=self._once, timeout=timeout)


class _Unary(_Method):
    def __call__(self, request: Any, timeout: float | None = None, **options: Any) -> Any:
        """Make the call; see grpc.UnaryUnaryMultiCallable for the options."""
        attempts = self._attempts(timeout)
        while True:
            method = self._methods[attempts.next()]
            try:
                return method(request, timeout=attempts.left_s(), **options)
            except grpc.RpcError as error:
                attempts.failed(error)


class _Streaming(_Method):
    def __call__(self, request: Any, timeout: float | None = None, **options: Any) -> "_Messages":
        """Begin the call; see grpc.UnaryStreamMultiCallable for the options."""
        attempts = self._attempts(timeout)

        def begin() -> Any:
            method = self._methods[attempts.next()]
            return method(request, timeout=attempts.left_s(), **options)

        return _Messages(begin, attempts)


class _Messages:
    """The messages of a streamed reply; another server is tried until the first one."""

    def __init__(self, begin: Callable[[], Any], attempts: _Attempts) -> None:
        self._begin = begin
        self._attempts = attempts
        self._call = begin()
        self._begun = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        while True:
            try:
                message = next(self._call)
            except grpc.RpcError as error:
                self._attempts.failed(error, final=self._begun)
                self._call = self._begin()
            else:
                self._begun = True
                return message

    def cancel(self) -> None:
        """End the call."""
        self._call.cancel()
