"""The odds of a read node, as a state machine over the messages of the log.

It decides and applies without a loop or a clock of its own, so that whatever a bus can do to the
log can be played to it: messages that come again, tails that are lost and written anew in other
cuts, holes, and new epochs. It never applies a change twice, nor one whose predecessor it lacks.
"""

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from odds_service.bus.messages import (
    Assembler,
    BadMessage,
    Decoded,
    DecodedBatch,
    DecodedCommit,
    Freshness,
    Opened,
)
from odds_service.cache import OddsCache
from odds_service.feed import ChangeFeed
from odds_service.model.cursor import ends
from odds_service.model.snapshot import (
    BookmakerKey,
    BookmakerOdds,
    EventOdds,
    EventSource,
    Reading,
    Snapshot,
)
from odds_service.model.source import SourceReason, SourceState, SourceStatus, judged_status
from odds_service.replica.folding import fold
from odds_service.restore import feed_of, odds_on_boot_clock
from odds_service.store import Stored

_SLICE_EVENTS: Final = 256  # confirmed at once under the cache's lock

AWAY_DETAIL: Final = "this node hears nothing from the node that fetches"


class Taken(enum.Enum):
    """The verdict on a message.

    APPLIED: it was new. SKIPPED: everything in it was known, or more pieces of its batch follow.
    RESUBSCRIBE: a piece of a batch came without those before it; read again from the present
    revision on. REBUILD: the log does not go on from what is here; load it anew.
    """

    APPLIED = enum.auto()
    SKIPPED = enum.auto()
    RESUBSCRIBE = enum.auto()
    REBUILD = enum.auto()


class Replica:
    """A cache with its feed, moved forwards by the messages of the log; the only writer of both.

    Args:
        cache: The cache; its feed is `feed`.
        feed: The feed.
        reading: Reads this machine's clocks.

    Attributes:
        reason: The reason for the last verdict other than APPLIED.
        sent_at: The time at which the newest applied message was sent, by its sender's clock.
        applied: The number of messages applied.
    """

    def __init__(self, cache: OddsCache, feed: ChangeFeed, reading: Callable[[], Reading]) -> None:
        self.cache = cache
        self.feed = feed
        self.reason = ""
        self.sent_at: datetime | None = None
        self.applied = 0
        self._reading = reading
        self._assembler = Assembler()
        self._told = dict(cache.sources)  # the states as the upstream node told them

    def read_anew(self) -> None:
        """Expect messages from another place of the log than the next one."""
        self._assembler = Assembler()

    def take(self, message: Decoded) -> Taken:
        """Apply the next message of the log as far as it is new.

        Args:
            message: The message; the log's messages come in order, some of them perhaps again.

        Returns:
            The verdict. After RESUBSCRIBE and REBUILD nothing was changed.

        Raises:
            BadMessage: The market before a change is unreadable; nothing was changed.
        """
        try:
            whole = self._assembler.add(message)
        except BadMessage as error:
            self.reason = str(error)
            return Taken.RESUBSCRIBE
        if whole is None:
            self.reason = "a piece of a batch"
            return Taken.SKIPPED
        taken = self._open(whole) if isinstance(whole, Opened) else self._apply(whole)
        if taken is Taken.APPLIED:
            self.applied += 1
        return taken

    def move_to(self, cache: OddsCache, feed: ChangeFeed) -> None:
        """Hand everything over to another cache and feed in one step, and go on there."""
        cache.adopt(self.cache)
        self.cache, self.feed = cache, feed

    def stands(self, epoch: str, revision: int) -> bool:
        """Return whether a place that was served is still part of the log as known here."""
        last = ends(self.feed.epochs).get(epoch, 0)
        return last is None or revision <= last

    def judge(self, *, away: bool) -> None:
        """Show the sources as the upstream node told them.

        Args:
            away: Whether nothing comes from it. Then a source is STALE once its own last success
                is too old, since nobody tells of later ones.
        """
        now = self._reading()
        shown = {
            name: _without_upstream(state, now) if away else state
            for name, state in self._told.items()
        }
        moved = {name: state for name, state in shown.items() if self._shows(name) != state}
        if moved:
            self.cache.swap_all({}, moved, (), now.wall)

    def _shows(self, name: str) -> SourceState | None:
        return self.cache.sources.get(name)

    # Epochs

    def _open(self, opened: Opened) -> Taken:
        feed = self.feed
        head, known = feed.head_revision, dict(feed.epochs)
        if opened.epoch != feed.epoch and opened.epoch in known:
            return self._skip("an epoch that has ended")
        last = ends(opened.epochs).get(feed.epoch, 0)  # before the first change, nothing is lost
        if last is not None and head > last:
            return self._rebuild(f"revision {head} was lost before {opened.epoch} began")
        if head < opened.first_revision - 1:
            return self._rebuild(f"changes after {head} are missing: a new epoch begins later")
        if tuple(opened.epochs) == tuple(feed.epochs):
            return self._skip("an epoch that is open")
        self.cache.open_epoch(opened.epochs)
        return Taken.APPLIED

    # Batches

    def _apply(self, batch: DecodedBatch) -> Taken:
        feed = self.feed
        head = feed.head_revision
        if batch.epoch != feed.epoch:
            if batch.epoch in dict(feed.epochs) and batch.revision <= head:
                return self._skip("changes of an epoch that has ended")
            return self._rebuild(f"changes of an epoch whose beginning was not seen: {batch.epoch}")
        if batch.prev_revision > head:
            return self._rebuild(f"changes after {head} are missing")
        commits = [commit for commit in batch.commits if commit.last_revision > head]
        if commits and commits[0].first_revision != head + 1:
            return self._rebuild(f"a commit begins before {head} and ends after it")
        if commits:
            self._swap(commits)
        if batch.freshness is not None:
            self._refresh(batch.freshness, newest=batch.revision >= feed.head_revision)
        durable = min(batch.durable_revision, feed.head_revision)
        if durable > feed.durable_revision:
            feed.advance_durable(durable)
        self.sent_at = batch.sent_at or self.sent_at
        if not commits and batch.revision < head:
            return self._skip("changes that were known")
        return Taken.APPLIED

    def _swap(self, commits: Sequence[DecodedCommit]) -> None:
        now = self._reading()
        folded = fold(self.cache.events, commits, now)
        sources = {name: _on_boot_clock(state, now) for name, state in folded.sources.items()}
        self._told |= sources
        detected_at = commits[-1].changes[-1].detected_at
        self.cache.swap_all(folded.entries, sources, folded.commits, detected_at)

    def _refresh(self, fresh: Freshness, *, newest: bool) -> None:
        """Apply what moved without a change.

        Looks carry their times, so they apply in any order. The rest is true only for the newest
        revision: an older message that comes again would undo it.
        """
        now = self._reading()
        rows = fresh.event_sources if newest else ()
        entries = _confirmed(self.cache.events, fresh.confirmed, rows, now)
        sources: dict[str, SourceState] = {}
        if newest:
            for name in fresh.dropped:
                self._told.pop(name, None)
                self.cache.drop_source(name)
            sources = {state.source: _on_boot_clock(state, now) for state in fresh.sources}
            self._told |= sources
        for start in range(0, len(entries), _SLICE_EVENTS):
            some = dict(entries[start : start + _SLICE_EVENTS])
            self.cache.swap_all(some, {}, (), now.wall)
        if sources:
            self.cache.swap_all({}, sources, (), now.wall)

    def _skip(self, reason: str) -> Taken:
        self.reason = reason
        return Taken.SKIPPED

    def _rebuild(self, reason: str) -> Taken:
        self.reason = reason
        return Taken.REBUILD


