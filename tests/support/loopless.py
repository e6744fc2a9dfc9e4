"""Subscriptions driven without an event loop, a server or a wire format.

The test sets the time. It decides when a reader stalls, when a page of the database arrives, and
when the service stops.
"""

from collections.abc import Iterable
from typing import NamedTuple

from odds_service.filters.filtering import Captured, Selected, select
from odds_service.filters.filtering import Place as MarketPlace
from odds_service.filters.news import News
from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.model.change import Change, ChangeKind
from odds_service.model.cursor import Cursor, incomplete, plain_epoch
from odds_service.model.snapshot import EventOdds
from odds_service.stream import actions
from odds_service.stream.conflation import Window
from odds_service.stream.delivery import delivery_of
from odds_service.stream.memory_log import LeftMemory, MemoryLog
from odds_service.stream.opening import Intent, IntentReason, Resume, Start
from odds_service.stream.options import ImageMode, SlowReaderPolicy, WatchOptions
from odds_service.stream.shared_windows import SharedWindows
from odds_service.stream.subscription import Subscription
from tests.support.observations import Place, Shown, apply_changes, shown_of
from tests.support.odds_builders import Bookkeeping

PAGE_CHANGES = 7
MESSAGE_CHANGES = 5


def options_of(
    *,
    selection: Selection = EVERYTHING,
    image: ImageMode = ImageMode.AUTO,
    policy: SlowReaderPolicy = SlowReaderPolicy.LOSSLESS,
    heartbeat_s: float = 10.0,
    conflate_s: float = 0.0,
    freshness: bool = False,
) -> WatchOptions:
    return WatchOptions(selection, image, policy, heartbeat_s, conflate_s, freshness)


class Service:
    """A server without a loop: its log, its clock, and the windows that its streams share."""

    def __init__(self, book: Bookkeeping, *, stored: bool = True) -> None:
        self.book = book
        self.stored = stored
        self.now = 0.0
        self.stopping = False
        self.shared = SharedWindows()
        self.log = MemoryLog(book.cache, book.feed)
        self.encoded: set[tuple[Selection, int, int]] = set()  # windows that readers may share
        self.own_windows = 0

    def verdict(self, cursor: Cursor) -> IntentReason:
        if plain_epoch(cursor.epoch) != self.book.feed.epoch:
            return IntentReason.EPOCH_CHANGED
        ahead = cursor.revision > self.book.feed.head_revision
        return IntentReason.AHEAD_OF_SERVER if ahead else IntentReason.RESUMED


class Loss(NamedTuple):
    """A loss that a stream announced: all revisions from `first` to `last`, both included."""

    first: int
    last: int


