"""Rows of the tables of history, folded from changes one by one: what columns must agree with."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from odds_service.columns.schema import OUTAGES, PRICES
from odds_service.model.change import Change, ChangeKind, EventChange, MarketChange, SourceChange
from odds_service.model.event import Event
from odds_service.model.market import Market, MarketKey, MarketStatus

Cells = dict[str, Any]

_STATES: Final = {
    ChangeKind.SOURCE_UP: "up", ChangeKind.SOURCE_STALE: "stale", ChangeKind.SOURCE_DOWN: "down"
}  # fmt: skip


def price_rows(changes: Iterable[Change]) -> list[Cells]:
    """Return the rows of PRICES for a whole log, in the order of revisions and outcomes."""
    events: dict[str, Event] = {}
    found: list[Cells] = []
    for change in changes:
        if isinstance(change, EventChange):
            events[change.event_id] = change.after
            for odds in change.ended:
                for key, market in odds.markets.items():
                    place = (odds.source, odds.bookmaker, key, odds.snapshot_id)
                    found += _market(change, change.after, place, market, None, None)
        elif isinstance(change, MarketChange):
            place = (change.source, change.bookmaker, change.after.key, change.snapshot_id)
            event = events[change.event_id]
            found += _market(change, event, place, change.before, change.after, change.other_line)
    return sorted(found, key=row_order)


def row_order(row: Cells) -> tuple[Any, ...]:
    names = ("source", "bookmaker", "market", "line", "participant", "outcome")
    return (row["revision"], *(str(row[name]) for name in names))


def _market(
    change: EventChange | MarketChange,
    event: Event,
    place: tuple[str, str, MarketKey, int],
    before: Market | None,
    after: Market | None,
    other_line: str | None,
) -> Iterator[Cells]:
    source, bookmaker, key, snapshot_id = place
    old = {each.key: each for each in before.outcomes} if before else {}
    new = {each.key: each for each in after.outcomes} if after else {}
    shared = {
        "revision": change.revision,
        "observed_at": change.observed_at,
        "detected_at": change.detected_at,
        "source_updated_at": after.source_updated_at if after else None,
        "kind": change.kind.name.lower(),
        "reason": change.reason or None,
        "event_id": event.id,
        "sport": event.sport,
        "competition": event.competition,
        "home": event.home or None,
        "away": event.away or None,
        "title": event.title or None,
        "start_time": event.start_time,
        "seconds_to_start": (event.start_time - change.observed_at).total_seconds(),
        "source": source,
        "bookmaker": bookmaker,
        "market": key.market,
        "line": float(key.line) if key.line else None,
        "participant": key.participant or None,
        "status_before": before.status.name.lower() if before else None,
        "status_after": (after.status if after else MarketStatus.REMOVED).name.lower(),
        "other_line": float(other_line) if other_line else None,
        "snapshot_id": snapshot_id or None,
    }
    for outcome in old | new:
        was, now = old.get(outcome), new.get(outcome)
        cells = shared | {
            "outcome": outcome,
            "outcome_name": (now or was).name,  # type: ignore[union-attr]  # one of them is there
            "price_before": was.price if was else None,
            "price_after": now.price if now else None,
            "active_before": was.active if was else None,
            "active_after": now.active if now else None,
        }
        yield {name: cells[name] for name in PRICES.names}


def outage_rows(changes: Iterable[Change]) -> list[Cells]:
    """Return the rows of OUTAGES for a log."""
    found = []
    for change in changes:
        if isinstance(change, SourceChange):
            announced = change.before.announced if change.before else None
            cells = {
                "revision": change.revision,
                "observed_at": change.observed_at,
                "detected_at": change.detected_at,
                "source": change.source,
                "status_before": announced.name.lower() if announced else None,
                "status_after": _STATES[change.kind],
                "reason": change.after.reason or None,
                "detail": change.after.detail or None,
                "failures": change.after.consecutive_failures,
                "last_success_at": change.after.last_success_at,
            }
            found.append({name: cells[name] for name in OUTAGES.names})
    return found
