"""Places for the logs of databases, as the tests of storage have them."""

from tests.support.places import place, postgres

__all__ = ["place", "postgres"]
