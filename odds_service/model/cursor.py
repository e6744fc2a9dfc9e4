"""Cursors: places in the log of changes."""

from typing import Final, NamedTuple

_INCOMPLETE: Final = "part-"
_AMID: Final = "amid-"


class Cursor(NamedTuple):
    """A place in the log: after `revision`, as numbered in `epoch`. Opaque to clients.

    Every start of the service opens a new epoch. So a revision that was lost in a crash cannot be
    confused with one given to another change afterwards.
    """

    epoch: str
    revision: int


def incomplete(epoch: str) -> str:
    """Return the epoch of a cursor inside an image or a window of changes.

    An image, like a window that takes several messages, is consistent only at its end. A client
    disconnected before the end must be sent all of it again.
    """
    return _INCOMPLETE + epoch


def amid(epoch: str) -> str:
    """Return the epoch of a cursor between changes that share one revision of the log.

    Such changes can be sent again one by one, but not folded: folding leaves out changes that
    cancel each other, so a client that holds some of them would keep outdated odds.
    """
    return _AMID + epoch


def is_amid(epoch: str) -> bool:
    """Return whether a cursor lies between changes that share one revision."""
    return epoch.startswith(_AMID)


def is_incomplete(epoch: str) -> bool:
    """Return whether a cursor lies inside an image or a window of changes."""
    return epoch.startswith(_INCOMPLETE)


def plain_epoch(epoch: str) -> str:
    """Return the bare epoch, without the marks of incomplete() and amid()."""
    return epoch.removeprefix(_INCOMPLETE).removeprefix(_AMID)
