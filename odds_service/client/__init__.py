"""Clients of a running service, and the values that they hand out.

    async with open_client("127.0.0.1:50051") as client:  # under Trio and under asyncio
        async for change in client.watch(Filter(sports=["soccer"])):
            ...

    with open_sync_client("127.0.0.1:50051") as client:
        for event_id, entry in client.get_odds().events.items():
            ...

The package depends only on the contract (proto/odds/v1/odds.proto), not on the service. Names in
__all__ are stable: the old name of anything renamed stays importable, with a DeprecationWarning.
"""

from odds_service.client import values
from odds_service.client.address import Address
from odds_service.client.asynchronous import AsyncClient, open_client
from odds_service.client.errors import AddressError, ClientError, ServiceError, StreamGap
from odds_service.client.iterating import AsyncHistory, AsyncReplay, AsyncWatch
from odds_service.client.market_change import ChangeKind, MarketChange
from odds_service.client.market_values import (
    BookmakerCoverage,
    CompetitionCoverage,
    Coverage,
    MarketGroup,
    MarketType,
    MarketTypes,
    UnmappedMarket,
    UnmappedSample,
)
from odds_service.client.odds_map import OddsMap
from odds_service.client.requests import (
    closing_request,
    filter_message,
    history_request,
    odds_request,
    refresh_request,
    reload_request,
    replay_request,
)
from odds_service.client.run_values import Run, RunOutcome
from odds_service.client.series_values import BookmakerSeries, PriceSeries
from odds_service.client.sync import SyncClient, connect, open_sync_client
from odds_service.client.sync_iterating import SyncReplay, SyncWatch
from odds_service.client.text import enum_word, json_line
from odds_service.client.values import (
    EVERYTHING,
    BookmakerOdds,
    Change,
    Changes,
    ClosedEvent,
    ClosingOdds,
    Disconnected,
    EventChange,
    EventOdds,
    Filter,
    Freshness,
    Heartbeat,
    HistoricalChange,
    ImageLoaded,
    Lagged,
    ListedBookmaker,
    ListedEvent,
    Odds,
    OddsFreshness,
    Opened,
    Refreshed,
    RefreshedSource,
    SourceChange,
    SourceMatch,
    SourceState,
    Step,
    StreamClosing,
    UnknownChange,
)
from odds_service.model.cursor import Cursor
from odds_service.model.event import Event, EventStatus
from odds_service.model.market import AtStart, Market, MarketKey, MarketStatus, Outcome
from odds_service.model.overround import SUSPECT_BELOW, BestMarket, BestPrice, Exclusion, Suspicion
from odds_service.model.reload import Reloaded
from odds_service.model.source import SourceStatus

__all__ = [
    "EVERYTHING",
    "SUSPECT_BELOW",
    "Address",
    "AddressError",
    "AsyncClient",
    "AsyncHistory",
    "AsyncReplay",
    "AsyncWatch",
    "AtStart",
    "BestMarket",
    "BestPrice",
    "BookmakerCoverage",
    "BookmakerOdds",
    "BookmakerSeries",
    "Change",
    "ChangeKind",
    "Changes",
    "ClientError",
    "ClosedEvent",
    "ClosingOdds",
    "CompetitionCoverage",
    "Coverage",
    "Cursor",
    "Disconnected",
    "Event",
    "EventChange",
    "EventOdds",
    "EventStatus",
    "Exclusion",
    "Filter",
    "Freshness",
    "Heartbeat",
    "HistoricalChange",
    "ImageLoaded",
    "Lagged",
    "ListedBookmaker",
    "ListedEvent",
    "Market",
    "MarketChange",
    "MarketGroup",
    "MarketKey",
    "MarketStatus",
    "MarketType",
    "MarketTypes",
    "Odds",
    "OddsFreshness",
    "OddsMap",
    "Opened",
    "Outcome",
    "PriceSeries",
    "Refreshed",
    "RefreshedSource",
    "Reloaded",
    "Run",
    "RunOutcome",
    "ServiceError",
    "SourceChange",
    "SourceMatch",
    "SourceState",
    "SourceStatus",
    "Step",
    "StreamClosing",
    "StreamGap",
    "Suspicion",
    "SyncClient",
    "SyncReplay",
    "SyncWatch",
    "UnknownChange",
    "UnmappedMarket",
    "UnmappedSample",
    "closing_request",
    "connect",
    "enum_word",
    "filter_message",
    "history_request",
    "json_line",
    "odds_request",
    "open_client",
    "open_sync_client",
    "refresh_request",
    "reload_request",
    "replay_request",
]


def __getattr__(name: str) -> type:
    """Return a class by the name that it had in 0.1; see values.renamed()."""
    return values.renamed(name, __name__)
