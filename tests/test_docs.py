"""What the documents name exists, and what can be set or is a part is in them."""

import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import BaseModel

from odds_service.cli import COMMANDS, load
from odds_service.config import Settings
from odds_service.sources.by_event import ByEventSettings
from odds_service.sources.http import HttpSettings
from odds_service.sources.the_odds_api import TheOddsApiSettings

ROOT: Final = Path(__file__).resolve().parent.parent
DOCS: Final = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
OPERATIONS: Final = (ROOT / "docs" / "operations.md").read_text("utf-8")


def rows_after(text: str, begin: str) -> Iterator[list[str]]:
    """The cells of the first table after a text."""
    _, _, rest = text.partition(begin)
    assert rest, f"{begin!r} is not there"
    table = rest.partition("\n| ")[2]
    for line in f"| {table}".splitlines()[2:]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def keys_after(begin: str) -> list[str]:
    """The keys that a table describes; those beside the first of a row are of its section."""
    keys = []
    for key, *_ in rows_after(OPERATIONS, begin):
        first, *others = names_in(key)
        section, dot, _ = first.rpartition(".")
        keys += [first, *(f"{section}{dot}{other}" for other in others)]
    return keys


def settable(model: type[BaseModel], section: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from settable(inner, f"{name}.")
        else:
            yield f"{section}{name}"


def test_every_setting_is_described_and_no_other() -> None:
    described = keys_after("## Settings")
    assert sorted(described) == sorted(set(settable(Settings)) - {"sources"})


def test_every_setting_of_sources_is_described_and_no_other() -> None:
    http = [f"http.{name}" for name in HttpSettings.model_fields]
    by_event = ["tiers", "discovery_s"]
    assert sorted(keys_after("Keys of every source that is fetched over HTTP")) == sorted(http)
    assert sorted(keys_after("Keys of every source whose pulls are single events")) == sorted(
        by_event
    )
    own = set(TheOddsApiSettings.model_fields) - {"http", *by_event}
    assert sorted(keys_after("Keys of kind `the-odds-api`")) == sorted(own)
    shared = (ROOT / "docs" / "sources.md").read_text("utf-8").partition("share these keys:")[2]
    assert set(names_in(shared.partition("```")[0])) >= set(ByEventSettings.model_fields)


def test_defaults_are_as_described() -> None:
    """Where a cell is one plain value: text, number or boolean."""
    defaults = {
        f"{section}.{name}": getattr(getattr(Settings(), section), name)
        for section in Settings.model_fields
        if section != "sources"
        for name in type(getattr(Settings(), section)).model_fields
    } | {f"http.{name}": value for name, value in HttpSettings().model_dump().items()}
    compared = 0
    for begin in ("## Settings", "Keys of every source that is fetched over HTTP"):
        for key, default, _ in rows_after(OPERATIONS, begin):
            section = names_in(key)[0].rpartition(".")[0]
            names = [f"{section}.{name.rpartition('.')[2]}" for name in names_in(key)]
            said = re.split(r"[;,] ", default.strip("`"))
            for name, value in zip(names, said, strict=False):
                plain = value.strip("`").replace(",", "")
                if isinstance(defaults[name], bool):
                    assert plain == str(defaults[name]).lower(), name
                elif isinstance(defaults[name], int | float):
                    assert float(plain) == defaults[name], name
                else:
                    continue
                compared += 1
    assert compared >= 20


def test_every_part_of_the_package_is_in_the_picture_of_it() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    described = {
        name.rstrip("/").removesuffix(".py")
        for row in rows_after(text, "## Where things are")
        for name in names_in(row[0])
    }
    parts = {
        path.stem
        for path in (ROOT / "odds_service").iterdir()
        if (path.is_dir() and (path / "__init__.py").exists()) or path.suffix == ".py"
    }
    assert described == parts - {"__init__", "__main__"}


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_and_files_that_are_named_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not re.match(r"[a-z]+:", target):
            assert (path.parent / target).exists(), target
    for name in re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|md|toml|yml|json|proto))`", text):
        assert any((base / name).exists() for base in (ROOT, ROOT / "odds_service")), name


def commands_in(text: str) -> Iterator[list[str]]:
    """The words after `odds-service`, of code between backticks and of blocks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    spans = [line for block in blocks for line in block.splitlines()]
    spans += [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    for span in spans:
        if re.match(r"(\$ )?odds-service [a-z]", span):
            yield shlex.split(span.removeprefix("$ "), comments=True)[1:]


def test_every_command_that_is_named_exists_with_its_options() -> None:
    seen = 0
    for path in DOCS:
        for words in commands_in(path.read_text("utf-8")):
            seen += 1
            name, *rest = words
            assert name in COMMANDS, f"{path.name}: {words}"
            command = load(name)
            while rest and rest[0] in getattr(command, "commands", {}):
                command, rest = command.commands[rest[0]], rest[1:]
            if getattr(command, "commands", {}):
                assert not rest, f"{path.name}: {words}"
            else:
                assert options_in(rest) <= options_of(command), f"{path.name}: {words}"
    assert seen > 20


def options_in(words: Iterable[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if word.startswith("--")}


def options_of(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts} | {"--help"}
