"""Databases to import into."""

from tests.support.places import place, postgres

__all__ = ["place", "postgres"]