class Reader:
    """A subscription, its driver, and the map that its client folds.

    Attributes:
        held: The odds that the client has; None while it must not act on any.
        cursor: The cursor of the last message.
        sent: Each message as its type's name.
        losses: The losses that the stream announced.
        windows_at: The times at which windows with changes were sent.
        waits_until: The end of the stream's present wait, None while it is not waiting.
    """

    def __init__(self, service: Service, options: WatchOptions, resume: Cursor | None = None):
        feed = service.book.feed
        self.service = service
        self.options = options
        self.stalled = False
        self.held: dict[Place, Shown] | None = {}  # a resumed client holds all up to its cursor
        self.cursor = resume or Cursor(feed.epoch, feed.head_revision)
        self.sent: list[str] = []
        self.covered: list[tuple[int, int]] = []  # stretches of the log: (after, upto]
        self.losses: list[Loss] = []
        self.windows_at: list[float] = []
        self.waits_until: float | None = None
        self.ended: str | None = None
        self.start: Start | None = None
        self.page: tuple[list[Selected], int] | IntentReason | None = None
        self._image: dict[str, EventOdds] = {}
        self._pending: list[str] = []
        self._dropped = False
        self._asleep = False  # whether it waits for news
        self.drops_after = -1  # messages after which the view of an image is dropped
        self._begun_image: list[str] = []
        verdict = None if resume is None else Resume(resume, service.verdict(resume))
        log = service.book.log[: self.cursor.revision]
        chosen = select(options.selection, log, {}, _no_markets)
        apply_changes(self.held, [change for change, _ in chosen])
        self.subscription = Subscription(
            options,
            feed,
            delivery_of(options, service.shared, feed),
            resume=verdict,
            stored=service.stored,
            now=service.now,
        )

    # What a test does

    def run(self) -> None:
        """Take actions until the stream waits, stalls or ends."""
        service = self.service
        self.waits_until = None
        if self._asleep:
            self._skip()
        while self.ended is None and not self.stalled:
            news = service.book.feed.head_revision
            action = self.subscription.next(service.now, news, service.stopping)
            if isinstance(action, actions.Wait):
                assert not (service.stopping and self.page is None), "it waits during the stop"
                if self.page is None:
                    assert action.until > service.now, "it waits for a time that is over"
                if self.page is not None or not action.woken or news == self.subscription.revision:
                    self.waits_until = action.until
                    self._asleep = action.woken and self.page is None
                    return
                continue
            self._take(action)

    def finish_page(self) -> None:
        """Deliver the page of the database that the stream waits for, if any."""
        page, self.page = self.page, None
        if isinstance(page, IntentReason):
            self.subscription.lost(page)
        elif page is not None:
            self.subscription.page_read(*page)

    def drop_image(self) -> None:
        """Drop the view of the image, as the driver does when its reader stalls for long."""
        if self._pending:
            self._pending, self._dropped = [], True

    # What the driver does

    def _skip(self) -> None:
        """Leave out what was published during a wait, where none of it concerns the stream."""
        self._asleep = False
        after, head = self.subscription.revision, self.service.book.feed.head_revision
        news = News(self.service.book.log[after:head])
        if head > after and not news.may_concern(self.options.selection):
            self.subscription.skipped(head)
            if self.subscription.revision == head:
                self.covered.append((after, head))

    def _take(self, action: actions.Action) -> None:
        subscription, service = self.subscription, self.service
        match action:
            case actions.CheckStored(after, upto):
                subscription.checked(self._gap(after, upto))
            case actions.Refuse(reason):
                self.ended = reason.name
            case actions.Finish():
                self.ended = "FINISHED"
            case actions.Pause():
                pass
            case actions.TakeView():
                cut = service.book.cache.view(self.options.selection.event_ids)
                self._image, self._dropped = cut.events, False
                self._pending = [
                    name
                    for name, entry in cut.events.items()
                    if self.options.selection.takes_event(entry.event)
                ]
                subscription.viewed(cut.cursor.revision)
            case actions.MakePiece():
                found = bool(self._pending)
                if found:
                    self._begun_image.append(self._pending.pop(0))
                subscription.piece_made(found=found, dropped=self._dropped)
            case actions.ReadStored(after):
                self.page = self._read_page(after)
            case actions.LookAtFreshness():
                subscription.freshness_due(service.now + 1.0)
            case actions.SendFreshness():
                self._message("SendFreshness", subscription.told, subscription.revision)
                subscription.freshness_told(service.now + 1.0, sent=True)
            case actions.SendChanges() | actions.SendStored() | actions.SendWindow():
                self._send_changes(action)
            case _:
                self._send(action)

    def _send(self, action: actions.Action) -> None:
        """Handle an action that sends a message without changes, and act as its reader."""
        name = type(action).__name__
        whole = self.subscription.whole
        match action:
            case actions.SendOpened(start):
                assert not self.sent
                self.start = start
                if start.intent is Intent.IMAGE:
                    self.held = None
                self._message(name, None, start.revision, whole=whole)
            case actions.SendHeartbeat(prev, revision):
                assert self.held is not None
                self._message(name, prev, revision)
            case actions.SendLagged(prev, revision, lost_from, lost_to, _):
                self.held = None
                self.losses.append(Loss(lost_from, lost_to))
                self._message(name, prev, revision, whole=False)
            case actions.SendImageBegin(prev, revision):
                self.held = None
                self._begun_image = []
                self._message(name, prev, revision, whole=False)
            case actions.SendPiece(revision, number):
                assert number == len(self._begun_image)
                self._message(name, revision, revision, whole=False)
            case actions.SendImageEnd(revision, pieces):
                assert pieces == len(self._begun_image)
                entries = {name: self._image[name] for name in self._begun_image}
                self.held = shown_of(self.options.selection, entries)
                self._message(name, revision, revision)
            case actions.SendClosing(prev, revision, whole):
                self._message(name, prev, revision, whole=whole)
                self.ended = "CLOSED"
            case _:
                raise AssertionError(action)

    def _send_changes(
        self, action: actions.SendChanges | actions.SendStored | actions.SendWindow
    ) -> None:
        service = self.service
        selection = self.options.selection
        assert self.held is not None
        try:
            if isinstance(action, actions.SendStored):
                changes, upto = one_message(action.selected, action.upto)
            elif isinstance(action, actions.SendChanges):
                changes, upto = one_message(*service.log.after(selection, action.after)[:2])
            else:
                changes, upto = self._folded(action), action.upto
        except LeftMemory:
            self.subscription.left_memory()
            return
        apply_changes(self.held, changes)
        self.covered.append((action.after, upto))
        if changes:
            if isinstance(action, actions.SendWindow):
                self.windows_at.append(service.now)
            self._message(type(action).__name__, self.subscription.told, upto)
        self.subscription.reached(upto, service.now, not changes)

    def _folded(self, action: actions.SendWindow) -> list[Change]:
        service, selection = self.service, self.options.selection
        window = Window(action.after) if action.begun is None else action.begun
        while window.upto < action.upto:
            selected, reached, _ = service.log.after(selection, window.upto, action.upto)
            window.add([each.change for each in selected], reached)
        if action.begun is None:
            service.encoded.add((selection, action.after, action.upto))
        else:
            service.own_windows += 1
        return [folded.change for folded in window.changes()]

    def _message(self, name: str, prev: int | None, revision: int, *, whole: bool = True) -> None:
        assert prev is None or prev == self.cursor.revision, "a message is missing"
        epoch = self.service.book.feed.epoch
        self.cursor = Cursor(epoch if whole else incomplete(epoch), revision)
        self.sent.append(name)
        if len(self.sent) == self.drops_after:
            self.drop_image()
        self.subscription.wrote(self.service.now)

    def _gap(self, after: int, upto: int) -> IntentReason | None:
        book = self.service.book
        if book.stored_from > after + 1:
            return IntentReason.TOO_OLD
        refused = any(after < revision <= upto for revision in book.refused)
        return IntentReason.HISTORY_GAP if refused else None

    def _read_page(self, after: int) -> tuple[list[Selected], int] | IntentReason:
        book = self.service.book
        upto = min(after + PAGE_CHANGES, book.feed.durable_revision)
        gap = self._gap(after, upto)
        if gap is not None:
            return gap
        changes = book.log[after:upto]
        if len(changes) > 1 and _begins_a_move(changes[-1]):
            changes, upto = changes[:-1], upto - 1
        return list(select(self.options.selection, changes, {}, _no_markets)), upto


def _no_markets(event_id: str, revision: int) -> dict[MarketPlace, Captured]:
    raise AssertionError((event_id, revision))


def _begins_a_move(change: Change) -> bool:
    return change.kind is ChangeKind.REMOVED and change.reason == "line_moved"


def one_message(selected: Iterable[Selected], upto: int) -> tuple[list[Change], int]:
    """Return the first few changes and the revision they reach; a moved line is never divided."""
    taken: list[Change] = []
    for change, joined in selected:
        if len(taken) >= MESSAGE_CHANGES and not joined:
            return taken, change.revision - 1
        taken.append(change)
    return taken, upto
