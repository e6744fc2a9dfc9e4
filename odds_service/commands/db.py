"""`odds-service db`: upgrade, verify, back up and restore the database; handle dead letters.

All commands except `upgrade` and `restore` can run beside a service.
"""

import json
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Final, TypeVar

import trio
import typer
from rich.console import Console

from odds_service.bridge import open_bridge
from odds_service.client import json_line
from odds_service.commands.change_lines import ChangeLines
from odds_service.commands.output import styled
from odds_service.commands.serve import only_error
from odds_service.commands.times import Times
from odds_service.config import Settings, load_settings
from odds_service.errors import OddsServiceError
from odds_service.model.change import Change
from odds_service.storage import open_store
from odds_service.storage.backups import Copied, back_up
from odds_service.storage.backups import restore as restore_backup
from odds_service.storage.migrating import head_version
from odds_service.store import DeadLetter, Store, Verified
from odds_service.wire.encode import change_wire
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

T = TypeVar("T")

PAGE: Final = 500  # letters read at a time

Config = Annotated[Path | None, typer.Option("--config", "-c", help="Settings file, TOML.")]
Url = Annotated[
    str | None, typer.Option("--database", help="sqlite:///file.db or postgresql://user@host/name")
]
Letters = Annotated[list[int] | None, typer.Argument(help="Ids from `list`.", metavar="ID…")]
Every = Annotated[bool, typer.Option("--all", help="All dead letters, instead of ids.")]

