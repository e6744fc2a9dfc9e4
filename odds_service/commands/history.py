"""`odds-service history`: stored changes as text, files or charts, and closing odds."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from odds_service.client import (
    Address,
    Cursor,
    Filter,
    ServiceError,
    SyncClient,
    closing_request,
    connect,
    open_sync_client,
)
from odds_service.columns.new_files import new_file
from odds_service.commands.change_lines import ChangeLines
from odds_service.commands.chart_png import draw
from odds_service.commands.chart_text import chart_lines
from odds_service.commands.exporting import WRITERS, write_batches
from odds_service.commands.finding import NothingMatches, explain_nothing, resolved
from odds_service.commands.odds_table import heading
from odds_service.commands.options import (
    LOG_PLACE,
    AsJson,
    LogPlace,
    connection,
    log_place,
    output,
    selection,
    takes,
    times,
)
from odds_service.commands.output import Column, Grid, Output
from odds_service.commands.price_series import Collector, PriceHistory
from odds_service.commands.prices import Format, OddsFormat, Prices, prices_in
from odds_service.commands.progress import counting
from odds_service.commands.text import age_text, key_text, outcome_name
from odds_service.commands.times import Times
from odds_service.model.price import canonical_line
from odds_service.model.text import counted
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

TERMINAL: Final = "-"
AT_START: Final = {pb.AT_START_OFFERED: "open", pb.AT_START_NOT_OFFERED: "withdrawn"}


@takes(address=connection, where=selection, out=output, shown=times)
def history(
    *,
    since: Annotated[
        LogPlace | None,
        typer.Option(
            parser=log_place,
            metavar=LOG_PLACE,
            help="Begin at this time or after this cursor; default: the oldest.",
        ),
    ] = None,
    until: Annotated[
        LogPlace | None,
        typer.Option(
            parser=log_place,
            metavar=LOG_PLACE,
            help="Stop before this time or at this cursor; default: the newest.",
        ),
    ] = None,
    export_to: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="Write a new .parquet, .arrow or .csv."),
    ] = None,
    closing: Annotated[
        bool,
        typer.Option("--closing", help="Instead of changes: the last open odds before each start."),
    ] = False,
    chart: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|-",
            help="Draw one market of one --event over time: a PNG, or - for the terminal.",
        ),
    ] = None,
    line: Annotated[
        float | None, typer.Option(help="Line of the market in the chart, if there are several.")
    ] = None,
    participant: Annotated[
        str | None, typer.Option(help="Participant of the market, if there are several.")
    ] = None,
    outcome: Annotated[
        str | None, typer.Option(help="Only this outcome in the chart; default: all.")
    ] = None,
    odds_format: Format = OddsFormat.DECIMAL,
    as_json: AsJson = False,
    address: Address,
    where: Filter,
    out: Output,
    shown: Times,
) -> None:
    """Print, export or draw stored changes in order, or print closing odds."""
    if (export_to is not None) + closing + (chart is not None) > 1:
        raise typer.BadParameter("give one of --export, --closing and --chart")
    start, end = since.at if since else None, until.at if until else None
    prices = Prices(odds_format)
    if closing and (start is not None or end is not None):
        raise typer.BadParameter("closing odds are chosen by --start-from and --start-to")
    if chart is not None:
        _check_chart(chart, where)
    if export_to is not None and export_to.suffix.lower() not in WRITERS:
        raise typer.BadParameter(f"{export_to} ends in none of {', '.join(WRITERS)}")
    with connect(address) as stub:
        where = resolved(stub, where, past=True)
    if closing:
        _print_closing(address, where, as_json, prices, out, shown)
    elif chart is not None:
        collector = Collector(
            where.markets[0], None if line is None else canonical_line(line), participant
        )
        _draw(_collected(address, where, start, end, collector, outcome), chart, out, shown)
    elif export_to is not None:
        with open_sync_client(address) as client:
            place = _Place(start, _last_revision(client, end))
            with counting("revisions", out, place.of) as count:
                batches = count(client.history_batches(where, start=start, end=end))
                rows = write_batches(batches, export_to)
        out.remark(f"{counted(rows, 'row')} in {export_to}")
    else:
        _print_changes(address, where, (start, end), prices, as_json, out, shown)


class _Place:
    """The place of a batch between the first revision and the last one, if that is known."""

    def __init__(self, start: Cursor | datetime | None, last: int | None) -> None:
        self._before = start.revision if isinstance(start, Cursor) else None
        self._last = last

    def of(self, batch: Any) -> tuple[int, int | None]:
        """Return the revisions up to the end of a batch, and all of them."""
        if self._before is None:
            self._before = batch["revision"][0].as_py() - 1
        last = self._last
        reached = batch["revision"][-1].as_py()
        return reached - self._before, None if last is None else last - self._before


def _last_revision(client: SyncClient, end: Cursor | datetime | None) -> int | None:
    """Return the revision at which the history ends; None if that cannot be told yet."""
    if end is not None:
        return end.revision if isinstance(end, Cursor) else None
    try:
        return client.status().durable_revision
    except ServiceError:  # the token may not ask for it
        return None


def _print_changes(
    address: Address,
    where: Filter,
    span: tuple[Cursor | datetime | None, Cursor | datetime | None],
    prices: Prices,
    as_json: bool,
    out: Output,
    shown: Times,
) -> None:
    with open_sync_client(address) as client:
        names = {} if as_json else _names(client, where)
        lines = ChangeLines(
            shown, prices, lambda event_id: names.get(event_id, event_id),
            days=True, aligned=out.on_terminal,
        )  # fmt: skip
        found = False
        for page in client.history_pages(where, start=span[0], end=span[1]):
            for change in page.changes:
                if as_json:
                    out.json(change)
                else:
                    if not found:
                        out.remark(f"times in {shown.zone}")
                    if change.HasField("event"):
                        names[change.event_id] = change.event.name
                    out.parts(*lines.change(change))
                found = True
    if not found:
        _say_nothing(address, where, "no stored changes", out)


def _say_nothing(address: Address, where: Filter, text: str, out: Output) -> None:
    """Say that nothing was found; raise NothingMatches if the selection names what is unknown."""
    if where != Filter():
        with connect(address) as stub:
            found = explain_nothing(stub, where)
        if "no " in str(found).partition(": ")[2] and not where.event_ids:
            raise found
        raise NothingMatches(f"{text} match")
    out.remark(text)


def _names(client: SyncClient, where: Filter) -> dict[str, str]:
    """Return the names of current events by id; the log itself names the ended ones."""
    listed = client.list_events(where)
    return {each.event.id: each.event.name for each in listed}


def _print_closing(
    address: Address, where: Filter, as_json: bool, prices: Prices, out: Output, shown: Times
) -> None:
    found = False
    with connect(address) as stub:
        for page in stub.GetClosingOdds(closing_request(where)):
            for entry in page.events:
                found = True
                if as_json:
                    out.json(entry)
                    continue
                out.line(heading(entry.event, shown), style="bold")
                out.grid(_closing_grid(entry, prices))
    if not found:
        _say_nothing(address, where, "no closing odds of events that have started", out)


def _closing_grid(closed: pb.ClosedEvent, prices: Prices) -> Grid:
    """Return a table of the last open odds of each market and bookmaker."""
    grid = Grid(
        Column(name="market", folds=True),
        Column(name="bookmaker", folds=True),
        Column(name="opening odds", folds=True),
        Column(name="closing odds", folds=True),
        Column(name="last seen", right=True),
        Column(name="then"),
    )
    form = prices.telling_apart(_compared(closed))
    for odds in sorted(closed.odds, key=_place):
        age_s = odds.age.ToTimedelta().total_seconds()
        grid.add(
            key_text(odds.market.key),
            odds.bookmaker,
            _outcomes(closed, odds.opening, form),
            _outcomes(closed, odds.market, form),
            f"{age_text(age_s)} before" if age_s >= 1 else "at the start",
            AT_START.get(odds.at_start, "not known"),
        )
    return grid


def _place(odds: pb.ClosingOdds) -> tuple[str, float, str, str]:
    """Return the key of a row's place: lines are sorted as numbers."""
    key = odds.market.key
    return key.market, key.line, key.participant, odds.bookmaker


