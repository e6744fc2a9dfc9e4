"""`odds-service runs`: the fetches of the sources."""

import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Annotated, Final

import typer

from odds_service.client import Address, connect, enum_word
from odds_service.client.requests import runs_request
from odds_service.commands.csv_cells import write_rows
from odds_service.commands.finding import CALL_S, known_sources, nothing_of
from odds_service.commands.options import (
    AsCsv,
    AsJson,
    Source,
    connection,
    one_form,
    output,
    takes,
    times,
)
from odds_service.commands.output import Cell, Column, Grid, Output
from odds_service.commands.text import age_text, tally
from odds_service.commands.times import Times, time_option
from odds_service.model.text import counted
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc

LIMIT: Final = 50
PAGE: Final = 1_000
NAMES_SHOWN: Final = 5
WIDE_FROM: Final = 120  # a narrower terminal gets no counts
COLUMNS: Final = (
    "started_at", "source", "listing", "duration_s", "outcome", "reason", "events", "markets",
    "changes", "problems",
)  # fmt: skip
STYLES: Final = {pb.RUN_OUTCOME_PARTIAL: "yellow", pb.RUN_OUTCOME_FAILED: "bold red"}


@takes(address=connection, out=output, shown=times)
def runs(
    *,
    source: Source = None,
    since: Annotated[
        datetime | None, time_option("Only runs that began at or after this time.")
    ] = None,
    until: Annotated[datetime | None, time_option("Only runs that began before this time.")] = None,
    limit: Annotated[
        int, typer.Option(min=0, help="The most runs to print, the newest first; 0 for all.")
    ] = LIMIT,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
    address: Address,
    out: Output,
    shown: Times,
) -> None:
    """List the fetches of the sources, the newest first."""
    one_form(as_csv=as_csv, as_json=as_json)
    with connect(address) as stub:
        listing = _Listing(stub, runs_request(source or (), since, until), limit)
        found = iter(listing)
        first = list(islice(found, 1))
        if not first and (source or since or until):
            otherwise = "no run of that span is kept"
            newest = stub.ListRuns(pb.ListRunsRequest(page_size=PAGE), timeout=CALL_S).runs
            known = known_sources(stub) | {run.source for run in newest}
            raise nothing_of(otherwise, ("source", source or (), known))
        _print(chain(first, found), out, shown, as_csv=as_csv, as_json=as_json)
    more = "; older ones are kept: see --limit" if listing.more else ""
    out.remark(counted(listing.found, "run") + more)


def _print(
    found: Iterable[pb.Run], out: Output, shown: Times, *, as_csv: bool, as_json: bool
) -> None:
    if as_json:
        for run in found:
            out.json(run)
    elif as_csv:
        write_rows(COLUMNS, map(_cells, found), sys.stdout)
    else:
        grid = _grid(found, shown, wide=not out.on_terminal or out.width >= WIDE_FROM)
        if grid.rows:
            out.grid(grid)


class _Listing:
    """Runs, fetched page by page as they are iterated over.

    Attributes:
        found: The number of runs so far.
        more: Whether older ones are left.
    """

    def __init__(
        self, stub: pb_grpc.OddsServiceStub, request: pb.ListRunsRequest, limit: int
    ) -> None:
        self._stub = stub
        self._request = request
        self._limit = limit
        self.found = 0
        self.more = False

    def __iter__(self) -> Iterator[pb.Run]:
        request = self._request
        while not self._limit or self.found < self._limit:
            request.page_size = min(self._limit - self.found, PAGE) if self._limit else PAGE
            page = self._stub.ListRuns(request, timeout=CALL_S)
            self.found += len(page.runs)
            self.more = bool(page.next_page_token)
            yield from page.runs
            if not self.more:
                return
            request.page_token = page.next_page_token


def _grid(found: Iterable[pb.Run], shown: Times, *, wide: bool) -> Grid:
    counts = ("events", "markets", "changes") if wide else ()
    grid = Grid(
        Column(name=f"began ({shown.zone})"),
        Column(name="source", folds=True),
        Column(name="listing", folds=True),
        Column(name="took", right=True),
        Column(name="outcome"),
        *(Column(name=name, right=True) for name in counts),
        Column(name="skipped, failed", folds=True),
    )
    for run in found:
        took_s = _duration_s(run)
        grid.add(
            shown.second(run.started_at.ToDatetime()),
            run.source,
            run.listing,
            "unknown" if took_s is None else _took(took_s),
            _outcome(run),
            *(f"{getattr(run, name):,}" for name in counts),
            ": ".join(part for part in (tally(run.problems, NAMES_SHOWN), run.reason) if part),
        )
    return grid


def _outcome(run: pb.Run) -> Cell:
    return _word(run), STYLES.get(run.outcome, "")


def _word(run: pb.Run) -> str:
    return enum_word(pb.RunOutcome.Name, run.outcome, "RUN_OUTCOME_")


def _duration_s(run: pb.Run) -> float | None:
    return run.duration.ToTimedelta().total_seconds() if run.HasField("duration") else None


def _took(seconds: float) -> str:
    return f"{seconds * 1_000:.0f} ms" if seconds < 1 else age_text(seconds)


def _cells(run: pb.Run) -> tuple[object, ...]:
    return (
        run.started_at.ToDatetime(UTC),
        run.source,
        run.listing,
        _duration_s(run),
        _word(run),
        run.reason,
        run.events,
        run.markets,
        run.changes,
        tally(run.problems, len(run.problems)),
    )
