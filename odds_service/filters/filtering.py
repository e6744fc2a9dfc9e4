"""Filtering of the log: changes that pass, and events that enter or leave a selection."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from msgspec.structs import replace

from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.model.change import (
    Change,
    ChangeKind,
    EventChange,
    MarketChange,
    Reason,
    SourceChange,
)
from odds_service.model.event import Event
from odds_service.model.market import Market, MarketKey, MarketStatus

Place = tuple[str, str, MarketKey]  # source, bookmaker, market of one event


ENTERED_FILTER: Final = "entered_filter"  # like Reason.LEFT_FILTER, occurs only in streams


class Captured(NamedTuple):
    """A market as of a revision, with its bookmaker's last snapshot at that revision."""

    market: Market
    snapshot_id: int


MarketsAt = Callable[[str, int], Mapping[Place, Captured]]  # (event id, revision) -> markets


class Selected(NamedTuple):
    """A change as a stream sends it.

    Attributes:
        joined: Whether it must share a message with the change before it, as the second half of a
            moved line or as a further change derived from the same change of the log.
    """

    change: Change
    joined: bool


def select(
    selection: Selection,
    changes: Iterable[Change],
    events: Mapping[str, Event],
    markets_at: MarketsAt,
) -> Iterator[Selected]:
    """Yield the selected changes among consecutive changes of the log.

    Args:
        selection: The changes to choose.
        changes: Consecutive changes of the log.
        events: The events that the changes concern, as of the revision before the first change;
            needed only if the selection is `by_event`.
        markets_at: Returns an event's markets as of a revision, after the change with it.
    """
    if selection is EVERYTHING:
        for change in changes:
            yield Selected(change, _completes_a_move(change))
        return
    known = dict(events)
    for change in changes:
        if isinstance(change, MarketChange):
            if not selection.takes_market(change):
                continue
            if selection.by_event:
                event = known.get(change.event_id)
                if event is None or not selection.takes_event(event):
                    continue
            elif not selection.takes_event_id(change.event_id):
                continue
            yield Selected(change, _completes_a_move(change))
        elif isinstance(change, SourceChange):
            if selection.takes_source(change.source):
                yield Selected(change, False)
        elif selection.takes_event_id(change.event_id):
            if change.kind is ChangeKind.EVENT_ENDED:
                known.pop(change.event_id, None)
            else:
                known[change.event_id] = change.after
            yield from _event_change(selection, change, markets_at)


def shown_changes(selection: Selection, changes: Iterable[Change]) -> Iterator[Change]:
    """Yield the changes of some events and sources that a caller may see, as it may see them.

    Unlike `select`, this does not follow events into and out of the selection.
    """
    for change in changes:
        if isinstance(change, MarketChange):
            if selection.takes_market(change):
                yield change
        elif isinstance(change, SourceChange):
            if selection.takes_source(change.source):
                yield change
        elif selection.takes_event(change.after) or (
            change.before is not None and selection.takes_event(change.before)
        ):
            shown = selection.shown_change(change)
            if not _is_hidden(change, shown):
                yield shown


def _completes_a_move(change: Change) -> bool:
    return change.kind is ChangeKind.ADDED and change.reason == Reason.LINE_MOVED


def _event_change(
    selection: Selection, change: EventChange, markets_at: MarketsAt
) -> Iterator[Selected]:
    was_in = change.before is not None and selection.takes_event(change.before)
    if change.kind is ChangeKind.EVENT_ENDED:
        if was_in:
            yield Selected(selection.shown_change(change), False)
        return
    is_in = selection.takes_event(change.after)
    if is_in and (was_in or change.before is None):
        shown = selection.shown_change(change)
        if not _is_hidden(change, shown):
            yield Selected(shown, False)
    elif is_in:
        markets = markets_at(change.event_id, change.revision)
        yield from _enter(selection, selection.shown_change(change), markets)
    elif was_in:
        markets = markets_at(change.event_id, change.revision)
        yield from _leave(selection, selection.shown_change(change), markets)


def _is_hidden(change: EventChange, shown: EventChange) -> bool:
    """Return whether a change concerns only sources that the caller may not see."""
    return shown is not change and not shown.source and shown.before == shown.after


def _enter(
    selection: Selection, change: EventChange, markets: Mapping[Place, Captured]
) -> Iterator[Selected]:
    """Yield the event as EVENT_ADDED, then each of its markets as ADDED."""
    yield Selected(replace(change, kind=ChangeKind.EVENT_ADDED), False)
    for place in sorted(markets):
        market, snapshot_id = markets[place]
        added = _market_change(
            change, ChangeKind.ADDED, place, snapshot_id, None, market, ENTERED_FILTER
        )
        if selection.takes_market(added):
            yield Selected(added, True)


def _leave(
    selection: Selection, change: EventChange, markets: Mapping[Place, Captured]
) -> Iterator[Selected]:
    """Yield each market as REMOVED, then the event as EVENT_UPDATED (left_filter)."""
    joined = False
    for place in sorted(markets):
        before, snapshot_id = markets[place]
        gone = Market(before.key, MarketStatus.REMOVED, (), change.revision, change.observed_at)
        left = Reason.LEFT_FILTER
        removed = _market_change(change, ChangeKind.REMOVED, place, snapshot_id, before, gone, left)
        if selection.takes_market(removed):
            yield Selected(removed, joined)
            joined = True
    yield Selected(replace(change, reason=Reason.LEFT_FILTER), joined)


def _market_change(
    change: EventChange,
    kind: ChangeKind,
    place: Place,
    snapshot_id: int,
    before: Market | None,
    after: Market,
    reason: str,
) -> MarketChange:
    source, bookmaker, _ = place
    return MarketChange(
        revision=change.revision,
        kind=kind,
        reason=reason,
        event_id=change.event_id,
        source=source,
        bookmaker=bookmaker,
        snapshot_id=snapshot_id,
        observed_at=change.observed_at,
        detected_at=change.detected_at,
        before=before,
        after=after,
    )
