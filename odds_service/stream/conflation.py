"""Many changes as few: per market one, from its first `before` to its last `after`."""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from odds_service.model.change import Change, ChangeKind, EventChange, MarketChange, Reason
from odds_service.model.market import MarketKey, MarketStatus, same_prices
from odds_service.wire.encode import conflated_wire

# An event in one of its lives, a market, a source.
_Key: TypeAlias = tuple[str, int] | tuple[str, str, str, MarketKey] | str


class _Entry(Struct):
    """What a window has of one subject: its first and last change, and what lay between.

    place: of the change that it is told as, among all that the window was given.
    """

    first: Change
    last: Change
    place: int
    count: int = 1
    suspended_meanwhile: bool = False


class Window:
    """Folds the changes of one interval.

    An event may end in it and be there again: each of its lives has a change of its own. One that
    leaves the filter and enters it again has only been updated.

    A moved line is two changes, told as a move only where the window leaves both as they were: next
    to each other, with nothing after them.
    """

    def __init__(self) -> None:
        self._place = 0
        self._entries: dict[_Key, _Entry] = {}
        self._lives: dict[str, int] = {}
        self._markets: dict[str, set[_Key]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, changes: Iterable[Change]) -> None:
        """Fold in what comes next in the log."""
        for change in changes:
            self._place += 1
            if isinstance(change, MarketChange):
                self._add_market(change)
            elif isinstance(change, EventChange):
                self._add_event(change)
            else:
                self._add_source(change)

    def frames(self) -> Iterator[bytes]:
        """One change a subject as fields of Changes, in the order of revisions.

        The two halves of a moved line are one frame. What makes no net difference is left out,
        unless the market was suspended or gone meanwhile.
        """
        held: tuple[_Entry, Change] | None = None
        for entry in sorted(self._entries.values(), key=_place_of):
            told = _told(entry)
            if told is None:
                continue
            if held is not None and _is_move(held, (entry, told)):
                yield _wire(*held) + _wire(entry, told)
                held = None
                continue
            if held is not None:
                yield _unmoved(*held)
            held = entry, told
        if held is not None:
            yield _unmoved(*held)

    def _add_market(self, change: MarketChange) -> None:
        key = change.event_id, change.source, change.bookmaker, change.after.key
        held = self._entries.get(key)
        if held is None:
            self._entries[key] = _Entry(change, change, self._place)
            self._markets.setdefault(change.event_id, set()).add(key)
            return
        if isinstance(held.last, MarketChange) and held.last.after.status is not MarketStatus.OPEN:
            held.suspended_meanwhile = True
        held.last = change
        held.place = self._place
        held.count += 1

    def _add_event(self, change: EventChange) -> None:
        life = self._lives.get(change.event_id, 0)
        key = change.event_id, life
        ended = change.kind is ChangeKind.EVENT_ENDED
        if not (ended or change.reason == Reason.LEFT_FILTER):
            held = self._entries.get(key)
            if held is None:
                self._entries[key] = _Entry(change, change, self._place)
            elif held.first.kind is ChangeKind.EVENT_ADDED:
                # It stays one, where it was: ahead of the event's markets.
                first = held.first
                held.last = replace(first, before=None, after=change.after)
                held.count += 1
            else:
                kind = held.first.kind
                held.last = change if kind is change.kind else replace(change, kind=kind)
                held.place = self._place
                held.count += 1
            return
        held = self._entries.pop(key, None)
        came_in_it = held is not None and held.first.kind is ChangeKind.EVENT_ADDED
        if ended or came_in_it:  # else each of its markets is REMOVED by itself
            for market in self._markets.pop(change.event_id, ()):
                del self._entries[market]
        if ended:
            self._lives[change.event_id] = life + 1
        if held is None:
            self._entries[key] = _Entry(change, change, self._place)
        elif not came_in_it:
            self._entries[key] = _Entry(held.first, change, self._place, held.count + 1)

    def _add_source(self, change: Change) -> None:
        held = self._entries.get(change.source)
        if held is None:
            self._entries[change.source] = _Entry(change, change, self._place)
        else:
            held.last = change
            held.place = self._place
            held.count += 1


def _place_of(entry: _Entry) -> int:
    return entry.place


def _told(entry: _Entry) -> Change | None:
    """What a subject's changes come to, None for nothing."""
    first, last = entry.first, entry.last
    if entry.count > 1 and isinstance(last, MarketChange) and isinstance(first, MarketChange):
        return _net(first, last, entry.suspended_meanwhile)
    return last


def _wire(entry: _Entry, told: Change) -> bytes:
    if entry.count == 1:
        return conflated_wire(told, 0, False)
    return conflated_wire(told, entry.count, entry.suspended_meanwhile)


def _is_move(one: tuple[_Entry, Change], other: tuple[_Entry, Change]) -> bool:
    """Return whether two changes are the halves of one moved line."""
    gone, there = one[1], other[1]
    return (
        one[0].place + 1 == other[0].place
        and gone.reason == there.reason == Reason.LINE_MOVED
        and gone.kind is ChangeKind.REMOVED
        and there.kind is ChangeKind.ADDED
    )


def _unmoved(entry: _Entry, told: Change) -> bytes:
    """A change by itself: one half of a moved line is no move."""
    if isinstance(told, MarketChange) and told.reason == Reason.LINE_MOVED:
        told = replace(told, reason="", other_line=None)
    return _wire(entry, told)


def _net(first: MarketChange, last: MarketChange, meanwhile: bool) -> MarketChange | None:
    """One change that has the same effect as all from the first to the last, None for none."""
    before, after = first.before, last.after
    gone = after.status is MarketStatus.REMOVED
    if before is None:
        kind = None if gone else ChangeKind.ADDED
    elif gone:
        kind = ChangeKind.REMOVED
    elif before.status is not after.status:
        suspended = after.status is MarketStatus.SUSPENDED
        kind = ChangeKind.SUSPENDED if suspended else ChangeKind.RESUMED
    elif not same_prices(before.outcomes, after.outcomes):
        kind = ChangeKind.PRICES
    else:
        kind = ChangeKind.RESUMED if meanwhile else None
    if kind is None:
        return None
    if kind is last.kind:
        return replace(last, before=before)
    return replace(last, kind=kind, reason="", other_line=None, before=before)
