"""Fixtures of read nodes."""

from tests.support.places import postgres

__all__ = ["postgres"]
