"""Cursors: a place in the one log of changes."""

from typing import Final, NamedTuple

_INCOMPLETE: Final = "part-"
_AMID: Final = "amid-"


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


def amid(epoch: str) -> str:
    """The epoch of a cursor that a client holds amid the changes of one place of the log.

    All of them can be sent again, one by one. Folded, those that come to nothing would be left out,
    and a client that holds some of them would keep what is gone.
    """
    return _AMID + epoch


def is_amid(epoch: str) -> bool:
    """Whether a cursor came before the last of several messages with the changes of one place."""
    return epoch.startswith(_AMID)


def is_incomplete(epoch: str) -> bool:
    """Return whether a cursor came in the middle of what had to be taken whole."""
    return epoch.startswith(_INCOMPLETE)


def plain_epoch(epoch: str) -> str:
    """The epoch that numbered a cursor's revision, whatever the cursor says besides."""
    return epoch.removeprefix(_INCOMPLETE).removeprefix(_AMID)