db = typer.Typer(
    help="Upgrade, verify, back up or restore the database, or handle its dead letters.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
dead_letters = typer.Typer(
    help="List, retry or drop changes that the database refused.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
db.add_typer(dead_letters, name="dead-letters")


@db.command()
def upgrade(*, config: Config = None, database: Url = None) -> None:
    """Upgrade the tables to the current schema. Stop the service first."""

    async def opened(_: Store) -> None:
        await trio.lowlevel.checkpoint()

    _run(_settings(config, database), opened, owner=True, migrate=True)
    typer.echo(f"the database is at schema {head_version()}")


@db.command()
def verify(*, config: Config = None, database: Url = None) -> None:
    """Compare the current odds with the history; exit with code 1 if they differ."""
    _print_verified(_run(_settings(config, database), lambda store: store.verify()))


@db.command()
def backup(path: Path, *, config: Config = None, database: Url = None) -> None:
    """Write a verified copy of the database to PATH, a new file; the service goes on meanwhile.

    SQLite's copy is a database of its own. PostgreSQL's is an archive by `pg_dump`. Exits with
    code 1 if the odds and the history of the database differ; the copy is written even then.
    """
    url = _settings(config, database).database.url.get_secret_value()
    _print_copied(f"backup in {path}", _on_bridge(partial(back_up, url, path)))


@db.command()
def restore(
    path: Path,
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Delete what it holds now.")] = False,
    config: Config = None,
    database: Url = None,
) -> None:
    """Put a backup into the database, and verify it. Stop the service first.

    Clients with newer cursors get an image when the service runs again.
    """
    url = _settings(config, database).database.url.get_secret_value()
    work = partial(restore_backup, url, path, replace=replace)
    _print_copied(f"restored {path}", _on_bridge(work))


def _print_copied(what: str, copied: Copied) -> None:
    typer.echo(f"{what}: {copied.size_bytes:,} bytes, schema {copied.schema}")
    if copied.verified is None:
        typer.echo(f"not compared with its history: this version compares {head_version()} only")
    else:
        _print_verified(copied.verified)


def _print_verified(found: Verified) -> None:
    """Print the result of a comparison. Raises typer.Exit with code 1 if there are faults."""
    for fault in found.faults:
        typer.echo(fault)
    verdict = f"{found.faulty} faults" if found.faulty else "no fault"
    typer.echo(
        f"{verdict}: {found.markets} live markets, history up to revision {found.revision}, "
        f"{found.unstored} changes of it refused"
    )
    if found.faulty:
        raise typer.Exit(1)


@dead_letters.command("list")
def list_letters(
    *,
    config: Config = None,
    database: Url = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
) -> None:
    """List the dead letters with their reasons."""
    console = Console(soft_wrap=True)

    async def show(store: Store) -> int:
        count = last = 0
        while page := await store.dead_letters(last, PAGE):
            for letter in page:
                for line in [_as_json(letter)] if as_json else _lines(letter):
                    console.print(line, markup=False, highlight=False)
            count, last = count + len(page), page[-1].letter_id
        return count

    count = _run(_settings(config, database), show)
    if not as_json:
        typer.echo(f"{count} dead letters")


@dead_letters.command()
def retry(
    letters: Letters = None, *, every: Every = False, config: Config = None, database: Url = None
) -> None:
    """Store dead letters at their places in history; exit with code 1 if any is refused again."""

    async def store_again(store: Store) -> int:
        refused = 0
        for letter_id in await _chosen(store, letters, every=every):
            why = await store.retry_dead_letter(letter_id)
            typer.echo(f"{letter_id}: {why or 'stored'}")
            refused += bool(why)
        return refused

    if _run(_settings(config, database), store_again):
        raise typer.Exit(1)


@dead_letters.command()
def drop(
    letters: Letters = None, *, every: Every = False, config: Config = None, database: Url = None
) -> None:
    """Delete dead letters; history keeps their placeholders, so readers see the gap."""

    async def forget(store: Store) -> int:
        missing = 0
        for letter_id in await _chosen(store, letters, every=every):
            there = await store.drop_dead_letter(letter_id)
            typer.echo(f"{letter_id}: {'dropped' if there else 'there is no such letter'}")
            missing += not there
        return missing

    if _run(_settings(config, database), forget):
        raise typer.Exit(1)


def _settings(config: Path | None, url: str | None) -> Settings:
    return load_settings(config, database={"url": url})


def _run(
    settings: Settings,
    work: Callable[[Store], Awaitable[T]],
    *,
    owner: bool = False,
    migrate: bool = False,
) -> T:
    url = settings.database.url.get_secret_value()

    async def run() -> T:
        async with open_store(url, owner=owner, migrate=migrate) as store:
            return await work(store)

    return _on_bridge(run)


def _on_bridge(work: Callable[[], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_bridge():
            return await work()

    failed: BaseExceptionGroup[OddsServiceError] | None = None
    done: list[T] = []
    try:
        done.append(trio.run(run))
    except* OddsServiceError as group:
        failed = group
    except* KeyboardInterrupt:  # comes out of nurseries in a group
        raise KeyboardInterrupt from None
    if failed is not None:  # an error raised inside `except*` may come out in a group again
        raise only_error(failed) from None
    return done[0]


async def _chosen(store: Store, given: list[int] | None, *, every: bool) -> list[int]:
    if every:
        chosen: list[int] = []
        while page := await store.dead_letters(chosen[-1] if chosen else 0, PAGE):
            chosen += [letter.letter_id for letter in page]
        return chosen
    if not given:
        raise OddsServiceError("say which letters: their ids, or --all")
    return given


def _lines(letter: DeadLetter) -> Iterator[str]:
    tries = "1 try" if letter.attempts == 1 else f"{letter.attempts} tries"
    lines = ChangeLines(Times("UTC"), days=True)
    what = "unreadable" if letter.change is None else _plain(lines, letter.change)
    yield f"{letter.letter_id}  revision {letter.revision}  {what}"
    yield f"    kept {letter.kept_at:%Y-%m-%d %H:%M:%S}Z, {tries}: {letter.reason}"


def _plain(lines: ChangeLines, change: Change) -> str:
    return styled(*lines.change(_message(change))).plain


def _as_json(letter: DeadLetter) -> str:
    change = letter.change
    return json.dumps(
        {
            "letterId": letter.letter_id,
            "epoch": letter.epoch,
            "revision": letter.revision,
            "reason": letter.reason,
            "keptAt": letter.kept_at.isoformat(),
            "attempts": letter.attempts,
            "change": None if change is None else json.loads(json_line(_message(change))),
        }
    )


def _message(change: Change) -> pb.Change:
    return pb.Changes.FromString(change_wire(change)).changes[0]
