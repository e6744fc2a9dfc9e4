"""Texts of counts: `1 event`, never `1 events`."""

import ast
from pathlib import Path

import pytest

from odds_service.model.text import counted
from tests.support.command_line import ROOT

# Nouns that are counted in tables, hints and remarks.
NOUNS = (
    "answer", "bookmaker", "change", "credit", "day", "disagreement", "event", "fault", "file",
    "letter", "market", "outcome", "pull", "request", "row", "source", "subscriber",
)  # fmt: skip


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 events"), (1, "1 event"), (2, "2 events"), (1_000_000, "1,000,000 events"),
        (1.0, "1 event"), (0.5, "0.5 events"), (2e6, "2,000,000 events"),
    ],
)  # fmt: skip
def test_a_number_and_its_noun_agree(number: float, text: str) -> None:
    assert counted(number, "event") == text


def plurals_after_numbers(path: Path) -> list[str]:
    """Return the places where an f-string has a value followed by a noun in the plural."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, after in zip(node.values, node.values[1:], strict=False):
            if not isinstance(value, ast.FormattedValue) or not isinstance(after, ast.Constant):
                continue
            space, _, rest = str(after.value).partition(" ")
            noun = "".join(rest.split()[:1]).strip(",.;:)")
            if not space and noun.endswith("s") and noun[:-1] in NOUNS:
                found.append(f"{path.name}:{node.lineno}: … {noun}")
    return found


def test_the_net_sees_a_plural_after_a_value(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("print(f'{count:,} events, {name} is here')")
    assert plurals_after_numbers(module) == ["module.py:1: … events"]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "odds_service/commands").glob("*.py")), ids=lambda path: path.name
)
def test_commands_count_through_one_function(path: Path) -> None:
    # One speaks of several markets only; the other of the command `events`, after a program's name.
    others = {"price_series.py", "first_steps.py"}
    assert path.name in others or plurals_after_numbers(path) == []
