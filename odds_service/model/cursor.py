"""Cursors: a place in the one log of changes."""

from typing import NamedTuple


class Cursor(NamedTuple):
    """Everything up to `revision`, as numbered in `epoch`; clients treat both as one opaque value.

    Every start of the service opens a new epoch, so a revision that was numbered but never stored
    before a crash cannot be taken for one that was given to another change after it.
    """

    epoch: str
    revision: int
