"""`odds-service history`: stored changes as text, files or charts, and closing odds."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from odds_service.client import (
    Address,
    ClosedEvent,
    Cursor,
    Filter,
    SyncClient,
    closing_request,
    connect,
    json_line,
    open_sync_client,
)
from odds_service.commands.chart_png import draw
from odds_service.commands.chart_text import chart_lines
from odds_service.commands.exporting import WRITERS, export, new_file
from odds_service.commands.options import (
    LOG_PLACE,
    AsJson,
    LogPlace,
    connection,
    log_place,
    selection,
    takes,
)
from odds_service.commands.price_series import Collector, PriceHistory
from odds_service.commands.text import age_text, change_text, market_key_text, outcomes_text
from odds_service.model.price import canonical_line

TERMINAL: Final = "-"


@takes(address=connection, where=selection)
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
        typer.Option("--export", metavar="FILE", help="Write FILE.csv or FILE.parquet."),
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
    as_json: AsJson = False,
    address: Address,
    where: Filter,
) -> None:
    """Print, export or draw stored changes in order, or print closing odds."""
    if (export_to is not None) + closing + (chart is not None) > 1:
        raise typer.BadParameter("give one of --export, --closing and --chart")
    start, end = since.at if since else None, until.at if until else None
    if closing:
        if start is not None or end is not None:
            raise typer.BadParameter("closing odds are chosen by --start-from and --start-to")
        _print_closing(address, where, as_json)
    elif chart is not None:
        _check_chart(chart, where)
        collector = Collector(
            where.markets[0], None if line is None else canonical_line(line), participant
        )
        _draw(_collected(address, where, start, end, collector, outcome), chart)
    elif export_to is not None:
        if export_to.suffix.lower() not in WRITERS:
            raise typer.BadParameter(f"{export_to} ends neither in {' nor in '.join(WRITERS)}")
        with open_sync_client(address) as client:
            count = export(client.history(where, start=start, end=end), export_to)
        _say(f"{count} rows in {export_to}")
    else:
        _print_changes(address, where, start, end, as_json)


def _print_changes(
    address: Address,
    where: Filter,
    start: Cursor | datetime | None,
    end: Cursor | datetime | None,
    as_json: bool,
) -> None:
    console = Console(soft_wrap=True)
    with open_sync_client(address) as client:
        names = {} if as_json else _names(client, where)
        shown = False

        def name_of(event_id: str) -> str:
            return names.get(event_id, event_id)

        for page in client.history_pages(where, start=start, end=end):
            for change in page.changes:
                shown = True
                if as_json:
                    typer.echo(json_line(change))
                    continue
                if change.HasField("event"):
                    names[change.event_id] = change.event.name
                text = change_text(change, name_of, days=True)
                console.print(text, markup=False, highlight=False)
    if not (shown or as_json):
        _say("no stored changes")


def _names(client: SyncClient, where: Filter) -> dict[str, str]:
    """Return the names of current events by id; the log itself names the ended ones."""
    listed = client.list_events(where)
    return {each.event.id: each.event.name for each in listed}


def _say(text: str) -> None:
    """Print to stderr, so that a pipe receives only the changes."""
    Console(stderr=True, soft_wrap=True).print(text, markup=False, highlight=False)


def _print_closing(address: Address, where: Filter, as_json: bool) -> None:
    if as_json:
        with connect(address) as stub:
            for page in stub.GetClosingOdds(closing_request(where)):
                for entry in page.events:
                    typer.echo(json_line(entry))
        return
    console = Console()
    shown = False
    with open_sync_client(address) as client:
        for closed in client.closing_odds(where):
            shown = True
            event = closed.event
            start = f"{event.start_time:%Y-%m-%d %H:%M UTC}"
            title = f"{event.name} · {event.competition} · {start} · {event.id}"
            console.print(title, style="bold", markup=False, highlight=False)
            console.print(_closing_table(closed))
    if not shown:
        _say("no closing odds: no event that is selected has started")


def _closing_table(closed: ClosedEvent) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("market", "bookmaker", "closing odds"):
        table.add_column(name, overflow="fold")
    table.add_column("age", justify="right", no_wrap=True)
    if not all(odds.offered for odds in closed.odds):
        table.add_column("until the start")
    for odds in sorted(closed.odds, key=lambda odds: (odds.market.key, odds.bookmaker)):
        table.add_row(
            market_key_text(odds.market.key),
            odds.bookmaker,
            outcomes_text(odds.market),
            age_text(odds.age_s),
            *([] if odds.offered else ["withdrawn"]),
        )
    return table


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


def _draw(shown: PriceHistory, chart: str) -> None:
    console = Console(soft_wrap=True)
    if chart == TERMINAL:
        for text in chart_lines(shown, console.width):
            console.print(text, markup=False, highlight=False)
        return
    with new_file(Path(chart)) as file:
        draw(shown, file)
