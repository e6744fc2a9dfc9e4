"""Backups: verified copies of a database beside its service, and their restore."""

from odds_service.storage.backups.backups import Copied, back_up, restore

__all__ = ["Copied", "back_up", "restore"]
