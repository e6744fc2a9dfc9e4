"""Odds at one time as columns: current and closing odds, with their events spread out."""

import enum
from collections.abc import Iterable
from typing import Any, Final

from odds_service.columns.arrow import batch_of
from odds_service.columns.schema import Table, Type, table
from odds_service.model.event import Event
from odds_service.model.market import Market

_OF_EVENT: Final[dict[str, Type]] = {
    "event_id": "string",
    "sport": "string",
    "competition": "string",
    "home": "string",
    "away": "string",
    "title": "string",
    "start_time": "time",
}
_OF_OUTCOME: Final[dict[str, Type]] = {
    "market": "string",
    "line": "float64",
    "participant": "string",
    "outcome": "string",
    "outcome_name": "string",
    "price": "float64",
    "active": "bool",
    "status": "string",
    "changed_at": "time",
    "revision": "int64",
}


def odds_table(name: str, **told: Type) -> Table:
    """Return a table with one row for each outcome.

    Args:
        name: The name of the table.
        told: The columns that are told of a bookmaker's market, with their types.
    """
    return table(name, **_OF_EVENT, source="string", bookmaker="string", **_OF_OUTCOME, **told)


CLOSING: Final = odds_table(
    "closing",
    confirmed_at="time",
    at_start="string",
    looked_at="time",
    offered="bool",
    opening_price="float64",
    opened_at="time",
)
OPENING: Final = odds_table("opening")
CURRENT: Final = odds_table("odds", observed_at="time", confirmed_at="time", stale="bool")


def odds_batch(into: Table, found: Iterable[tuple[Event, Market, object]]) -> Any:
    """Return a RecordBatch of odds.

    Args:
        into: The table.
        found: Each market with its event and with an object whose attributes are the columns that
            are told of it; one that it lacks is null.
    """
    told = [name for name in into.names if name not in _OF_EVENT and name not in _OF_OUTCOME]
    cells: dict[str, list[Any]] = {name: [] for name in into.names}
    for event, market, odds in found:
        shared = {
            "event_id": event.id,
            "sport": event.sport or None,
            "competition": event.competition or None,
            "home": event.home or None,
            "away": event.away or None,
            "title": event.title or None,
            "start_time": event.start_time,
            "market": market.key.market,
            "line": float(market.key.line) if market.key.line else None,
            "participant": market.key.participant or None,
            "status": market.status.name.lower(),
            "changed_at": market.changed_at,
            "revision": market.revision,
        }
        opening: Market | None = getattr(odds, "opening", None)
        opened_at = None if opening is None else opening.changed_at
        opened_prices = {each.key: each.price for each in opening.outcomes} if opening else {}
        for name in told:
            value = opened_at if name == "opened_at" else getattr(odds, name, None)
            shared[name] = value.name.lower() if isinstance(value, enum.Enum) else value
        for outcome in market.outcomes:
            values = shared | {
                "outcome": outcome.key,
                "outcome_name": outcome.name,
                "price": outcome.price,
                "opening_price": opened_prices.get(outcome.key),
                "active": outcome.active,
            }
            for name, listed in cells.items():
                listed.append(values[name])
    return batch_of(into, cells)