def _outcomes(closed: pb.ClosedEvent, market: pb.Market, form: Prices) -> str:
    return "  ".join(
        f"{outcome_name(closed.event, each.key)} {form.outcome(each)}" for each in market.outcomes
    )


def _compared(closed: pb.ClosedEvent) -> Iterator[set[float]]:
    """Yield the prices of each outcome over all bookmakers, which a reader compares."""
    found: dict[tuple[str, str], set[float]] = {}
    for odds in closed.odds:
        for market in (odds.opening, odds.market):
            for key, prices in prices_in(market).items():
                found.setdefault((key_text(odds.market.key), key), set()).update(prices)
    yield from found.values()


def _check_chart(chart: str, where: Filter) -> None:
    if len(where.event_ids) != 1 or len(where.markets) != 1:
        raise typer.BadParameter("a chart is of one market: give one --event and one --market")
    if chart != TERMINAL and Path(chart).suffix.lower() != ".png":
        raise typer.BadParameter(f"{chart} does not end in .png")


def _collected(
    address: Address,
    where: Filter,
    start: Cursor | datetime | None,
    end: Cursor | datetime | None,
    collector: Collector,
    outcome: str | None,
) -> PriceHistory:
    """Read the history of one market.

    Raises:
        OddsServiceError: The call failed, or there is no such market in the span, or several.
    """
    with open_sync_client(address) as client:
        if isinstance(start, datetime):
            collector.begin(start, client.get_odds(where, as_of=start))
        collector.take(client.history(where, start=start, end=end))
        last = end if isinstance(end, datetime) else None
        if end is None and _is_listed(client, where):
            last = datetime.now(UTC)  # the last prices still hold
    return collector.history(last, outcome)


def _is_listed(client: SyncClient, where: Filter) -> bool:
    return any(client.list_events(Filter(event_ids=where.event_ids)))


def _draw(history: PriceHistory, chart: str, out: Output, shown: Times) -> None:
    if chart == TERMINAL:
        for line in chart_lines(history, out.width, shown):
            out.parts(*line)
        return
    with new_file(Path(chart)) as file:
        draw(history, file)
