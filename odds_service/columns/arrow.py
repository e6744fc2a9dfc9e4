"""Tables as Arrow schemas, and the one place that imports pyarrow."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from odds_service.columns.schema import Table, Type
from odds_service.errors import missing_extra

TABLE: Final = b"odds_service.table"  # key of a schema's metadata: the name of its table


def pyarrow() -> Any:
    """Import pyarrow. Raises SettingsError, which names the extra."""
    try:
        import pyarrow as pa
        import pyarrow.compute  # an attribute of pyarrow from here on
    except ImportError:
        raise missing_extra("history as columns", "parquet") from None
    return pa


def arrow_type(kind: Type) -> Any:
    """Return the Arrow type of a column."""
    pa = pyarrow()
    made = {"time": lambda: pa.timestamp("us", tz="UTC"), "bool": pa.bool_, "string": pa.string}
    return made[kind]() if kind in made else getattr(pa, kind)()


def batch_of(table: Table, cells: Mapping[str, Sequence[Any]]) -> Any:
    """Return a RecordBatch of a table from the values of its columns."""
    pa, schema = pyarrow(), arrow_schema(table)
    arrays = [pa.array(cells[field.name], field.type) for field in schema]
    return pa.record_batch(arrays, schema=schema)


@cache
def arrow_schema(table: Table) -> Any:
    """Return the Arrow schema of a table."""
    fields = [(column.name, arrow_type(column.type)) for column in table.columns]
    return pyarrow().schema(fields, metadata={TABLE: table.name.encode()})
