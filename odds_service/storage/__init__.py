"""What is kept: current odds, their history, and where the log stands."""

from odds_service.storage.base import Store, Stored, WriteGroup
from odds_service.storage.opening import open_store

__all__ = ["Store", "Stored", "WriteGroup", "open_store"]
