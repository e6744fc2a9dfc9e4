"""The columns of each table; docs/history-schema.md describes them for readers.

The SQL views `odds_prices` and `source_outages` have the columns of PRICES and OUTAGES.
"""

from typing import Final, Literal

from msgspec import Struct

Type = Literal["int64", "float64", "string", "bool", "time"]


class Column(Struct, frozen=True):
    """A column by its name, with its type. A value that does not apply is null."""

    name: str
    type: Type


class Table(Struct, frozen=True):
    """A table by its name, with its columns in order."""

    name: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]


def table(name: str, **types: Type) -> Table:
    """Return a table with columns of these names and types."""
    return Table(name, tuple(Column(each, kind) for each, kind in types.items()))


# One row for each outcome of a market before or after a change, in the order of revisions.
PRICES: Final = table(
    "prices",
    revision="int64",
    observed_at="time",
    detected_at="time",
    source_updated_at="time",
    kind="string",
    reason="string",
    event_id="string",
    sport="string",
    competition="string",
    home="string",
    away="string",
    title="string",
    start_time="time",
    seconds_to_start="float64",
    source="string",
    bookmaker="string",
    market="string",
    line="float64",
    participant="string",
    outcome="string",
    outcome_name="string",
    price_before="float64",
    price_after="float64",
    active_before="bool",
    active_after="bool",
    status_before="string",
    status_after="string",
    other_line="float64",
    snapshot_id="int64",
)

# One row for each change of a source's state.
OUTAGES: Final = table(
    "outages",
    revision="int64",
    observed_at="time",
    detected_at="time",
    source="string",
    status_before="string",
    status_after="string",
    reason="string",
    detail="string",
    failures="int64",
    last_success_at="time",
)
