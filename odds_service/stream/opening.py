"""The opening of a subscription: up to date, with changes, or with an image."""

import enum
from typing import NamedTuple

from msgspec import Struct

from odds_service.feed import ChangeFeed
from odds_service.model.cursor import Cursor, is_amid, is_incomplete
from odds_service.stream.options import ImageMode, WatchOptions


class Intent(enum.IntEnum):
    """The intent of a stream, as numbered on the wire."""

    UP_TO_DATE = 1
    CHANGES = 2
    IMAGE = 3


class IntentReason(enum.IntEnum):
    """The reason for an intent or for a loss of changes, as numbered on the wire."""

    NO_CURSOR = 1
    RESUMED = 2
    TOO_OLD = 3
    EPOCH_CHANGED = 4
    HISTORY_GAP = 5
    AHEAD_OF_SERVER = 6
    IMAGE_INCOMPLETE = 7
    IMAGE_ASKED = 8


class Resume(NamedTuple):
    """A cursor to resume at, and the log's verdict on it: RESUMED if it is good."""

    cursor: Cursor
    verdict: IntentReason


class Start(NamedTuple):
    """The intent of a stream, its reason, and the revision after which the stream begins."""

    intent: Intent
    reason: IntentReason
    revision: int


class CheckStored(Struct, frozen=True, gc=False):
    """Ask the database whether it keeps all changes with after < revision <= upto.

    Answer with `Subscription.checked`.
    """

    after: int
    upto: int


def start_of(
    options: WatchOptions, resume: Resume | None, feed: ChangeFeed, *, reads_stored: bool
) -> Start | CheckStored:
    """Decide how a stream begins.

    Args:
        options: The effective options of the stream.
        resume: The place to resume at, or None to start anew.
        feed: The log in memory.
        reads_stored: Whether the stream may read changes from the database.

    Returns:
        The start; or, if memory does not reach back to the cursor, the stretch of the log to look
        for in the database first.
    """
    head = feed.head_revision
    if resume is None:
        never = options.image is ImageMode.NEVER
        intent = Intent.UP_TO_DATE if never else Intent.IMAGE
        return Start(intent, IntentReason.NO_CURSOR, head)
    if options.image is ImageMode.ONLY:
        return Start(Intent.IMAGE, IntentReason.IMAGE_ASKED, head)
    if resume.verdict is not IntentReason.RESUMED:
        return Start(Intent.IMAGE, resume.verdict, head)
    epoch, revision = resume.cursor
    if is_incomplete(epoch) or (options.conflate_s and is_amid(epoch)):
        return Start(Intent.IMAGE, IntentReason.IMAGE_INCOMPLETE, head)
    if revision == head:
        return Start(Intent.UP_TO_DATE, IntentReason.RESUMED, head)
    oldest_in_memory = feed.oldest_revision
    if revision >= oldest_in_memory - 1:
        return Start(Intent.CHANGES, IntentReason.RESUMED, revision)
    if not reads_stored:
        return Start(Intent.IMAGE, IntentReason.TOO_OLD, head)
    return CheckStored(revision, oldest_in_memory - 1)
