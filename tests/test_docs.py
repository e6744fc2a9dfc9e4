"""Names in the documents exist, and the documents name every setting, part, cache and lock."""

import ast
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import BaseModel

from odds_service.cli import COMMANDS, load
from odds_service.config import Settings
from odds_service.config_errors import sections
from odds_service.sources.by_event import ByEventSettings
from odds_service.sources.http import HttpSettings
from odds_service.sources.the_odds_api import TheOddsApiSettings

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = ROOT / "odds_service"
DECISIONS: Final = ROOT / "docs" / "decisions"
DOCS: Final = (
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
)
CLUSTER: Final = ROOT / "tests" / "cluster"
OPERATIONS: Final = (ROOT / "docs" / "operations.md").read_text("utf-8")


def rows_after(text: str, begin: str) -> Iterator[list[str]]:
    """Yield the rows of the first table after a text, as cells."""
    _, _, rest = text.partition(begin)
    assert rest, f"{begin!r} is missing"
    table = rest.partition("\n| ")[2]
    for line in f"| {table}".splitlines()[2:]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def keys_after(begin: str) -> list[str]:
    """Return the keys that a table describes; a row's later keys share the first one's section."""
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
    """Only cells with one plain value are compared: a number or a boolean."""
    defaults = {
        f"{section}.{name}": getattr(getattr(Settings(), section), name)
        for section, model in sections(Settings)
        for name in model.model_fields
    } | {f"http.{name}": value for name, value in HttpSettings().model_dump().items()}
    defaults[".role"] = Settings().role
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


# A name in the code -> the table of docs/architecture.md that must list its users.
KINDS: Final = {
    **dict.fromkeys(("lru_cache", "cache", "OrderedDict", "WeakValueDictionary",
                     "WeakKeyDictionary"), "## Caches"),
    **dict.fromkeys(("Thread", "Timer", "LoopThread", "to_thread.run_sync", "to_thread",
                     "run_in_executor", "open_loop"), "## Threads"),
    **dict.fromkeys(("Lock", "RLock", "Semaphore", "Condition", "CapacityLimiter", "flock"),
                    "## Locks"),
}  # fmt: skip


def kind_of(callee: ast.expr) -> str | None:
    """Return the table that a call or a decorator belongs to."""
    text = ast.unparse(callee.func if isinstance(callee, ast.Call) else callee)
    last, last_two = text.rpartition(".")[2], ".".join(text.split(".")[-2:])
    return KINDS.get(last_two) or KINDS.get(last)


def owners(node: ast.AST, inside: str, stem: str) -> Iterator[tuple[str, str]]:
    """Yield the table and the owner of each use below a node.

    The owner is the outermost class or function around the use, as `module.name`.
    """
    for child in ast.iter_child_nodes(node):
        name = inside
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = inside or f"{stem}.{child.name}"
            for decorator in child.decorator_list:
                table = kind_of(decorator)
                if table is not None:
                    yield table, name
        elif isinstance(child, ast.Call):
            table = kind_of(child)
            if table is not None:
                yield table, name or stem
        yield from owners(child, name, stem)


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Yield each module of the package, by its last name, without generated code."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if "pb" not in path.relative_to(PACKAGE).parts:
            stem = path.parent.name if path.stem == "__init__" else path.stem
            yield stem, ast.parse(path.read_text("utf-8"))


def test_every_cache_thread_and_lock_is_in_the_picture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = {
        begin: {
            name for row in rows_after(text, f"\n{begin}\n") for name in names_in(" ".join(row))
        }
        for begin in set(KINDS.values())
    }
    found = {use for stem, tree in modules() for use in owners(tree, "", stem)}
    assert len(found) > 40
    assert sorted(use for use in found if use[1] not in named[use[0]]) == []


def test_what_the_picture_names_is_in_the_code() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    there = {
        f"{stem}.{getattr(node, 'name', '')}"
        for stem, tree in modules()
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    }
    named = {
        name
        for begin in sorted(set(KINDS.values()))
        for row in rows_after(text, f"\n{begin}\n")
        for name in names_in(" ".join(row))
        if re.fullmatch(r"[a-z_0-9]+\.\w+", name)
    }
    settings = {f"http.{name}" for name in HttpSettings.model_fields} | set(settable(Settings))
    assert sorted(named - there - settings - {"trio.to_thread", "module.name"}) == []


def test_decisions_are_numbered_dated_and_listed() -> None:
    records = [path for path in sorted(DECISIONS.glob("*.md")) if path.name != "README.md"]
    assert [path.name[:4] for path in records] == [f"{n:04}" for n in range(1, len(records) + 1)]
    dates = []
    for number, path in enumerate(records, 1):
        text = path.read_text("utf-8")
        head, date, *_ = [line for line in text.splitlines() if line]
        assert head.startswith(f"# {number}. "), path.name
        told = re.fullmatch(r"(\d{4}-\d\d-\d\d) · (accepted|replaced by \[\d+\]\(.*\))", date)
        assert told is not None, path.name
        dates.append(told[1])
        headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "Alternatives"], path.name
    assert dates == sorted(dates)
    index = (DECISIONS / "README.md").read_text("utf-8")
    rows = list(rows_after(index, "# Decisions"))
    assert [(row[0], row[1]) for row in rows] == [(str(n), d) for n, d in enumerate(dates, 1)]
    assert re.findall(r"\]\((\d{4}[^)]*)\)", index) == [path.name for path in records]


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_and_files_that_are_named_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not re.match(r"[a-z]+:", target):
            assert (path.parent / target).exists(), target
    for name in re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|md|toml|yml|json|proto))`", text):
        assert any((base / name).exists() for base in (ROOT, ROOT / "odds_service")), name


def commands_in(text: str) -> Iterator[list[str]]:
    """Yield the words after `odds-service` in code spans and blocks."""
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


def test_the_reference_has_every_command_with_its_line_and_the_exit_codes() -> None:
    text = (ROOT / "docs" / "commands.md").read_text("utf-8")
    rows = {names_in(name)[0]: line for name, line in rows_after(text, "lists the options")}
    assert rows == COMMANDS
    assert [code for code, _ in rows_after(text, "## Exit codes")] == ["0", "1", "2", "3", "130"]
    for name in ("db", "bus", "config"):
        assert all(f"`{each}`" in text for each in load(name).commands)


def test_each_failure_of_several_nodes_is_a_fault_that_is_struck_or_a_test() -> None:
    text = (ROOT / "docs" / "cluster.md").read_text("utf-8")
    named = [names_in(row[-1]) for row in rows_after(text, "## What each failure looks like")]
    faults = set(
        re.findall(r"^async def (\w+)\(rig", (CLUSTER / "faults.py").read_text(), re.MULTILINE)
    )
    tests = {
        name
        for path in (ROOT / "tests" / "replica").glob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
    assert all(len(names) == 1 for names in named)
    found = {name for (name,) in named}
    assert found <= faults | tests
    assert faults <= found
