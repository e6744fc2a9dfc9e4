"""Each `odds-service …` in README.md and docs/ is a command that exists, with its options."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from odds_service import cli
from odds_service.health import parser

ROOT: Final = Path(__file__).resolve().parent.parent.parent
PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# A line of a code block, with what may stand before the command, or code inside a sentence.
LINES: Final = re.compile(r"^(?:\S*= ?|\$ )?(?:\.venv/bin/)?odds-service (.+)$", re.MULTILINE)
INLINE: Final = re.compile(r"`odds-service ([^`]+)`")


def commands(text: str) -> Iterator[list[str]]:
    """Yield the arguments of each command in a page."""
    inside = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for found in LINES.findall(inside):
        yield shlex.split(found, comments=True)
    for found in INLINE.findall(outside):
        yield shlex.split(" ".join(found.split()))


def refusal(arguments: list[str]) -> str | None:
    """Return why a command line is wrong; None if the command would run."""
    given = ["1" if word == "ID…" else word for word in arguments if word not in ("…", "...")]
    name, *rest = given
    try:
        if name.startswith("-"):
            options = {
                option
                for parameter in typer.main.get_command(cli.app).params
                for option in parameter.opts
            }
            return None if name in options and not rest else "no such option"
        if name not in cli.COMMANDS:
            return "no such command"
        if name == "health":
            parser().parse_args(rest)
            return None
        command: Any = cli.load(name)
        context = command.make_context(name, rest)
        while hasattr(command, "resolve_command") and context._protected_args + context.args:
            inner, command, rest = command.resolve_command(
                context, context._protected_args + context.args
            )
            context = command.make_context(inner, rest, parent=context)
    except SystemExit:
        return "its arguments are refused"
    except Exception as error:
        if not hasattr(error, "format_message"):  # of click, of which typer has a copy
            raise
        reason: str = error.format_message()
        # A sentence may name an option without a value.
        return None if reason.endswith("requires an argument.") else reason
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_documented_command_can_be_typed(page: Path) -> None:
    wrong = {
        shlex.join(arguments): reason
        for arguments in commands(page.read_text())
        if (reason := refusal(arguments)) is not None
    }
    assert wrong == {}


def test_the_pages_have_commands() -> None:
    counts = {page.name: len(list(commands(page.read_text()))) for page in PAGES}
    assert counts["README.md"] > 10
    assert counts["tutorial.md"] > 15
    assert counts["operations.md"] > 15


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("gett e1", "no such command"),
        ("get e1 --bset", "--bset"),
        ("get e1 --as-of noonish", "noonish"),
        ("db verfy", "verfy"),
        ("health --wthin 3", "refused"),
        ("--no-such", "no such option"),
        ("refresh", "Missing argument"),
        ("db dead-letters retry ID…", None),
        ("config show --config mine.toml", None),
    ],
)
def test_a_wrong_command_is_found(line: str, reason: str | None) -> None:
    found = refusal(shlex.split(line))
    assert (found is None) if reason is None else (found is not None and reason in found)
