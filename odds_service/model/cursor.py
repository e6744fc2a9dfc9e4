"""Cursors: a place in the one log of changes."""

from typing import Final, NamedTuple

_INCOMPLETE: Final = "part-"
_AMID: Final = "amid-"


class Cursor(NamedTuple):
    """A place in the log: after `revision`, as numbered in `epoch`. Opaque to clients.

    Every start of the service opens a new epoch, so a revision that was numbered but never stored
    before a crash cannot be taken for one that was given to another change after it.
    """

    epoch: str
    revision: int


def incomplete(epoch: str) -> str:
    """Return the epoch of a cursor amid an image, or amid changes that must be taken whole.

    An image, and a window of changes that takes several messages, is a state of the log only at its
    end. A client that is cut before it has to be sent all of it again.
    """
    return _INCOMPLETE + epoch


def amid(epoch: str) -> str:
    """Return the epoch of a cursor between changes that share one revision of the log.

    All of them can be sent again, one by one. Folded, those that come to nothing would be left out,
    and a client that holds some of them would keep what is gone.
    """
    return _AMID + epoch


def is_amid(epoch: str) -> bool:
    """Return whether a cursor stands between changes that share one revision."""
    return epoch.startswith(_AMID)


def is_incomplete(epoch: str) -> bool:
    """Return whether a cursor stands amid an image or amid changes that must be taken whole."""
    return epoch.startswith(_INCOMPLETE)


def plain_epoch(epoch: str) -> str:
    """Return the bare epoch, without the marks of incomplete() and amid()."""
    return epoch.removeprefix(_INCOMPLETE).removeprefix(_AMID)
