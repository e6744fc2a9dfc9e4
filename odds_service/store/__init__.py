"""A store: its contract, whatever the database, and the values that it takes and returns."""

from odds_service.store.contract import Store
from odds_service.store.log_values import (
    LOG_COLUMNS,
    Extent,
    HistoryFilter,
    HistoryPage,
    LogRows,
    WriteGroup,
)
from odds_service.store.past import (
    ClosingOdds,
    PastOdds,
    RunPlace,
    RunsFilter,
    RunsPage,
    StartedEvents,
)
from odds_service.store.starting import (
    EXPIRED_S,
    GHOSTS_SINCE,
    LEASE_S,
    MOST_GHOSTS,
    Fence,
    Opening,
    Report,
    Stored,
    unreported,
)
from odds_service.store.upkeep import DeadLetter, Retained, Retention, StoreSize, Verified

__all__ = [
    "EXPIRED_S",
    "GHOSTS_SINCE",
    "LEASE_S",
    "LOG_COLUMNS",
    "MOST_GHOSTS",
    "ClosingOdds",
    "DeadLetter",
    "Extent",
    "Fence",
    "HistoryFilter",
    "HistoryPage",
    "LogRows",
    "Opening",
    "PastOdds",
    "Report",
    "Retained",
    "Retention",
    "RunPlace",
    "RunsFilter",
    "RunsPage",
    "StartedEvents",
    "Store",
    "StoreSize",
    "Stored",
    "Verified",
    "WriteGroup",
    "unreported",
]
