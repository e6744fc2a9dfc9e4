"""Replies as tables and data frames.

What makes columns, with pyarrow, pandas and polars, is imported when it is asked for.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self, TypeAlias

from odds_service.client.values import ClosedEvent, HistoricalChange, Odds
from odds_service.errors import missing_extra
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

# Their libraries are not there for a type checker unless they are installed.
ArrowBatch: TypeAlias = Any
ArrowTable: TypeAlias = Any
PandasFrame: TypeAlias = Any
PolarsFrame: TypeAlias = Any


def pandas_frame(table: ArrowTable) -> PandasFrame:
    """Convert a table. Raises SettingsError, which names the extra."""
    try:
        import pandas as pd  # noqa: F401  # pyarrow finds it
    except ImportError:
        raise missing_extra("a data frame of pandas", "pandas") from None
    return table.to_pandas()


def polars_frame(table: ArrowTable) -> PolarsFrame:
    """Convert a table. Raises SettingsError, which names the extra."""
    try:
        import polars as pl
    except ImportError:
        raise missing_extra("a data frame of polars", "polars") from None
    return pl.from_arrow(table)


class Frames(ABC):
    """A mixin that gives a class with `to_arrow` its data frames."""

    @abstractmethod
    def to_arrow(self) -> ArrowTable:
        """Return a pyarrow.Table; docs/history-schema.md describes its columns.

        Raises:
            SettingsError: The extra `parquet` is not installed.
        """

    def to_pandas(self) -> PandasFrame:
        """Return a pandas.DataFrame with the columns of to_arrow(); needs the extra `pandas`."""
        return pandas_frame(self.to_arrow())

    def to_polars(self) -> PolarsFrame:
        """Return a polars.DataFrame with the columns of to_arrow(); needs the extra `polars`."""
        return polars_frame(self.to_arrow())


class StoredChanges(Frames):
    """Stored changes, to iterate over or to get as columns; both begin with the first."""

    def __init__(
        self, changes: Iterator[HistoricalChange], columns: Callable[[], ArrowTable]
    ) -> None:
        self._changes = changes
        self._columns = columns

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> HistoricalChange:
        return next(self._changes)

    def to_arrow(self) -> ArrowTable:
        """Return a pyarrow.Table with one row for each outcome of a change.

        Raises:
            ServiceError: The call failed.
            SettingsError: The extra `parquet` is not installed.
        """
        return self._columns()


class ClosedEvents(Frames):
    """Events with their closing odds, to iterate over or to get as columns, once."""

    def __init__(self, events: Iterable[ClosedEvent]) -> None:
        self._events = iter(events)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ClosedEvent:
        return next(self._events)

    def to_arrow(self) -> ArrowTable:
        """Return a pyarrow.Table with one row for each outcome; see Frames."""
        return closing_table(self._events)


class ClosedList(list[ClosedEvent], Frames):
    """A list of events with their closing odds, which can be had as columns."""

    def to_arrow(self) -> ArrowTable:
        """Return a pyarrow.Table with one row for each outcome; see Frames."""
        return closing_table(self)


def closing_table(events: Iterable[ClosedEvent]) -> ArrowTable:
    """Return closing odds as a table."""
    from odds_service.columns.arrow import arrow_schema, pyarrow
    from odds_service.columns.odds import CLOSING, odds_batch

    pa = pyarrow()
    batches = [
        odds_batch(CLOSING, [(closed.event, odds.market, odds) for odds in closed.odds])
        for closed in events
    ]
    return pa.Table.from_batches(batches, arrow_schema(CLOSING))


def current_table(odds: Odds) -> ArrowTable:
    """Return current odds as a table."""
    from odds_service.columns.arrow import arrow_schema, pyarrow
    from odds_service.columns.odds import CURRENT, odds_batch

    found = [
        (entry.event, market, told)
        for entry in odds.events.values()
        for told in entry.bookmakers.values()
        for market in told.markets.values()
    ]
    return pyarrow().Table.from_batches([odds_batch(CURRENT, found)], arrow_schema(CURRENT))


class Columns:
    """The columns in the pages of one history, also of one that goes on after a disconnect.

    Raises:
        SettingsError: The extra `parquet` is not installed.

    Attributes:
        schema: The Arrow schema of the batches.
    """

    def __init__(self) -> None:
        from odds_service.columns.arrow import arrow_schema, pyarrow
        from odds_service.columns.schema import PRICES

        self._pa = pyarrow()
        self.schema = arrow_schema(PRICES)
        self._held: list[Any] = []  # rows of a revision that the next page may complete

    def take(self, page: pb.HistoryPage) -> list[ArrowBatch]:
        """Return the rows up to a page's cursor that were not returned yet."""
        reader = self._pa.ipc.MessageReader.open_stream(self._pa.BufferReader(page.columns))
        for message in reader:
            if message.type == "schema":  # a stream begins; it brings again what was held
                self.schema = self._pa.ipc.read_schema(message)
                self._held.clear()
            else:
                self._held.append(self._pa.ipc.read_record_batch(message, self.schema))
        held, self._held = self._held, []
        whole = []
        for batch in held:
            if batch["revision"][-1].as_py() <= page.cursor.revision:
                whole.append(batch)
                continue
            done = self._pa.compute.less_equal(batch["revision"], page.cursor.revision)
            whole.append(batch.filter(done))
            self._held.append(batch.filter(self._pa.compute.invert(done)))
        return [batch for batch in whole if batch.num_rows]

    def table(self, batches: Iterable[ArrowBatch]) -> ArrowTable:
        """Return batches as a table."""
        return self._pa.Table.from_batches(batches, self.schema)
