"""Cursors: a place in the one log of changes."""

from typing import Final, NamedTuple

_INCOMPLETE: Final = "part-"


class Cursor(NamedTuple):
    """Everything up to `revision`, as numbered in `epoch`; clients treat both as one opaque value.

    Every start of the service opens a new epoch, so a revision that was numbered but never stored
    before a crash cannot be taken for one that was given to another change after it.
    """

    epoch: str
    revision: int


def incomplete(epoch: str) -> str:
    """The epoch of a cursor that a client holds while what it was sent is not whole.

    An image, and a window of changes that takes several messages, is a state of the log only at its
    end. A client that is cut before it has to be sent all of it again.
    """
    return _INCOMPLETE + epoch


def is_incomplete(epoch: str) -> bool:
    """Whether a cursor came in the middle of what had to be taken whole."""
    return epoch.startswith(_INCOMPLETE)


def plain_epoch(epoch: str) -> str:
    """The epoch that numbered a cursor's revision, whatever the cursor says besides."""
    return epoch.removeprefix(_INCOMPLETE)
