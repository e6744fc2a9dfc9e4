"""Stores: current odds, their history, and the position of the log."""

from odds_service.storage.opening import open_store

__all__ = ["open_store"]
