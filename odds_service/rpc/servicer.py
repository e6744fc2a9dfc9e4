"""The calls of odds.v1.OddsService as typed functions on bytes.

The servicer that is generated from the contract builds every reply as a message. Ours join ready
bytes, so the names and types of the contract are said again here, and a test compares them with
the contract.
"""

from collections.abc import Awaitable
from typing import NamedTuple, Protocol, TypeVar

from odds_service.rpc.errors import Context
from odds_service.rpc.replies import Asked
from odds_service.rpc.server_context import ServerContext
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

R = TypeVar("R", contravariant=True)


class Unary(Protocol[R]):
    """A call with one reply: returns the bytes of its message."""

    def __call__(
        self, server: ServerContext, request: R, context: Context, /
    ) -> Awaitable[bytes]: ...


class Streaming(Protocol[R]):
    """A call with a stream of replies: writes each to the context, and returns at the end."""

    def __call__(
        self, server: ServerContext, request: R, context: Context, /
    ) -> Awaitable[None]: ...


class Servicer(NamedTuple):
    """The function behind each call, under the call's name in the contract.

    All functions may raise; see rpc.errors for the statuses that their errors become.
    """

    GetOdds: Unary[Asked]
    WatchChanges: Streaming[pb.WatchChangesRequest]
    ListEvents: Unary[pb.ListEventsRequest]
    GetHistory: Streaming[pb.GetHistoryRequest]
    GetClosingOdds: Streaming[pb.GetClosingOddsRequest]
    RefreshEvent: Unary[pb.RefreshEventRequest]
    GetStatus: Unary[pb.GetStatusRequest]
