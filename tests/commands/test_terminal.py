"""Text from outside at a terminal, in pipes and in other encodings, and the ways a command ends."""

import io
import os
import signal
import subprocess
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

from odds_service.commands.output import Column, Grid, unique_length
from odds_service.commands.visible import HIDDEN, visible
from odds_service.model.market import MarketKey
from tests.commands.books import book_of
from tests.support.command_line import COMMAND, ENVIRONMENT, ran, run
from tests.support.examples import examples
from tests.support.observations import observe, observed_event
from tests.support.odds_builders import Bookkeeping, serving
from tests.support.terminal import at_terminal, seen

HOSTILE = (
    "\x1b]0;title\x07",  # a title
    "\x1b]52;c;ZWNobw==\x07",  # the clipboard
    "\x1b[2J",  # an empty screen
    "\u202eevil",  # right to left
    "\x9b31m",  # C1's escape
    "[bold red]Reds[/bold red]",
    "[/]",
    "a\nfake  line",
    "a\u2028fake  line",
    ":smile:",
)


def hostile_book() -> Bookkeeping:
    book = Bookkeeping()
    offer = {"b1": {MarketKey("h2h"): {"home": 2.0, "away": 1.9}}}
    book.see(observe([
        replace(observed_event(f"e{n}", offer, home=f"H{text}", away="A"), competition=f"c{text}")
        for n, text in enumerate(HOSTILE)
    ]))  # fmt: skip
    return book


@given(st.text())
@settings(max_examples=examples(300))
def test_nothing_that_a_terminal_obeys_is_left_in_visible_text(text: str) -> None:
    shown = visible(text)
    assert len(shown) == len(text)
    assert not [each for each in shown if unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl"}]
    assert all(new in (old, HIDDEN) for old, new in zip(text, shown, strict=True))


@given(st.lists(st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1), unique=True))
@settings(max_examples=examples(200))
def test_a_prefix_of_that_length_tells_ids_apart(ids: list[str]) -> None:
    length = unique_length(ids)
    assert len({each[:length] for each in ids}) == len(ids)


@pytest.mark.parametrize("command", ["events", "get", "watch", "history"])
async def test_names_from_outside_do_nothing_at_a_terminal(command: str) -> None:
    options = {"watch": ["--image-only"], "get": ["--best"]}.get(command, [])
    async with serving(hostile_book()) as server:
        plain = await ran(command, *options, ODDS_SERVER=server.address)
        shown = await seen(
            command, *options, width=160, environment={"ODDS_SERVER": server.address}
        )
    assert plain.returncode == shown.code == 0, plain.stderr
    for text in ("\x1b", "\x07", "\u202e", "\x9b", "\u2028"):
        assert text not in plain.stdout
    assert "\x1b]" not in shown.raw
    assert "\x1b[2J" not in shown.raw
    assert not [line for line in shown.lines if line.lstrip().startswith("fake")]
    if command in {"events", "get"}:
        assert "[bold red]Reds[/bold red]" in plain.stdout
        assert "[/]" in shown.text
        assert ":smile:" in shown.text


def test_a_grid_in_a_pipe_has_one_line_for_each_row() -> None:
    grid = Grid(Column(name="a"), Column(name="b"))
    grid.add("x\ty", ("z\n", "bold"))
    assert grid.lines(header=True) == ["a\tb", f"x{HIDDEN}y\tz{HIDDEN}"]
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        grid.add("only one")


async def test_an_encoding_that_lacks_a_character_gets_another_and_json_stays_utf8() -> None:
    book = Bookkeeping()
    offer = {"b1": {MarketKey("h2h"): {"home": 2.0}}}
    book.see(observe([observed_event("e1", offer, home="Łódź", away="東京")]))
    async with serving(book) as server:
        ascii_ = {"PYTHONIOENCODING": "ascii", "ODDS_SERVER": server.address}
        table = await ran("events", **ascii_)
        as_json = await ran("events", "--json", **ascii_)
        as_csv = await ran("get", "--csv", **ascii_)
    assert table.returncode == as_json.returncode == as_csv.returncode == 0, table.stderr
    assert "?" in table.stdout
    assert "Łódź" in as_csv.stdout
    assert "Łódź – 東京" in as_json.stdout


