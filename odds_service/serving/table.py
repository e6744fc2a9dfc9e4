"""The function behind each call of the contract."""

import asyncio
from typing import Final

from odds_service.serving import (
    calls,
    closing_odds,
    coverage,
    history,
    listing,
    markets,
    reload,
    replay,
    runs,
    series,
    status,
    unmapped,
)
from odds_service.serving.context import StreamingContext
from odds_service.serving.errors import unavailable
from odds_service.serving.hub import Subscriber
from odds_service.serving.server_context import ServerContext
from odds_service.serving.servicer import Servicer
from odds_service.serving.watch import Watch
from odds_service.serving.watch_options import watch_options
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb


async def watch_changes(
    server: ServerContext, request: pb.WatchChangesRequest, context: StreamingContext
) -> None:
    """Stream changes; see serving.watch."""
    options = watch_options(server, request)
    parts = server.parts
    if parts.watch_elsewhere:
        raise unavailable(parts.watch_elsewhere, "WATCH_ELSEWHERE")
    if request.HasField("resume"):
        await server.arrived(request.resume)
    if server.hub.closed:
        raise unavailable("the server is stopping; resume at the last cursor", "SERVER_STOPPING")
    head = parts.feed.head_revision
    subscriber = Subscriber(context.peer(), parts.now(), head, options.selection)
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
    Replay=replay.replay,
    GetClosingOdds=closing_odds.get_closing_odds,
    RefreshEvent=calls.refresh_event,
    GetSeries=series.get_series,
    GetStatus=status.get_status,
    ListMarkets=markets.list_markets,
    GetCoverage=coverage.get_coverage,
    ListUnmapped=unmapped.list_unmapped,
    ListRuns=runs.list_runs,
    Reload=reload.reload,
)
