"""Confirmation times for streams that ask for them, looked up once a second per filter.

A fetch that finds nothing new confirms odds without making a change, and odds also become stale
without one. Each look records the states that moved since the previous look. A stream is sent the
states that moved since the last look it has received.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from time import monotonic  # the same clock as loop.time(), without its two extra calls
from typing import Final, NamedTuple, TypeAlias
from weakref import WeakValueDictionary

from odds_service.cache import OddsCache
from odds_service.feed import ChangeFeed
from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.model.change import EventChange, SourceChange
from odds_service.model.overround import Standing, standing_terms
from odds_service.model.snapshot import BookmakerKey, EventOdds, Reading
from odds_service.model.source import SourceState
from odds_service.serving.odds import OddsView, as_seen
from odds_service.serving.reading import bodies_of
from odds_service.serving.stretches import Stretches
from odds_service.wire.encode import Wires
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import bytes_tag, delimited, moment, number_tag, text, varint

INTERVAL_S: Final = 1.0
_LOOKS: Final = 30  # looks remembered; a stream that missed more is sent everything
_FRAMES_AT_A_STRETCH: Final = 500
_BATCHES: Final = 64
_FAR_CHANGES: Final = 10_000  # a stream this many changes away from a look waits for a later one

# Unchanged events are checked for staleness in this many parts, one part per look. Odds become
# stale after three polling intervals; the check adds at most four seconds.
_PARTS: Final = 4

_Place: TypeAlias = tuple[str, str, str]  # event id, source, bookmaker
_State: TypeAlias = tuple[datetime, bool]  # confirmed_at, stale

_ODDS: Final = bytes_tag(pb.Freshness.ODDS_FIELD_NUMBER)
_EVENT_ID: Final = bytes_tag(pb.OddsFreshness.EVENT_ID_FIELD_NUMBER)
_SOURCE: Final = bytes_tag(pb.OddsFreshness.SOURCE_FIELD_NUMBER)
_BOOKMAKER: Final = bytes_tag(pb.OddsFreshness.BOOKMAKER_FIELD_NUMBER)
_CONFIRMED: Final = bytes_tag(pb.OddsFreshness.CONFIRMED_AT_FIELD_NUMBER)
_STALE: Final = number_tag(pb.OddsFreshness.STALE_FIELD_NUMBER) + b"\x01"


class _Seen(NamedTuple):
    """An event as one look found it."""

    entry: EventOdds
    states: dict[BookmakerKey, _State]


class _Look(NamedTuple):
    number: int
    moved: frozenset[_Place]


class _Touched:
    """The odds, events and sources concerned by some changes."""

    def __init__(self) -> None:
        self.places: set[_Place] = set()
        self.events: set[str] = set()
        self.sources: set[str] = set()

    def __contains__(self, place: _Place) -> bool:
        return place in self.places or place[0] in self.events or place[1] in self.sources


class FreshnessLog:
    """The looks at the odds of one filter; for use on the server's loop only.

    Attributes:
        revision: The revision of the view behind the last look.
        number: The number of looks so far.
    """

    def __init__(
        self, cache: OddsCache, selection: Selection, wires: Wires, now: Callable[[], Reading]
    ) -> None:
        self.revision = 0
        self.number = 0
        self.next_at = 0.0
        self._cache = cache
        self._selection = selection
        self._wires = wires
        self._now = now
        self._events: dict[str, _Seen] = {}
        self._sources: dict[str, SourceState] = {}
        self._looks: deque[_Look] = deque(maxlen=_LOOKS)
        self._looking = asyncio.Lock()
        self._encoded: tuple[int, list[bytes]] = 0, []

    async def look(self) -> None:
        """Look again, unless the last look is less than a second old."""
        async with self._looking:
            if monotonic() >= self.next_at:
                next_at = monotonic() + INTERVAL_S
                await self._look()  # if cancelled with its stream, the next stream looks instead
                self.next_at = next_at

    async def _look(self) -> None:
        """Look at events that changed, and at a part of the others, which may have become stale."""
        selection = self._selection
        cached = self._cache.view(selection.event_ids)
        view = OddsView(cached, selection, self._now(), self._wires)
        number = self.number + 1
        same_sources = standing_terms(cached.sources) == standing_terms(self._sources)
        events: dict[str, _Seen] = {}
        moved: list[_Place] = []
        stretches = Stretches()
        for event_id, entry in cached.events.items():
            if not selection.takes_event(entry.event):
                continue
            held = self._events.get(event_id)
            same = held is not None and held.entry is entry and same_sources
            if held is not None and same and (hash(event_id) + number) % _PARTS:
                events[event_id] = held
                continue
            states = self._states(view, entry)
            events[event_id] = _Seen(entry, states)
            before = {} if held is None else held.states
            for key, state in states.items():
                if before.get(key) != state:
                    moved.append((event_id, *key))
            await stretches.pause()
        # No await from here on, so that no stream sees half a look.
        self._events, self._sources = events, cached.sources
        self.revision, self.number = cached.cursor.revision, number
        self._looks.append(_Look(number, frozenset(moved)))

    def _states(self, view: OddsView, entry: EventOdds) -> dict[BookmakerKey, _State]:
        """Return each bookmaker's state as in GetOdds: that of its oldest selected market type."""
        selection = self._selection
        states: dict[BookmakerKey, _State] = {}
        for key, odds in entry.bookmakers.items():
            if selection is not EVERYTHING and not (
                selection.takes_bookmaker(*key)
                and (selection.markets is None or any(True for _ in view.markets_of(odds)))
            ):
                continue
            seen = as_seen(odds, view.markets_of(odds)) if odds.lagging else odds
            states[key] = seen.confirmed_at, view.standing(seen) is not Standing.LIVE
        return states

    def moved_since(self, number: int) -> Collection[_Place]:
        """Return the odds whose state moved after a look, or all odds if that look is forgotten."""
        later = [look for look in self._looks if look.number > number]
        if number + len(later) < self.number:
            return [
                (event_id, *key) for event_id, seen in self._events.items() for key in seen.states
            ]
        return later[0].moved if len(later) == 1 else set().union(*(each.moved for each in later))

    async def bodies(self, places: Collection[_Place]) -> list[bytes]:
        """Encode states as fields of Freshness, in bodies that each fit in a message."""
        newest = self._looks[-1]
        if places is not newest.moved:
            return await _encoded(places, self._events)
        if self._encoded[0] != newest.number:  # encode once, as most streams are sent the same
            self._encoded = newest.number, await _encoded(places, self._events)
        return self._encoded[1]


