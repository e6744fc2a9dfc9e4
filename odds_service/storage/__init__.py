"""What is kept: current odds, their history, and where the log stands."""

from odds_service.storage.opening import open_store

__all__ = ["open_store"]
