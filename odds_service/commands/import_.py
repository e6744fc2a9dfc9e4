"""`odds-service import`: recorded bodies into a database, as if the service had run then."""

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import trio
import typer

from odds_service.commands.database import Config, Url, database_settings
from odds_service.commands.options import plain_output, takes, times
from odds_service.commands.output import Output
from odds_service.commands.progress import stages
from odds_service.commands.running import run_in_trio
from odds_service.commands.text import tally
from odds_service.commands.times import Times, time_option
from odds_service.config import Settings
from odds_service.errors import SettingsError
from odds_service.importing import Imported, Recording, Recordings, import_recordings
from odds_service.logs import configure_logs
from odds_service.model.text import counted
from odds_service.signals import stop_on_signals
from odds_service.sources.recorded import RecordedReader
from odds_service.sources.registry import recorded_reader
from odds_service.storage.opening import MEMORY_URL
from odds_service.store import Report

_SHOWN: Final = 5  # failures, and names of problems
_INTERRUPTED: Final = 130


@takes(out=plain_output, shown=times)
def import_(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Folders, zips or .json files; a body's time is in the historical answer itself,"
            " or in the name of its file or folder, as in 20250910T053659Z__nfl.json."
        ),
    ],
    *,
    kind: Annotated[
        str, typer.Option("--source", metavar="KIND", help="The kind of source that answered so.")
    ],
    name: Annotated[
        str | None, typer.Option(help="Name of the source in the odds; default: its kind.")
    ] = None,
    since: Annotated[
        datetime | None, time_option("Only bodies recorded at or after this time.")
    ] = None,
    until: Annotated[datetime | None, time_option("Only bodies recorded before this time.")] = None,
    config: Config = None,
    database: Url = None,
    migrate: Annotated[
        bool | None, typer.Option("--migrate", help="Upgrade PostgreSQL's tables first.")
    ] = None,
    out: Output,
    shown: Times,
) -> None:
    """Put recorded bodies into a database, as if the service had run at their times.

    The bodies take the way of live answers, in the order of their times. At the end the source is
    DOWN and its events have ended (`import_ended`), so that nothing of it looks live. The database
    may have no running service, and its log must end before the first body. ^C ends the import
    in order.
    """
    settings = database_settings(config, database, migrate=migrate)
    if settings.database.url.get_secret_value() == MEMORY_URL:
        raise SettingsError("database.url: memory: is gone at the end of the import; name a file")
    source = name or kind
    reader = recorded_reader(kind, source)
    configure_logs("error", "auto")
    with stages(out) as report:
        done, rest = run_in_trio(
            partial(_import, settings, source, reader, paths, since, until, report)
        )
    _print(done, out, shown)
    if rest:
        at = rest[0].at.isoformat()
        out.remark(f"interrupted before {counted(len(rest), 'file')}; go on with --since {at}")
        raise typer.Exit(_INTERRUPTED)


async def _import(
    settings: Settings,
    source: str,
    reader: RecordedReader,
    paths: list[Path],
    since: datetime | None,
    until: datetime | None,
    report: Report,
) -> tuple[Imported, list[Recording]]:
    """Return the result, and the recordings that an interrupt left.

    Raises:
        KeyboardInterrupt: A signal came before the first body was read, or a second one.
    """
    stop, start = trio.Event(), trio.CancelScope()
    ended: list[tuple[Imported, list[Recording]]] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop_on_signals, stop, nursery.cancel_scope, start)
        with start:
            recordings = await trio.to_thread.run_sync(
                Recordings, paths, reader, report, abandon_on_cancel=True
            )
        if not start.cancelled_caught:
            with recordings:
                chosen = recordings.between(since, until)
                if not chosen:
                    raise SettingsError(
                        f"none of {counted(len(recordings.all), 'file')} was recorded in that time"
                    )
                done = await import_recordings(
                    settings, source, reader, recordings, chosen, stop, report
                )
                ended.append((done, chosen[done.bodies :]))
        nursery.cancel_scope.cancel()
    if not ended:
        raise KeyboardInterrupt
    return ended[0]


def _print(done: Imported, out: Output, shown: Times) -> None:
    if done.first is None or done.last is None:
        return
    out.sentence(
        f"{done.bodies:,} bodies from {shown.iso(done.first)} to {shown.iso(done.last)}:"
        f" {counted(done.changes, 'change')}, up to revision {done.revision}"
    )
    if done.problems:
        out.sentence(f"left out: {tally(done.problems, _SHOWN)}", style="yellow")
    for failure, number in done.failures.most_common(_SHOWN):
        out.sentence(f"not read, {counted(number, 'time')}: {failure}", style="red")
