"""Parts of the log: what one transaction writes, and what a read selects and returns."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct

from odds_service.model.change import Change, Commit
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.snapshot import BookmakerOdds


class WriteGroup(Struct):
    """The content of one transaction: consecutive commits, and records that need no order."""

    batches: Sequence[Commit] = ()
    confirmations: Sequence[BookmakerOdds] = ()
    runs: Sequence[ScrapeRun] = ()

    @property
    def last_revision(self) -> int | None:
        return self.batches[-1].last_revision if self.batches else None


class HistoryFilter(Struct, frozen=True, kw_only=True):
    """A selection of changes by the rules of the contract's Filter; empty fields do not restrict.

    Changes of events ignore the fields bookmakers, markets and sources; changes of sources obey
    only `sources`.

    Attributes:
        of_markets: False leaves out changes of markets.
        ended: False leaves out the odds that an event's end carries, which can fill megabytes per
            page.
    """

    event_ids: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    bookmakers: frozenset[str] = frozenset()
    markets: frozenset[str] = frozenset()
    of_markets: bool = True
    ended: bool = True


class HistoryPage(Struct, frozen=True):
    """A part of the log, in order.

    Attributes:
        changes: the selected changes.
        upto: revision up to which the page holds every selected change.
        unstored: revisions of changes that the database refused; the filter might have selected
            them or not.
    """

    changes: list[Change]
    upto: int
    unstored: list[int]


# The columns of LogRows, named as in odds_history.
LOG_COLUMNS: Final = (
    "revision", "detected_at", "kind", "reason", "event_id", "source", "bookmaker", "market",
    "line", "participant", "snapshot_id", "observed_at", "before", "after", "other_line", "ended",
)  # fmt: skip


class LogRows(NamedTuple):
    """A part of the log as stored rows, in order, for readers that need no values.

    Attributes:
        rows: the selected rows, with LOG_COLUMNS. Times are datetimes, or microseconds since 1970.
        upto: revision up to which these are all selected rows.
    """

    rows: Sequence[Sequence[Any]]
    upto: int


class Extent(Struct, frozen=True):
    """The log of a database: revisions with floor < revision <= durable."""

    database_id: str
    floor: int
    durable: int
