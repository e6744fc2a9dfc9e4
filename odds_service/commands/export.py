"""`odds-service export`: the history as tables, from the database."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import typer

from odds_service.client import Filter
from odds_service.columns.arrow import pyarrow
from odds_service.columns.exporting import Exported, export_file, export_folder
from odds_service.commands.database import Config, Url, database_settings, with_store
from odds_service.commands.exporting import WRITERS, opened
from odds_service.commands.options import plain_output, selection, takes
from odds_service.commands.output import Output
from odds_service.commands.progress import stages
from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.model.text import counted


@takes(where=selection, out=plain_output)
def export(
    path: Path, *, config: Config = None, database: Url = None, where: Filter, out: Output
) -> None:
    """Write the history as tables: a folder that grows, or one file.

    PATH is a folder, or ends in .parquet, .arrow or .csv. The database is read beside the service.
    A folder gets prices by day, outages of sources and closing odds, all as Parquet; the next run
    appends what is new, also after one that was killed. A file has the prices alone. A Parquet file
    grows as well; other files are never replaced.
    """
    suffix = path.suffix.lower()
    if suffix and suffix not in WRITERS:
        raise typer.BadParameter(f"{path} ends in none of {', '.join(WRITERS)}, and is no folder")
    pyarrow()  # tell what is missing before the database is opened
    settings = database_settings(config, database)
    chosen, plain = selection_of(where), _plain(where)
    with stages(out) as report:
        if suffix:
            writes = partial(
                export_file, path=path, opens=partial(opened, suffix), selection=chosen,
                where=plain, report=report,
            )  # fmt: skip
        else:
            writes = partial(
                export_folder, folder=path, selection=chosen, where=plain, report=report
            )
        done: Exported = with_store(settings, writes)
    out.remark(f"{counted(done.rows, 'new row')} in {path}, up to revision {done.reached}")


def selection_of(where: Filter) -> Selection:
    """Return a filter as a selection."""
    if where == Filter():
        return EVERYTHING
    return Selection(
        sports=frozenset(where.sports) or None,
        competitions=frozenset(where.competitions) or None,
        event_ids=frozenset(where.event_ids) or None,
        bookmakers=frozenset(where.bookmakers) or None,
        markets=frozenset(where.markets) or None,
        sources=frozenset(where.sources) or None,
        start_from=where.start_from,
        start_to=where.start_to,
        in_play=where.in_play,
    )


def _plain(where: Filter) -> dict[str, Any]:
    """Return what a filter restricts, as values of JSON."""
    found: dict[str, Any] = {}
    for name in where.__struct_fields__:
        value = getattr(where, name)
        if isinstance(value, datetime):
            found[name] = value.astimezone(UTC).isoformat()
        elif isinstance(value, bool):
            found[name] = value
        elif value:
            found[name] = sorted(value)
    return found
