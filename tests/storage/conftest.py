"""Every test that asks for `place` runs in memory and on both databases, unless marked."""

from tests.support.places import place, postgres

__all__ = ["place", "postgres"]
