"""Many changes as few: per market one, from its first `before` to its last `after`."""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from odds_service.model.change import Change, ChangeKind, EventChange, MarketChange, Reason
from odds_service.model.market import MarketKey, MarketStatus, same_prices
from odds_service.rpc.encode import conflated_wire

_Key: TypeAlias = tuple[str, int] | tuple[str, str, str, MarketKey] | str


class _Entry(Struct):
    """What a window has of one subject: its first and last change, and what lay between."""

    first: Change
    last: Change
    count: int = 1
    suspended_meanwhile: bool = False


def conflate(changes: Iterable[Change]) -> Iterator[bytes]:
    """Changes of a window as fields of Changes, in the order of each subject's first change.

    What makes no net difference is left out, unless the market was suspended or gone meanwhile.
    """
    for entry in _fold(changes).values():
        if entry.count == 1:
            yield conflated_wire(entry.last, 0, False)
            continue
        last = entry.last
        if isinstance(last, MarketChange) and isinstance(entry.first, MarketChange):
            net = _net(entry.first, last, entry.suspended_meanwhile)
            if net is not None:
                yield conflated_wire(net, entry.count, entry.suspended_meanwhile)
        else:
            yield conflated_wire(last, entry.count, False)


def _fold(changes: Iterable[Change]) -> dict[_Key, _Entry]:
    entries: dict[_Key, _Entry] = {}
    lives: dict[str, int] = {}  # of an event: it may end, and be there again, within a window
    markets: dict[str, set[_Key]] = {}
    for change in changes:
        if isinstance(change, MarketChange):
            key: _Key = (change.event_id, change.source, change.bookmaker, change.after.key)
            markets.setdefault(change.event_id, set()).add(key)
            _add_market(entries, key, change)
        elif isinstance(change, EventChange):
            life = lives.setdefault(change.event_id, 0)
            ends = change.kind is ChangeKind.EVENT_ENDED or change.reason == Reason.LEFT_FILTER
            if change.kind is ChangeKind.EVENT_ENDED:
                for gone in markets.pop(change.event_id, ()):
                    entries.pop(gone, None)
            _add_event(entries, (change.event_id, life), change, ends)
            if ends:
                lives[change.event_id] = life + 1
        else:
            held = entries.get(change.source)
            entries[change.source] = (
                _Entry(change, change)
                if held is None
                else _Entry(held.first, change, held.count + 1)
            )
    return entries


def _add_market(entries: dict[_Key, _Entry], key: _Key, change: MarketChange) -> None:
    held = entries.get(key)
    if held is None:
        entries[key] = _Entry(change, change)
        return
    if isinstance(held.last, MarketChange) and held.last.after.status is not MarketStatus.OPEN:
        held.suspended_meanwhile = True
    held.last = change
    held.count += 1


def _add_event(entries: dict[_Key, _Entry], key: _Key, change: EventChange, ends: bool) -> None:
    held = entries.pop(key, None) if ends else entries.get(key)
    if held is None:
        entries[key] = _Entry(change, change)
    elif not ends:
        # It stays where it was, ahead of its markets, and an ADDED stays one.
        kind = held.first.kind
        held.last = change if kind is change.kind else replace(change, kind=kind, wire=None)
        held.count += 1
    elif held.first.kind is not ChangeKind.EVENT_ADDED:
        entries[key] = _Entry(held.first, change, held.count + 1)


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
