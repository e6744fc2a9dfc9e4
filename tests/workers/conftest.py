"""Fixtures: a plug-in that does what a file says."""

from tests.support.puppets import puppets

__all__ = ["puppets"]
