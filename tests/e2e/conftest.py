"""Fixtures: databases for the log of a whole service."""

from tests.support.places import place, postgres

__all__ = ["place", "postgres"]