async def test_a_reader_that_leaves_ends_a_command_quietly() -> None:
    book = Bookkeeping()
    offer = {"b1": {MarketKey("h2h"): {"home": 2.0}}}
    book.see(observe([observed_event(f"e{n:05}", offer) for n in range(3_000)]))
    async with serving(book) as server:
        for command in (
            ["events"],
            ["events", "--json"],
            ["get", "--csv"],
            ["get"],
        ):
            process = subprocess.Popen(  # noqa: ASYNC220  # returns at once
                [*COMMAND, *command],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env=ENVIRONMENT | {"ODDS_SERVER": server.address},
            )  # fmt: skip
            assert process.stdout is not None
            assert process.stderr is not None

            def leave(process: subprocess.Popen[str] = process) -> str:
                process.stdout.readline()  # type: ignore[union-attr]  # a pipe
                process.stdout.close()  # type: ignore[union-attr]  # a pipe
                complaints = process.stderr.read()  # type: ignore[union-attr]  # a pipe
                process.stderr.close()  # type: ignore[union-attr]  # a pipe
                process.wait()
                return complaints

            assert await trio.to_thread.run_sync(leave) == "", command
            assert process.returncode == 1, command


async def test_an_interrupt_ends_the_line_and_the_command() -> None:
    async with serving(book_of()) as server:
        ended = await trio.to_thread.run_sync(
            lambda: at_terminal(
                "watch",
                interrupt_when=lambda raw: "image:" in raw,
                environment={"ODDS_SERVER": server.address},
            )
        )
    assert ended.code == 128 + signal.SIGINT
    assert ended.raw.endswith("\n")
    assert "Traceback" not in ended.raw


async def test_watch_shows_a_live_table_at_a_terminal_and_refuses_one_in_a_pipe() -> None:
    async with serving(book_of()) as server:
        shown = await seen(
            "watch", "--table", "--seconds", "1", environment={"ODDS_SERVER": server.address}
        )
        refused = await ran("watch", "--table", ODDS_SERVER=server.address)
    assert shown.code == 0
    assert "odds as they change" in shown.text
    assert "connected at revision" in shown.text
    assert refused.returncode == 2


def test_every_way_to_print_ends_quietly_when_the_reader_has_gone(tmp_path: Path) -> None:
    """Also inside nurseries, whose errors come in groups."""
    letters = tmp_path / "odds.db"
    upgraded = run("db", "upgrade", "--database", f"sqlite:///{letters}")
    assert upgraded.returncode == 0, upgraded.stderr
    for command in (
        ["config", "show"], ["serve", "--check"], ["db", "verify", "--database", f"sqlite:///{letters}"],
        ["sources", "check", str(letters), "--json"], ["sources", "check", str(letters)],
    ):  # fmt: skip
        reading, writing = os.pipe()
        os.close(reading)
        try:
            ended = subprocess.run(
                [*COMMAND, *command], stdout=writing, stderr=subprocess.PIPE, check=False,
                text=True, env=ENVIRONMENT, cwd=tmp_path,
            )  # fmt: skip
        finally:
            os.close(writing)
        assert (ended.returncode, ended.stderr) == (1, ""), command


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("width", [24, 40, 60, 80, 100, 160])
def test_a_grid_fits_and_loses_nothing(width: int, header: bool) -> None:
    grid = Grid(
        Column(name="market", folds=True),
        Column(name="outcome", folds=True),
        Column(name="best", right=True),
        Column(name="bookmaker"),
        Column(name="oldest leg", right=True),
    )
    grid.add("player_shots_on_target 26.5", "Marrowdale United", "4.01", "crownanchorsports", "9 s")
    grid.add("h2h", "Fallowfield Comets", "12.50", "bet", "12 min")
    screen = io.StringIO()
    console = Console(file=screen, width=width, color_system=None)
    console.print(grid.table(width, header=header))
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    told = [column.name for column in grid.columns if header]
    told += [str(cell) for row in grid.rows for cell in row]
    assert Counter("".join(told)) - Counter("".join(lines)) <= Counter({" ": len("".join(told))})
    words = set(screen.getvalue().split())
    assert {"4.01", "12.50"} <= words or width < 60
    assert {"Marrowdale", "Fallowfield", "crownanchorsports"} <= words or width < 80


async def test_errors_at_60_columns_break_between_words() -> None:
    async with serving(book_of()) as server:
        address = {"ODDS_SERVER": server.address}
        commands = (
            ["get", "--bookmaker", "nosuchbookmaker", "--sport", "nosuchsport", "--market", "h3h"],
            ["get", "an-id-that-no-event-has-since-it-is-long"],
            ["get", "--bookmaker", "a", "--bookmaker", "unheard-of", "--sport", "nosuchsport"],
            ["history", "--export", "file.of-no-known-kind"],  # wrong usage: typer's panel
            ["history", "--chart", "-", "--closing"],
        )
        for command in commands:
            shown = await seen(*command, width=60, environment=address)
            piped = await ran(*command, **address)
            assert shown.code == piped.returncode != 0
            assert max(map(len, shown.lines)) <= 60
            words = set(shown.text.split())
            whole = {word for word in piped.stderr.split() if word[0] not in "╭╰─│"}
            assert whole <= words, command
