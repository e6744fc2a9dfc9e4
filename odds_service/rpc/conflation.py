"""Many changes as few: per market one, from its first `before` to its last `after`."""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from odds_service.model.change import Change, ChangeKind, EventChange, MarketChange, Reason
from odds_service.model.market import MarketKey, MarketStatus, same_prices
from odds_service.rpc.encode import conflated_wire

# An event in one of its lives, a market, a source.
_Key: TypeAlias = tuple[str, int] | tuple[str, str, str, MarketKey] | str


class _Entry(Struct):
    """What a window has of one subject: its first and last change, and what lay between."""

    first: Change
    last: Change
    count: int = 1
    suspended_meanwhile: bool = False


class Window:
    """Folds the changes of one interval.

    An event may end in it and be there again: each of its lives has a change of its own. One that
    leaves the filter and enters it again has only been updated.
    """

    def __init__(self) -> None:
        self._entries: dict[_Key, _Entry] = {}
        self._lives: dict[str, int] = {}
        self._markets: dict[str, set[_Key]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, changes: Iterable[Change]) -> None:
        """Fold in what comes next in the log."""
        for change in changes:
            if isinstance(change, MarketChange):
                self._add_market(change)
            elif isinstance(change, EventChange):
                self._add_event(change)
            else:
                self._add_source(change)

    def frames(self) -> Iterator[bytes]:
        """One change a subject as fields of Changes, in the order of each subject's first change.

        What makes no net difference is left out, unless the market was suspended or gone
        meanwhile.
        """
        for entry in self._entries.values():
            last = entry.last
            if entry.count == 1:
                yield conflated_wire(last, 0, False)
            elif isinstance(last, MarketChange) and isinstance(entry.first, MarketChange):
                net = _net(entry.first, last, entry.suspended_meanwhile)
                if net is not None:
                    yield conflated_wire(net, entry.count, entry.suspended_meanwhile)
            else:
                yield conflated_wire(last, entry.count, False)

    def _add_market(self, change: MarketChange) -> None:
        key = change.event_id, change.source, change.bookmaker, change.after.key
        held = self._entries.get(key)
        if held is None:
            self._entries[key] = _Entry(change, change)
            self._markets.setdefault(change.event_id, set()).add(key)
            return
        if isinstance(held.last, MarketChange) and held.last.after.status is not MarketStatus.OPEN:
            held.suspended_meanwhile = True
        held.last = change
        held.count += 1

    def _add_event(self, change: EventChange) -> None:
        life = self._lives.get(change.event_id, 0)
        key = change.event_id, life
        ended = change.kind is ChangeKind.EVENT_ENDED
        if not (ended or change.reason == Reason.LEFT_FILTER):
            held = self._entries.get(key)
            if held is None:
                self._entries[key] = _Entry(change, change)
            else:  # it stays where it was, ahead of its markets, and an ADDED stays one
                kind = held.first.kind
                held.last = change if kind is change.kind else replace(change, kind=kind, wire=None)
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
            self._entries[key] = _Entry(change, change)
        elif not came_in_it:
            self._entries[key] = _Entry(held.first, change, held.count + 1)

    def _add_source(self, change: Change) -> None:
        held = self._entries.get(change.source)
        if held is None:
            self._entries[change.source] = _Entry(change, change)
        else:
            held.last = change
            held.count += 1


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
    return replace(last, kind=kind, before=before, wire=None)
