"""One PostgreSQL server for all tests of the upgrade."""

from tests.support.places import postgres

__all__ = ["postgres"]
