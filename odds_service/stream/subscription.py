"""A subscription to the log: the state machine that decides which message comes next.

The driver asks `next` for an action, takes it, reports the outcome, and asks again. The machine
holds times and places in the log but no odds, except for a window of stored changes. A stalled
stream therefore costs no more than the message in hand.

    opening ──► image ──► live ◄──► stored
                  ▲        │           │
                  └──── lagged ◄───────┘

Every state leads to `closing` when the service stops, and to an error if only an image could help
and the client wants none.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from odds_service.feed import ChangeFeed
from odds_service.filters.filtering import Selected
from odds_service.stream.actions import (
    Action,
    Finish,
    LookAtFreshness,
    MakePiece,
    Pause,
    ReadStored,
    Refuse,
    SendClosing,
    SendFreshness,
    SendHeartbeat,
    SendImageBegin,
    SendImageEnd,
    SendLagged,
    SendOpened,
    SendPiece,
    TakeView,
    Wait,
)
from odds_service.stream.delivery import Delivery
from odds_service.stream.opening import CheckStored, Intent, IntentReason, Resume, Start, start_of
from odds_service.stream.options import ImageMode, SlowReaderPolicy, WatchOptions

_State: TypeAlias = Callable[[float, int, bool], Action]

_TAKE_VIEW: Final = TakeView()
_MAKE_PIECE: Final = MakePiece()
_PAUSE: Final = Pause()


class Subscription:
    """One stream from its opening to its end.

    Attributes:
        revision: The place in the log up to which the reader has all changes.
        told: The cursor revision of the last message.
        whole: False from the announcement of an image to its end.
        replaying: Whether changes come from the database.
    """

    def __init__(
        self,
        options: WatchOptions,
        feed: ChangeFeed,
        delivery: Delivery,
        *,
        resume: Resume | None,
        stored: bool,
        now: float,
    ) -> None:
        """Prepare a subscription.

        Args:
            options: The effective options.
            feed: The log in memory.
            delivery: The strategy for changes.
            resume: The place to resume at, or None to start anew.
            stored: Whether there is a database to read older changes from.
            now: The present time, in seconds of a monotonic clock, as in all methods.
        """
        self.revision = self.told = feed.head_revision
        self.whole = True
        self.replaying = False
        self._options = options
        self._heartbeat_s = options.heartbeat_s
        self._feed = feed
        self._delivery = delivery
        self._resume = resume
        self._reads_stored = stored and options.policy is SlowReaderPolicy.LOSSLESS
        self._state: _State = self._opening
        self._last_at = now  # when the last message was handed over
        self._fresh_at = math.inf  # when freshness is due
        self._empty = False  # whether the last stretch read held no selected change
        self._lost_from = self._lost_to = 0
        self._lost_reason = IntentReason.TOO_OLD
        self._lagging = False
        self._viewed = 0  # the revision of the view behind the image
        self._pieces = 0

    def next(self, now: float, news: int, stopping: bool) -> Action:
        """Return the next action.

        Args:
            now: The present time.
            news: The newest revision that streams were woken for; never beyond the head.
            stopping: Whether the service is stopping: the remaining changes are sent, then the
                closing message.
        """
        return self._state(now, news, stopping)

    # Outcomes of actions

    def wrote(self, now: float) -> None:
        """Record that a message without changes was handed over."""
        self._last_at = now

    def checked(self, gap: IntentReason | None) -> None:
        """Take the database's answer to CheckStored: None, or the reason for a gap."""
        if gap is None:
            self._start(Start(Intent.CHANGES, IntentReason.RESUMED, self.revision))
        else:
            self._start(Start(Intent.IMAGE, gap, self._feed.head_revision))

    def viewed(self, revision: int) -> None:
        """Take the revision of a view of the cache."""
        if self._lagging and revision != self._lost_to:
            self._lost_from = self._lost_to + 1  # these were published while the notice was sent
            self._state = self._lagged
            return
        self._lagging = False
        self._viewed = revision
        self._state = self._image_begin

    def piece_made(self, *, found: bool, dropped: bool) -> None:
        """Take the outcome of MakePiece.

        Args:
            found: Whether there was another piece.
            dropped: Whether the view was dropped because the reader stalled.
        """
        if found:
            self._state = self._image_piece
        else:
            self._state = self._view if dropped else self._image_end

    def reached(self, revision: int, now: float, empty: bool) -> None:
        """Record that the reader has all selected changes up to a revision.

        Args:
            revision: The place reached.
            now: The present time.
            empty: Whether no change was selected, so that nothing was sent.
        """
        self.revision = revision
        if empty:
            self._empty = True
        else:
            self.told = revision
            self._last_at = now
        self._delivery.sent(revision, now)

    def skipped(self, revision: int) -> None:
        """Record that memory holds no selected change up to a revision, found during a wait."""
        if self._delivery.position(self.revision) == self.revision:
            self.revision = revision

    def left_memory(self) -> None:
        """Record that the changes after `revision` are no longer in memory."""
        if self._reads_stored:
            self._state = self._stored
        else:
            self.lost(IntentReason.TOO_OLD)

    def page_read(self, selected: Sequence[Selected], upto: int) -> None:
        """Take a page of stored changes, which reaches up to revision `upto`."""
        self._delivery.take_page(selected, upto)
        self._state = self._stored_page

    def lost(self, reason: IntentReason) -> None:
        """Record that the next changes are not available."""
        self._lost_reason = reason
        self._state = self._lose

    def freshness_due(self, at: float) -> None:
        """Set the time at which to send freshness next."""
        self._fresh_at = at

    def freshness_told(self, due_at: float, *, sent: bool) -> None:
        """Record that the reader's freshness is up to date as of `revision`.

        Args:
            due_at: The time at which freshness is due next.
            sent: Whether any message was sent; False if no confirmation time had changed.
        """
        self._fresh_at = due_at
        if sent:
            self.told = self.revision

    # Opening

    def _opening(self, now: float, news: int, stopping: bool) -> Action:
        start = start_of(self._options, self._resume, self._feed, reads_stored=self._reads_stored)
        if isinstance(start, CheckStored):
            self.revision = start.after
            return start
        self._start(start)
        return self._state(now, news, stopping)

    def _start(self, start: Start) -> None:
        image = start.intent is Intent.IMAGE
        if image and self._options.image is ImageMode.NEVER:
            self._state = lambda *_: Refuse(start.reason)
            return
        self.revision = self.told = start.revision
        self.whole = not image
        self._state = lambda *_: self._opened(start)

    def _opened(self, start: Start) -> Action:
        if self._options.freshness:
            self._fresh_at = -math.inf
        if start.intent is not Intent.IMAGE:
            self._state = self._live
        elif self._options.freshness:
            self._state = self._look
        else:
            self._state = self._view
        return SendOpened(start)

    # Live: changes come from memory

    def _live(self, now: float, news: int, stopping: bool) -> Action:
        if self._empty:
            return self._after_nothing(now)
        if now >= self._fresh_at and not stopping:
            return SendFreshness()
        if stopping:
            self._delivery.stop()
        action = self._delivery.send(self.revision, news, now)
        if action is None:
            if stopping and self.revision == self._feed.head_revision:
                return self._close()
            return self._idle(now, self._fresh_at, woken=True)
        if isinstance(action, float):
            return self._idle(now, min(action, self._fresh_at), woken=False)
        return action

    def _idle(self, now: float, until: float, *, woken: bool) -> Action:
        if self._heartbeat_due(now):
            return self._heartbeat()
        return Wait(min(self._last_at + self._heartbeat_s, until), woken)

    def _after_nothing(self, now: float) -> Action:
        self._empty = False
        if self._heartbeat_due(now):
            return self._heartbeat()
        return _PAUSE  # a filter that selects nothing must not hold up other streams

    def _heartbeat_due(self, now: float) -> bool:
        """Return whether a quiet reader gets a heartbeat: before memory leaves its cursor, too."""
        far = self.revision - self.told > self._feed.capacity // 2
        return far or now >= self._last_at + self._heartbeat_s

    def _heartbeat(self) -> Action:
        prev, self.told = self.told, self.revision
        return SendHeartbeat(prev, self.revision)

    # Stored: changes come from the database, until memory holds the next ones

    def _stored(self, now: float, news: int, stopping: bool) -> Action:
        position = self._delivery.position(self.revision)
        if position >= self._feed.oldest_revision - 1:
            self.replaying = False
            self._state = self._live
            return self._live(now, news, stopping)
        self.replaying = True
        self._state = self._reading
        return ReadStored(position)

    def _reading(self, now: float, _news: int, _stopping: bool) -> Action:
        """Send heartbeats while a page is being read."""
        heartbeat_at = self._last_at + self._heartbeat_s
        return self._heartbeat() if now >= heartbeat_at else Wait(heartbeat_at, woken=False)

    def _stored_page(self, now: float, news: int, stopping: bool) -> Action:
        if self._empty:
            return self._after_nothing(now)
        action = self._delivery.send_stored(self.revision, now, stopping=stopping)
        if isinstance(action, float):
            return self._idle(now, action, woken=False)
        if action is not None:
            return action
        if stopping:
            return self._close()
        self._state = self._stored
        return self._stored(now, news, stopping)

    # Lagged: changes are lost and an image follows

    def _lose(self, now: float, news: int, stopping: bool) -> Action:
        if self._options.image is ImageMode.NEVER:
            return Refuse(self._lost_reason)
        self._lagging = True
        self.replaying = False
        self._lost_from = self.revision + 1
        self.whole = False
        self._empty = False
        self._delivery.forget()
        self._state = self._look if self._options.freshness else self._lagged
        return self._state(now, news, stopping)

    def _look(self, _now: float, _news: int, _stopping: bool) -> Action:
        self._state = self._lagged if self._lagging else self._view
        return LookAtFreshness()

    def _lagged(self, _now: float, _news: int, _stopping: bool) -> Action:
        self._lost_to = self._feed.head_revision
        prev, self.told = self.told, self.revision
        self._state = self._view
        return SendLagged(prev, self.revision, self._lost_from, self._lost_to, self._lost_reason)

    # Image: all selected odds at one place in the log

    def _view(self, _now: float, _news: int, _stopping: bool) -> Action:
        return _TAKE_VIEW

    def _image_begin(self, _now: float, _news: int, _stopping: bool) -> Action:
        prev, self.told = self.told, self._viewed
        self._pieces = 0
        self._state = self._make_piece
        return SendImageBegin(prev, self._viewed)

    def _make_piece(self, _now: float, _news: int, _stopping: bool) -> Action:
        return _MAKE_PIECE

    def _image_piece(self, _now: float, _news: int, stopping: bool) -> Action:
        if stopping:  # there may be no time for the rest
            return self._close()
        self._pieces += 1
        self._state = self._after_piece
        return SendPiece(self._viewed, self._pieces)

    def _after_piece(self, _now: float, _news: int, _stopping: bool) -> Action:
        self._state = self._make_piece
        return _PAUSE

    def _image_end(self, _now: float, _news: int, _stopping: bool) -> Action:
        self.whole = True
        self.revision = self._viewed
        self._state = self._finish if self._options.image is ImageMode.ONLY else self._live
        return SendImageEnd(self._viewed, self._pieces)

    # The end

    def _close(self) -> Action:
        # Inside an image, the last cursor sent is ahead of the changes that the reader has.
        return SendClosing(self.told, self.revision if self.whole else self.told, self.whole)

    def _finish(self, _now: float, _news: int, _stopping: bool) -> Action:
        return Finish()
