"""`odds-service db dead-letters`: changes that the database refused."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Final

import typer

from odds_service.client import json_line
from odds_service.commands.change_lines import ChangeLines
from odds_service.commands.database import Config, Url, database_settings, with_store
from odds_service.commands.options import output, plain_output, takes, times
from odds_service.commands.output import Column, Grid, Output, styled
from odds_service.commands.times import Times
from odds_service.config import Settings
from odds_service.errors import OddsServiceError
from odds_service.model.change import Change
from odds_service.model.text import counted
from odds_service.store import DeadLetter, Store
from odds_service.wire.encode import change_wire
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

PAGE: Final = 500  # letters read at a time

Letters = Annotated[list[int] | None, typer.Argument(help="Ids from `list`.", metavar="ID…")]
Every = Annotated[bool, typer.Option("--all", help="All dead letters, instead of ids.")]

dead_letters = typer.Typer(
    help="List, retry or drop changes that the database refused.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@dead_letters.command("list")
@takes(out=output, shown=times)
def list_letters(
    *,
    config: Config = None,
    database: Url = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    out: Output,
    shown: Times,
) -> None:
    """List the dead letters with their reasons."""

    async def show(store: Store) -> int:
        count = last = 0
        while page := await store.dead_letters(last, PAGE):
            if as_json:
                for letter in page:
                    out.raw_json(_as_json(letter))
            elif out.on_terminal:
                _print_lines(page, out, shown)
            else:
                out.grid(_grid(page, shown), continued=bool(count))
            count, last = count + len(page), page[-1].letter_id
        return count

    count = with_store(database_settings(config, database), show)
    if not as_json:
        out.remark(counted(count, "dead letter"))


@dead_letters.command()
@takes(out=plain_output)
def retry(
    letters: Letters = None,
    *,
    every: Every = False,
    config: Config = None,
    database: Url = None,
    out: Output,
) -> None:
    """Store dead letters at their places in history; exit with code 1 if any is refused again."""

    async def store_again(store: Store, letter_id: int) -> bool:
        why = await store.retry_dead_letter(letter_id)
        out.sentence(f"{letter_id}: {why or 'stored'}", style="red" if why else "")
        return not why

    _each(store_again, letters, every, database_settings(config, database))


@dead_letters.command()
@takes(out=plain_output)
def drop(
    letters: Letters = None,
    *,
    every: Every = False,
    config: Config = None,
    database: Url = None,
    out: Output,
) -> None:
    """Delete dead letters; history keeps their placeholders, so readers see the gap."""

    async def forget(store: Store, letter_id: int) -> bool:
        there = await store.drop_dead_letter(letter_id)
        out.line(f"{letter_id}: {'dropped' if there else 'there is no such letter'}")
        return there

    _each(forget, letters, every, database_settings(config, database))


def _each(
    work: Callable[[Store, int], Awaitable[bool]],
    letters: list[int] | None,
    every: bool,
    settings: Settings,
) -> None:
    """Do some work on each of the chosen letters; exit with code 1 if it failed for any."""

    async def all_of_them(store: Store) -> bool:
        chosen = await _chosen(store, letters, every=every)
        return all([await work(store, letter_id) for letter_id in chosen])

    if not with_store(settings, all_of_them):
        raise typer.Exit(1)


async def _chosen(store: Store, given: list[int] | None, *, every: bool) -> list[int]:
    if every:
        chosen: list[int] = []
        while page := await store.dead_letters(chosen[-1] if chosen else 0, PAGE):
            chosen += [letter.letter_id for letter in page]
        return chosen
    if not given:
        raise OddsServiceError("say which letters: their ids, or --all")
    return given


def _print_lines(letters: Sequence[DeadLetter], out: Output, shown: Times) -> None:
    """Print three parts of each letter below one another, for a terminal of any width."""
    for letter in letters:
        out.sentence(f"{letter.letter_id}  revision {letter.revision}", style="bold")
        out.sentence(f"  {_change_text(letter, shown)}")
        kept = f"{shown.minute(letter.kept_at)} {shown.zone}"
        out.sentence(f"  kept {kept}, {_tries(letter)}: {letter.reason}", style="dim")


def _grid(letters: Sequence[DeadLetter], shown: Times) -> Grid:
    grid = Grid(
        Column(name="id", right=True),
        Column(name="revision", right=True),
        Column(name=f"kept ({shown.zone})"),
        Column(name="tries", right=True),
        Column(name="reason", folds=True),
        Column(name="change", folds=True),
    )
    for letter in letters:
        grid.add(
            str(letter.letter_id),
            str(letter.revision),
            shown.full(letter.kept_at),
            str(letter.attempts),
            letter.reason,
            _change_text(letter, shown),
        )
    return grid


def _tries(letter: DeadLetter) -> str:
    return "1 try" if letter.attempts == 1 else f"{letter.attempts} tries"


def _change_text(letter: DeadLetter, shown: Times) -> str:
    if letter.change is None:
        return "unreadable"
    return styled(*ChangeLines(shown, days=True).change(_message(letter.change))).plain


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
