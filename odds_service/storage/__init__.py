"""What is kept: current odds, their history, and where the log stands."""

from odds_service.storage.base import (
    ClosingOdds,
    DeadLetter,
    HistoryFilter,
    HistoryPage,
    PastOdds,
    Retained,
    Retention,
    StartedEvents,
    Store,
    Stored,
    Verified,
    WriteGroup,
)
from odds_service.storage.opening import open_store

__all__ = [
    "ClosingOdds",
    "DeadLetter",
    "HistoryFilter",
    "HistoryPage",
    "PastOdds",
    "Retained",
    "Retention",
    "StartedEvents",
    "Store",
    "Stored",
    "Verified",
    "WriteGroup",
    "open_store",
]
