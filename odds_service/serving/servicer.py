"""The calls of odds.v1.OddsService as typed functions on bytes.

The servicer generated from the contract builds every reply as a message. Ours joins encoded bytes
instead, so it repeats the contract's names and types, and a test compares the two.
"""

from collections.abc import Awaitable
from typing import NamedTuple, Protocol, TypeVar

from odds_service.serving.context import Context, StreamingContext
from odds_service.serving.replies import Asked
from odds_service.serving.server_context import ServerContext
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

R = TypeVar("R", contravariant=True)


class Unary(Protocol[R]):
    """A call with one reply, which returns its message as bytes."""

    def __call__(
        self, server: ServerContext, request: R, context: Context, /
    ) -> Awaitable[bytes]: ...


class Streaming(Protocol[R]):
    """A call with a stream of replies, which writes each to the context and returns at the end."""

    def __call__(
        self, server: ServerContext, request: R, context: StreamingContext, /
    ) -> Awaitable[None]: ...


class Servicer(NamedTuple):
    """The function behind each call, by the call's name in the contract.

    Any function may raise; rpc.errors maps the error to a status.
    """

    GetOdds: Unary[Asked]
    WatchChanges: Streaming[pb.WatchChangesRequest]
    ListEvents: Unary[pb.ListEventsRequest]
    GetHistory: Streaming[pb.GetHistoryRequest]
    Replay: Streaming[pb.ReplayRequest]
    GetClosingOdds: Streaming[pb.GetClosingOddsRequest]
    RefreshEvent: Unary[pb.RefreshEventRequest]
    GetSeries: Unary[pb.GetSeriesRequest]
    GetStatus: Unary[pb.GetStatusRequest]
    ListMarkets: Unary[pb.ListMarketsRequest]
    GetCoverage: Unary[pb.GetCoverageRequest]
    ListUnmapped: Unary[pb.ListUnmappedRequest]
    ListRuns: Unary[pb.ListRunsRequest]
    Reload: Unary[pb.ReloadRequest]
