"""Closing odds as columns: whatever a store tells of them, and the event beside it."""

import enum
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

from odds_service.columns.arrow import arrow_schema, pyarrow
from odds_service.columns.schema import Column, Table, Type
from odds_service.model.event import Event
from odds_service.store import ClosingOdds

_OF_EVENT: Final = ("sport", "competition", "home", "away", "title")
_OF_OUTCOME: Final[dict[str, Type]] = {
    "market": "string",
    "line": "float64",
    "participant": "string",
    "outcome": "string",
    "outcome_name": "string",
    "price": "float64",
    "active": "bool",
    "changed_at": "time",
    "revision": "int64",
}
_TYPES: Final[dict[Any, Type]] = {
    datetime: "time", bool: "bool", int: "int64", float: "float64", str: "string"
}  # fmt: skip


def _type_of(hint: Any) -> Type:
    """Return the type of a column for a field."""
    if get_origin(hint) is UnionType:
        (hint,) = [each for each in get_args(hint) if each is not NoneType]
    return "string" if issubclass(hint, enum.Enum) else _TYPES[hint]


def odds_table(name: str, kind: type) -> Table:
    """Return the table of a kind of odds: its fields, with an event and a market spread out."""
    columns: list[Column] = []
    for field, hint in get_type_hints(kind).items():
        if field == "market":
            columns += [Column(each, of) for each, of in _OF_OUTCOME.items()]
            continue
        columns.append(Column(field, _type_of(hint)))
        if field == "event_id":
            columns += [Column(each, "string") for each in _OF_EVENT]
    return Table(name, tuple(columns))


CLOSING: Final = odds_table("closing", ClosingOdds)


def odds_batch(table: Table, found: Sequence[Any], events: Mapping[str, Event]) -> Any:
    """Return a RecordBatch with one row for each outcome of odds.

    Args:
        table: What odds_table() gave for their kind.
        found: The odds.
        events: Their events by id.
    """
    cells: dict[str, list[Any]] = {name: [] for name in table.names}
    for odds in found:
        event, market = events[odds.event_id], odds.market
        shared = {
            name: getattr(odds, name) for name in odds.__struct_fields__ if name != "market"
        } | {name: getattr(event, name) or None for name in _OF_EVENT}
        shared = {
            name: value.name.lower() if isinstance(value, enum.Enum) else value
            for name, value in shared.items()
        }
        for outcome in market.outcomes:
            values = shared | {
                "market": market.key.market,
                "line": float(market.key.line) if market.key.line else None,
                "participant": market.key.participant or None,
                "outcome": outcome.key,
                "outcome_name": outcome.name,
                "price": outcome.price,
                "active": outcome.active,
                "changed_at": market.changed_at,
                "revision": market.revision,
            }
            for name, listed in cells.items():
                listed.append(values[name])
    pa, schema = pyarrow(), arrow_schema(table)
    arrays = [pa.array(cells[field.name], field.type) for field in schema]
    return pa.record_batch(arrays, schema=schema)