async def _encoded(places: Iterable[_Place], events: Mapping[str, _Seen]) -> list[bytes]:
    frames: list[bytes] = []
    for event_id, source, bookmaker in places:
        seen = events.get(event_id)
        state = None if seen is None else seen.states.get((source, bookmaker))
        if state is None:  # gone in the meantime, which a change reports
            continue
        at, stale = state
        entry = (
            text(_EVENT_ID, event_id)
            + text(_SOURCE, source)
            + text(_BOOKMAKER, bookmaker)
            + _CONFIRMED
            + moment(at)
            + (_STALE if stale else b"")
        )
        frames.append(_ODDS + delimited(entry))
        if len(frames) % _FRAMES_AT_A_STRETCH == 0:
            await asyncio.sleep(0)
    return bodies_of(frames)


class FreshReader:
    """One stream's reader of the looks; `due_at` is the loop time of its next message."""

    def __init__(self, log: FreshnessLog, feed: ChangeFeed) -> None:
        self.due_at = 0.0
        self._log = log
        self._feed = feed
        self._number = -1  # the last look received; after -1 every state is new
        self._owed: set[_Place] = set()

    async def begin(self) -> None:
        """Begin anew at an image, which shows all confirmation times up to now."""
        await self._log.look()
        self._number = self._log.number
        self.due_at = self._log.next_at

    async def bodies(self, revision: int) -> list[bytes]:
        """Return the states that moved since the last call, for a stream at a revision.

        A look has a revision of its own. States of odds that changed between the two revisions are
        sent later, because the stream does not hold these odds yet, or holds newer ones.
        """
        self.due_at = monotonic() + INTERVAL_S
        log = self._log
        await log.look()
        self.due_at = max(self.due_at, log.next_at)
        touched = self._touched(*sorted((revision, log.revision)))
        if touched is None:
            return []
        moved = log.moved_since(self._number)
        if self._owed:
            moved = self._owed.union(moved)
        self._number = log.number
        self._owed = {place for place in moved if place in touched}
        return await log.bodies([p for p in moved if p not in touched] if self._owed else moved)

    def _touched(self, after: int, upto: int) -> _Touched | None:
        """Return the subjects of the changes in (after, upto]; None if too many or trimmed."""
        touched = _Touched()
        if upto - after > _FAR_CHANGES:
            return None
        while after < upto:
            batches = self._feed.read_after(after, _BATCHES)
            if batches is None:
                return None
            for batch in batches:
                for change in batch.changes:
                    if isinstance(change, SourceChange):
                        touched.sources.add(change.source)
                    elif isinstance(change, EventChange):
                        touched.events.add(change.event_id)
                    else:
                        place = change.event_id, change.source, change.bookmaker
                        touched.places.add(place)
            after = batches[-1].last_revision
        return touched


class FreshnessLogs:
    """The freshness logs, one per filter, each kept while a stream uses it."""

    def __init__(
        self, cache: OddsCache, feed: ChangeFeed, wires: Wires, now: Callable[[], Reading]
    ) -> None:
        self._cache = cache
        self._feed = feed
        self._wires = wires
        self._now = now
        self._logs: WeakValueDictionary[Selection, FreshnessLog] = WeakValueDictionary()

    def forget(self) -> None:
        """Drop all looks, as when another log has replaced this one."""
        self._logs.clear()

    def __len__(self) -> int:
        return len(self._logs)

    def reader(self, selection: Selection) -> FreshReader:
        """Return a reader for a stream, which shares the looks of its selection."""
        log = self._logs.get(selection)
        if log is None:
            log = FreshnessLog(self._cache, selection, self._wires, self._now)
            self._logs[selection] = log
        return FreshReader(log, self._feed)


_FRESHNESS: Final = bytes_tag(pb.WatchChangesResponse.FRESHNESS_FIELD_NUMBER)


def freshness_message(
    body: bytes, cursor: pb.Cursor, prev_revision: int, durable_revision: int
) -> bytes:
    """Return a body of `FreshReader.bodies` as a stream message."""
    tail = pb.Freshness(
        prev_revision=prev_revision, cursor=cursor, durable_revision=durable_revision
    ).SerializeToString()
    return _FRESHNESS + varint(len(body) + len(tail)) + body + tail
