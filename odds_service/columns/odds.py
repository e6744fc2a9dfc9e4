"""Odds at one time as columns: current and closing odds, with their events spread out."""

import enum
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

from odds_service.columns.arrow import arrow_schema, pyarrow
from odds_service.columns.schema import Column, Table, Type
from odds_service.model.event import Event
from odds_service.model.market import Market
from odds_service.store import ClosingOdds

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
_TYPES: Final[dict[Any, Type]] = {
    datetime: "time", bool: "bool", int: "int64", float: "float64", str: "string"
}  # fmt: skip


def odds_table(name: str, told: Mapping[str, Type]) -> Table:
    """Return a table with one row for each outcome.

    Args:
        name: The name of the table.
        told: The columns that are told of a bookmaker's market, with their types.
    """
    types = _OF_EVENT | {"source": "string", "bookmaker": "string"} | _OF_OUTCOME | dict(told)
    return Table(name, tuple(Column(each, kind) for each, kind in types.items()))


def _fields_of(kind: type) -> dict[str, Type]:
    """Return the fields of a struct with their types, without its markets."""
    found: dict[str, Type] = {}
    for field, hint in get_type_hints(kind).items():
        if field in ("market", "opening"):
            continue
        if get_origin(hint) is UnionType:
            (hint,) = [each for each in get_args(hint) if each is not NoneType]
        found[field] = "string" if issubclass(hint, enum.Enum) else _TYPES[hint]
    return found


# Whatever a store tells of closing odds becomes a column.
CLOSING: Final = odds_table(
    "closing",
    {
        **_fields_of(ClosingOdds),
        "offered": "bool",
        "opening_price": "float64",
        "opened_at": "time",
    },
)
CURRENT: Final = odds_table(
    "odds", {"observed_at": "time", "confirmed_at": "time", "stale": "bool"}
)


def odds_batch(table: Table, found: Iterable[tuple[Event, Market, object]]) -> Any:
    """Return a RecordBatch of odds.

    Args:
        table: The table.
        found: Each market with its event and with an object whose attributes are the columns that
            are told of it; one that it lacks is null.
    """
    told = [name for name in table.names if name not in _OF_EVENT and name not in _OF_OUTCOME]
    cells: dict[str, list[Any]] = {name: [] for name in table.names}
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
    pa, schema = pyarrow(), arrow_schema(table)
    arrays = [pa.array(cells[field.name], field.type) for field in schema]
    return pa.record_batch(arrays, schema=schema)
