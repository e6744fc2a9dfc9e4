"""Databases to import into."""

from tests.support.places import place, postgres, postgres_tables, sqlite_tables

__all__ = ["place", "postgres", "postgres_tables", "sqlite_tables"]
