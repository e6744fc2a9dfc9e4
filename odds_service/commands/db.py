"""`odds-service db`: upgrade, verify, back up and restore the database; handle dead letters.

All commands except `upgrade` and `restore` can run beside a service.
"""

from functools import partial
from pathlib import Path
from typing import Annotated

import trio
import typer

from odds_service.commands.database import Config, Url, database_settings, on_bridge, with_store
from odds_service.commands.dead_letters import dead_letters
from odds_service.commands.options import plain_output, takes
from odds_service.commands.output import Output
from odds_service.commands.progress import stages
from odds_service.model.text import counted
from odds_service.storage.backups import Copied, back_up
from odds_service.storage.backups import restore as restore_backup
from odds_service.storage.migrating import head_version
from odds_service.store import Store, Verified

db = typer.Typer(
    help="Upgrade, verify, back up or restore the database, or handle its dead letters.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
db.add_typer(dead_letters, name="dead-letters")


@db.command()
@takes(out=plain_output)
def upgrade(*, config: Config = None, database: Url = None, out: Output) -> None:
    """Upgrade the tables to the current schema. Stop the service first."""

    async def opened(_: Store) -> None:
        await trio.lowlevel.checkpoint()

    with_store(database_settings(config, database), opened, owner=True, migrate=True)
    out.line(f"the database is at schema {head_version()}")


@db.command()
@takes(out=plain_output)
def verify(*, config: Config = None, database: Url = None, out: Output) -> None:
    """Compare the current odds with the history; exit with code 1 if they differ."""
    with stages(out) as report:
        found = with_store(database_settings(config, database), lambda store: store.verify(report))
    _print_verified(found, out)


@db.command()
@takes(out=plain_output)
def backup(path: Path, *, config: Config = None, database: Url = None, out: Output) -> None:
    """Write a verified copy of the database to PATH, a new file; the service goes on meanwhile.

    SQLite's copy is a database of its own. PostgreSQL's is an archive by `pg_dump`. Exits with
    code 1 if the odds and the history of the database differ; the copy is written even then.
    """
    url = database_settings(config, database).database.url.get_secret_value()
    with stages(out) as report:
        copied = on_bridge(partial(back_up, url, path, report))
    _print_copied(f"backup in {path}", copied, out)


@db.command()
@takes(out=plain_output)
def restore(
    path: Path,
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Delete what it holds now.")] = False,
    config: Config = None,
    database: Url = None,
    out: Output,
) -> None:
    """Put a backup into the database, and verify it. Stop the service first.

    Clients with newer cursors get an image when the service runs again.
    """
    url = database_settings(config, database).database.url.get_secret_value()
    with stages(out) as report:
        copied = on_bridge(partial(restore_backup, url, path, report, replace=replace))
    _print_copied(f"restored {path}", copied, out)


def _print_copied(what: str, copied: Copied, out: Output) -> None:
    out.line(f"{what}: {copied.size_bytes:,} bytes, schema {copied.schema}")
    if copied.verified is None:
        out.line(f"not compared with its history: this version compares {head_version()} only")
    else:
        _print_verified(copied.verified, out)


def _print_verified(found: Verified, out: Output) -> None:
    """Print the result of a comparison. Raises typer.Exit with code 1 if there are faults."""
    for fault in found.faults:
        out.sentence(fault, style="red")
    verdict = counted(found.faulty, "fault") if found.faulty else "no fault"
    out.sentence(
        f"{verdict}: {counted(found.markets, 'live market')}, history up to revision "
        f"{found.revision}, {counted(found.unstored, 'change')} of it refused"
    )
    if found.faulty:
        raise typer.Exit(1)
