"""Cursors: places in the log of changes."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

_INCOMPLETE: Final = "part-"
_AMID: Final = "amid-"
_ACCESS: Final = "~"


class Cursor(NamedTuple):
    """A place in the log: after `revision`, as numbered in `epoch`. Opaque to clients.

    Every start of the service opens a new epoch. So a revision that was lost in a crash cannot be
    confused with one given to another change afterwards.
    """

    epoch: str
    revision: int


def ends(epochs: Sequence[tuple[str, int]]) -> dict[str, int | None]:
    """Return the last good revision of each epoch; None for the present one, which goes on.

    Args:
        epochs: Each epoch with its first revision, the present one last.
    """
    last = {epoch: first - 1 for (epoch, _), (_, first) in pairwise(epochs)}
    return {epoch: last.get(epoch) for epoch, _ in epochs}


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
    """Return the bare epoch, without the marks of incomplete(), amid() and marked()."""
    return epoch.removeprefix(_INCOMPLETE).removeprefix(_AMID).partition(_ACCESS)[0]


def marked(epoch: str, mark: str) -> str:
    """Return the epoch of a cursor of a restricted caller; the mark names the restriction.

    A client that resumes with other access holds odds that it may no longer see, or lacks odds
    that it may see now, so it needs an image.
    """
    return f"{epoch}{_ACCESS}{mark}" if mark else epoch


def mark_of(epoch: str) -> str:
    """Return the mark of the restriction under which a cursor was sent; empty without one."""
    return epoch.partition(_ACCESS)[2]
