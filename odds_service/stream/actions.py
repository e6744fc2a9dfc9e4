"""Actions that a subscription asks its driver to take, one at a time.

Revisions in them are places in the log. `prev` is the revision of the cursor of the message before
on the same stream: each message names it, so that a reader can prove that nothing is missing.
"""

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct

from odds_service.filters.filtering import Selected
from odds_service.stream.conflation import Window
from odds_service.stream.opening import CheckStored, IntentReason, Start


class Refuse(Struct, frozen=True, gc=False):
    """End the stream with an error: only an image could help, and none is wanted."""

    reason: IntentReason


class SendOpened(Struct, frozen=True, gc=False):
    """Send the first message."""

    start: Start


class LookAtFreshness(Struct, frozen=True, gc=False):
    """Note the present confirmation times, which the next image shows.

    Answer with `Subscription.freshness_due`.
    """


class SendFreshness(Struct, frozen=True, gc=False):
    """Send the confirmation times that moved; answer with `Subscription.freshness_told`."""


class TakeView(Struct, frozen=True, gc=False):
    """Take a view of the cache to make an image of; answer with `Subscription.viewed`."""


class SendImageBegin(Struct, frozen=True, gc=False):
    """Begin an image of the view taken last."""

    prev: int
    revision: int


class MakePiece(Struct, frozen=True, gc=False):
    """Make the next piece of the image; answer with `Subscription.piece_made`."""


class SendPiece(Struct, frozen=True, gc=False):
    """Send the piece of the image that was made last; pieces are numbered from 1."""

    revision: int
    number: int


class SendImageEnd(Struct, frozen=True, gc=False):
    """End the image."""

    revision: int
    pieces: int


class SendChanges(Struct, frozen=True, gc=False):
    """Send as many changes after a revision as memory has and one message takes.

    Answer with `Subscription.reached`, or with `Subscription.left_memory` when the revision is no
    longer in memory.
    """

    after: int


class SendStored(Struct, frozen=True):
    """Send as many of these stored changes as one message takes.

    Answer with `Subscription.reached`.
    """

    selected: Sequence[Selected]
    after: int
    upto: int


class SendWindow(Struct, frozen=True):
    """Send one window of changes with after < revision <= upto, folded.

    begun: A window of this stream alone that has to be folded up to `upto` first; None for one
    that every stream with the same selection shares. Answer as to SendChanges.
    """

    after: int
    upto: int
    begun: Window | None


class ReadStored(Struct, frozen=True, gc=False):
    """Read a page of changes after a revision from the database.

    Ask for further actions meanwhile. Answer with `Subscription.page_read`, or with
    `Subscription.lost` when what comes next is not stored.
    """

    after: int


class SendHeartbeat(Struct, frozen=True, gc=False):
    """Tell the reader how far it is."""

    prev: int
    revision: int


class SendLagged(Struct, frozen=True, gc=False):
    """Tell the reader which revisions are lost to it, both ends included."""

    prev: int
    revision: int
    lost_from: int
    lost_to: int
    reason: IntentReason


class Wait(Struct, frozen=True, gc=False):
    """Wait until a time, or (if `woken`) until something is published.

    It does no harm to end a wait early. The service's stop ends it.
    """

    until: float
    woken: bool


class Pause(Struct, frozen=True, gc=False):
    """Give other streams a turn."""


class SendClosing(Struct, frozen=True, gc=False):
    """Send the last message, and end the stream with an error: the service stops.

    whole: False where the cursor lies inside an image, which begins anew when it is resumed there.
    """

    prev: int
    revision: int
    whole: bool


class Finish(Struct, frozen=True, gc=False):
    """End the stream: it has given all that was asked for."""


__all__ = ["CheckStored"]  # an action too, though the opening decides on it

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