def replica_of(stored: Stored, reading: Callable[[], Reading]) -> Replica:
    """Return a replica at the durable revision of a database.

    A source has its last announced status: what has happened to it since is in the log.
    """
    feed = feed_of(stored)
    now = reading()
    cache = OddsCache(
        feed,
        events=[odds_on_boot_clock(entry, now) for entry in stored.events],
        sources=[_announced(state, now) for state in stored.sources],
    )
    return Replica(cache, feed, reading)


def _confirmed(
    events: Mapping[str, EventOdds],
    looks: Iterable[Snapshot],
    rows: Iterable[tuple[str, EventSource]],
    now: Reading,
) -> list[tuple[str, EventOdds]]:
    """Return the events with newer looks or rows, each with them."""
    bookmakers: dict[str, dict[BookmakerKey, BookmakerOdds]] = {}
    sources: dict[str, dict[str, EventSource]] = {}
    for look in looks:
        entry = events.get(look.event_id)
        odds = None if entry is None else entry.bookmakers.get((look.source, look.bookmaker))
        if entry is None or odds is None or odds.snapshot_id != look.snapshot_id:
            continue  # a change that came later has replaced or ended them
        if look.observed_at < odds.observed_at:
            continue
        held = bookmakers.setdefault(look.event_id, dict(entry.bookmakers))
        held[odds.key] = replace(
            odds,
            observed_at=look.observed_at,
            confirmed_at=look.confirmed_at,
            source_updated_at=look.source_updated_at,
            confirmed_boot_s=now.boot_at(look.confirmed_at),
            lagging=now.on_boot_clock(look.lagging),
        )
    for event_id, row in rows:
        entry = events.get(event_id)
        if entry is None or row.departed_at is not None:
            continue
        present = entry.sources.get(row.source)
        if present is not None and present.source_event_id == row.source_event_id:
            sources.setdefault(event_id, dict(entry.sources))[row.source] = row
    return [
        (
            event_id,
            EventOdds(
                events[event_id].event,
                sources.get(event_id, events[event_id].sources),
                bookmakers.get(event_id, events[event_id].bookmakers),
            ),
        )
        for event_id in bookmakers.keys() | sources.keys()
    ]


def _on_boot_clock(state: SourceState, now: Reading) -> SourceState:
    success_at = state.last_success_at
    return replace(state, success_boot_s=None if success_at is None else now.boot_at(success_at))


def _announced(state: SourceState, now: Reading) -> SourceState:
    status = state.status if state.announced is None else state.announced
    return _on_boot_clock(replace(state, status=status), now)


def _without_upstream(state: SourceState, now: Reading) -> SourceState:
    """Return the state of a source of which nobody tells any more."""
    if state.status is not SourceStatus.UP or now.boot_s is None:
        return state
    if judged_status(state, now.boot_s) is SourceStatus.UP:
        return state
    return replace(
        state,
        status=SourceStatus.STALE,
        reason=SourceReason.UPSTREAM_AWAY,
        detail=AWAY_DETAIL,
    )
