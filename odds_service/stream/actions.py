"""Actions that a subscription asks its driver to take, one at a time.

Each revision is a place in the log. `prev` is the cursor revision of the previous message on the
same stream, by which a reader can check that no message is missing.
"""

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct

from odds_service.filters.filtering import Selected
from odds_service.stream.conflation import Window
from odds_service.stream.opening import CheckStored, IntentReason, Start


class Refuse(Struct, frozen=True, gc=False):
    """End the stream with an error: only an image could help, and the client wants none."""

    reason: IntentReason


class SendOpened(Struct, frozen=True, gc=False):
    """Send the first message."""

    start: Start


class LookAtFreshness(Struct, frozen=True, gc=False):
    """Record the current confirmation times, which the next image shows.

    Answer with `Subscription.freshness_due`.
    """


class SendFreshness(Struct, frozen=True, gc=False):
    """Send the confirmation times that changed; answer with `Subscription.freshness_told`."""


class TakeView(Struct, frozen=True, gc=False):
    """Take a view of the cache for an image; answer with `Subscription.viewed`."""


class SendImageBegin(Struct, frozen=True, gc=False):
    """Begin an image of the last view taken."""

    prev: int
    revision: int


class MakePiece(Struct, frozen=True, gc=False):
    """Make the next piece of the image; answer with `Subscription.piece_made`."""


class SendPiece(Struct, frozen=True, gc=False):
    """Send the last piece made; pieces are numbered from 1."""

    revision: int
    number: int


class SendImageEnd(Struct, frozen=True, gc=False):
    """End the image."""

    revision: int
    pieces: int


class SendChanges(Struct, frozen=True, gc=False):
    """Send the changes in memory after a revision, as many as fit in one message.

    Answer with `Subscription.reached`, or with `Subscription.left_memory` when memory no longer
    reaches back to the revision.
    """

    after: int


class SendStored(Struct, frozen=True):
    """Send the first of these stored changes, as many as fit in one message.

    Answer with `Subscription.reached`.
    """

    selected: Sequence[Selected]
    after: int
    upto: int


class SendWindow(Struct, frozen=True):
    """Send the changes with after < revision <= upto as one folded window.

    Answer with `Subscription.reached` or `Subscription.left_memory`, as for SendChanges.

    Attributes:
        begun: A window of this stream alone, to be folded up to `upto` first; None for a window
            shared by all streams with the same selection.
    """

    after: int
    upto: int
    begun: Window | None


class ReadStored(Struct, frozen=True, gc=False):
    """Read a page of changes after a revision from the database.

    Keep asking for actions while the page is read. Answer with `Subscription.page_read`, or with
    `Subscription.lost` when the next changes are not stored.
    """

    after: int


class SendHeartbeat(Struct, frozen=True, gc=False):
    """Send a heartbeat: the reader has all changes up to `revision`."""

    prev: int
    revision: int


class SendLagged(Struct, frozen=True, gc=False):
    """Report the lost revisions to the reader, `lost_from` and `lost_to` included."""

    prev: int
    revision: int
    lost_from: int
    lost_to: int
    reason: IntentReason


class Wait(Struct, frozen=True, gc=False):
    """Wait until a time, or (if `woken`) until changes are published.

    Ending a wait early is harmless. The service's stop ends every wait.
    """

    until: float
    woken: bool


class Pause(Struct, frozen=True, gc=False):
    """Give other streams a turn."""


class SendClosing(Struct, frozen=True, gc=False):
    """Send the last message, then end the stream with an error: the service is stopping.

    Attributes:
        whole: False if the cursor lies inside an image; resuming there begins the image anew.
    """

    prev: int
    revision: int
    whole: bool


class Finish(Struct, frozen=True, gc=False):
    """End the stream normally: the client has everything it asked for."""


__all__ = ["CheckStored"]  # also an action, but defined in opening.py, which decides on it

Action: TypeAlias = (
    CheckStored
    | Refuse
    | SendOpened
    | LookAtFreshness
    | SendFreshness
    | TakeView
    | SendImageBegin
    | MakePiece
    | SendPiece
    | SendImageEnd
    | SendChanges
    | SendStored
    | SendWindow
    | ReadStored
    | SendHeartbeat
    | SendLagged
    | Wait
    | Pause
    | SendClosing
    | Finish
)
