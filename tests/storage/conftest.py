"""Every test that asks for `place` runs in memory and on both databases, unless marked."""

from tests.support.places import place, postgres, postgres_tables, sqlite_tables

__all__ = ["place", "postgres", "postgres_tables", "sqlite_tables"]
