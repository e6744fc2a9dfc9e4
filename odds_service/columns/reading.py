"""The log read page by page as columns, with bounded memory."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from odds_service.columns.prices import PriceColumns
from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.filters.stored import filter_of
from odds_service.store import HistoryFilter, LogRows

PAGE_ROWS: Final = 5_000  # rows of the log that a reader holds at once; more cost more CPU each
# The most revisions that one query scans, so that a narrow filter still sees regular progress.
STRETCH_REVISIONS: Final = 200_000

T = TypeVar("T")


class RowStore(Protocol):
    """The part of store.Store that columns are made from."""

    async def log_rows(
        self, after: int, upto: int, limit: int, only: HistoryFilter = ...
    ) -> LogRows: ...

    async def event_texts(self, event_ids: Sequence[str], revision: int) -> dict[str, str]: ...


class Page(NamedTuple):
    """Columns of the rows with after < revision <= upto; `batch` is an Arrow RecordBatch."""

    batch: Any
    after: int
    upto: int


class ColumnReader:
    """A reader of PRICES from a place in the log on, each row once and in order.

    Args:
        store: The store.
        ask: Awaits a function of the store.
        in_thread: Runs blocking work in a thread, so that no loop waits for it.
        after: The revision after which to begin.
        selection: The rows to choose.
        page_rows: The most rows of the log to hold at once.

    Raises:
        SettingsError: The extra `parquet` is not installed.
    """

    def __init__(
        self,
        store: RowStore,
        ask: Callable[..., Awaitable[Any]],
        in_thread: Callable[..., Awaitable[Any]],
        after: int,
        selection: Selection = EVERYTHING,
        page_rows: int = PAGE_ROWS,
    ) -> None:
        self._store = store
        self._ask = ask
        self._in_thread = in_thread
        self._columns = PriceColumns(selection)
        self._only = filter_of(selection)
        self._after = after
        self._page_rows = page_rows

    async def next_page(self, upto: int) -> Page:
        """Return the next page, which may hold no rows.

        Args:
            upto: The last revision wanted; it must be durable and not reached yet.

        Raises:
            BelowFloor: Retention has overtaken the reader.
        """
        after = self._after
        upto = min(upto, after + STRETCH_REVISIONS)
        store, columns = self._store, self._columns
        found: LogRows = await self._ask(store.log_rows, after, upto, self._page_rows, self._only)
        unknown = columns.unknown(found.rows)
        if unknown:
            columns.describe(unknown, await self._ask(store.event_texts, unknown, after))
        batch = await self._in_thread(columns.batch, found.rows)
        self._after = found.upto
        return Page(batch, after, found.upto)
