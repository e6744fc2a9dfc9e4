"""Conflation: fold the changes of a window into one per market, event or source."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from odds_service.model.change import Change, ChangeKind, EventChange, MarketChange, Reason
from odds_service.model.market import MarketKey, MarketStatus, same_prices

# (event id, life), (event id, source, bookmaker, market), or a source's name.
_Key: TypeAlias = tuple[str, int] | tuple[str, str, str, MarketKey] | str


class Folded(NamedTuple):
    """One change that stands for all changes of its subject in a window.

    Attributes:
        change: The net change.
        conflated_count: The number of changes folded into it; 0 if it is an unfolded change.
        suspended_meanwhile: Whether the market was suspended or removed in between.
        joined: Whether it must stay with the change before it, as the second half of a moved line.
    """

    change: Change
    conflated_count: int
    suspended_meanwhile: bool
    joined: bool


class _Entry(Struct):
    """The first and the last change of one subject in a window.

    Attributes:
        place: The position of the subject's net change among all changes of the window.
        count: The number of changes folded.
        suspended_meanwhile: Whether the market was suspended or removed in between.
    """

    first: Change
    last: Change
    place: int
    count: int = 1
    suspended_meanwhile: bool = False


class Window:
    """A fold of consecutive changes with revisions up to `upto`.

    If an event ends and comes back within a window, each life gets its own change. If it leaves
    the filter and enters it again, the window reports only an update.

    The two changes of a moved line remain a move only if the window leaves both untouched: they
    are adjacent, and neither market changes again.
    """

    def __init__(self, after: int) -> None:
        self.upto = after
        self._place = 0
        self._entries: dict[_Key, _Entry] = {}
        self._lives: dict[str, int] = {}
        self._markets: dict[str, set[_Key]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, changes: Iterable[Change], upto: int) -> None:
        """Fold in the next selected changes of the log, which reach up to revision `upto`."""
        self.upto = upto
        for change in changes:
            self._place += 1
            if isinstance(change, MarketChange):
                self._add_market(change)
            elif isinstance(change, EventChange):
                self._add_event(change)
            else:
                self._add_source(change)

    def changes(self) -> Iterator[Folded]:
        """Yield one change per subject, in revision order.

        A subject without a net difference is left out, unless its market was suspended or removed
        in between.
        """
        held: tuple[_Entry, Change] | None = None
        for entry in sorted(self._entries.values(), key=_place_of):
            net = _net_of(entry)
            if net is None:
                continue
            if held is not None and _is_move(held, (entry, net)):
                yield _folded(*held)
                yield _folded(entry, net, joined=True)
                held = None
                continue
            if held is not None:
                yield _unmoved(*held)
            held = entry, net
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
                # It remains EVENT_ADDED and keeps its place, ahead of the event's markets.
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
        if ended or came_in_it:  # otherwise each of its markets has its own REMOVED
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


def _net_of(entry: _Entry) -> Change | None:
    """Return the net change of a subject, or None if nothing changed."""
    first, last = entry.first, entry.last
    if entry.count > 1 and isinstance(last, MarketChange) and isinstance(first, MarketChange):
        return _net(first, last, entry.suspended_meanwhile)
    return last


def _folded(entry: _Entry, net: Change, *, joined: bool = False) -> Folded:
    if entry.count == 1:
        return Folded(net, 0, False, joined)
    return Folded(net, entry.count, entry.suspended_meanwhile, joined)


def _is_move(one: tuple[_Entry, Change], other: tuple[_Entry, Change]) -> bool:
    """Return whether two changes are the two halves of one moved line."""
    gone, there = one[1], other[1]
    return (
        one[0].place + 1 == other[0].place
        and gone.reason == there.reason == Reason.LINE_MOVED
        and gone.kind is ChangeKind.REMOVED
        and there.kind is ChangeKind.ADDED
    )


def _unmoved(entry: _Entry, net: Change) -> Folded:
    """Fold an entry that is not part of a move, dropping any LINE_MOVED reason."""
    if isinstance(net, MarketChange) and net.reason == Reason.LINE_MOVED:
        net = replace(net, reason="", other_line=None)
    return _folded(entry, net)


def _net(first: MarketChange, last: MarketChange, meanwhile: bool) -> MarketChange | None:
    """Return one change with the effect of all from `first` to `last`, or None for no effect."""
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
