"""Imports go one way, and each foreign library has one place that imports it.

All tests but the last read the syntax trees of all modules, so imports inside functions and for
type checking count too. A new part of the package needs a place in LAYERS.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

PACKAGE: Final = "odds_service"
ROOT: Final = Path(__file__).resolve().parent.parent / PACKAGE

# A part may import parts of earlier layers and its own modules, but no part of its own layer.
LAYERS: Final[tuple[frozenset[str], ...]] = (
    frozenset({"secrets", "early", "file_mark", "ports", "asgi", "loop_thread"}),
    frozenset({"signals"}),
    frozenset({"model", "errors", "line_queue", "stack"}),
    frozenset({"clock", "config_errors", "recorded_files", "decoding"}),
    frozenset({"stamps", "config", "logs", "status", "bridge", "detection", "store", "demo"}),
    frozenset({"watchdog"}),
    frozenset({"feed", "access", "reconcile", "delays", "reloads"}),
    frozenset({"cache", "certificates"}),
    frozenset({"filters"}),
    frozenset({"stream", "wire", "sources", "storage", "columns", "bus"}),
    frozenset({"pipeline", "serving", "metrics", "restore", "ingest", "workers"}),
    frozenset({"rpc", "http"}),
    frozenset({"assembly", "replica"}),
    frozenset({"forgetting", "reporting", "standby"}),
    frozenset({"doors", "intake"}),
    frozenset({"reloading"}),
    frozenset({"service", "client", "checking", "health", "importing"}),
    frozenset({"commands"}),
    frozenset({"cli"}),
    frozenset({"__main__"}),
)

# (part, other part) -> the only modules that the one may import from the other.
ONLY: Final = {
    # The protocol of sources and the gate, but no provider.
    ("pipeline", "sources"): (
        "sources.base",
        "sources.boundary",
        "sources.failures",
        "sources.access",
        "sources.calls",
        "sources.containment",
    ),
    ("client", "wire"): ("wire.pb",),  # the contract, but not the encoder
}

# Library -> the parts, or single modules, that may import it.
OWNERS: Final = {
    # Its status codes are the contract's; health has no time for the client.
    "grpc": {"wire.pb", "serving.errors", "rpc", "client", "health"},
    "grpc_health": {"rpc", "client"},
    "grpc_reflection": {"rpc"},
    "grpc_status": {"rpc", "client"},
    "google": {"wire", "serving", "rpc", "http", "client"},
    "starlette": {"asgi", "http", "metrics.exposition", "demo", "commands.replay"},
    "hypercorn": {"asgi", "http"},
    "sqlalchemy": {"storage"},
    "asyncpg": {"storage"},
    "aiosqlite": {"storage"},
    "alembic": {"storage"},
    "httpx": {"sources.http"},
    "prometheus_client": {"metrics"},
    "trio_asyncio": {"bridge"},
    "asyncio": {
        "bridge",
        "loop_thread",
        "serving",
        "rpc",
        "http",
        "client",
        "storage",
        "bus",
        "replica",
    },
    "nats": {"bus.connection", "bus.nats", "bus.nats_bus"},
    "pyarrow": {"columns", "commands"},
    "matplotlib": {"commands"},
    "typer": {"cli", "commands", "demo.__main__"},
    # Text from outside reaches a terminal through commands.output alone.
    "rich": {
        "commands.output",
        "commands.streams",
        "commands.progress",
        "commands.live_table",
    },
    "rapidfuzz": {"reconcile"},
    "pydantic_settings": {"config"},
}

# Values and synchronous parts, which make their decisions, and are tested, without a loop.
WITHOUT_A_LOOP: Final = {
    "model",
    "detection",
    "reconcile",
    "filters",
    "stream",
    "feed",
    "cache",
    "errors",
}
LOOPS: Final = {"trio", "trio_asyncio", "asyncio", "anyio"}


def package_sources() -> dict[str, str]:
    """Return the text of each module by its name below the package (empty: the package itself)."""
    sources = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        sources[name] = path.read_text("utf-8")
    return sources


def imported(module: str, sources: Mapping[str, str]) -> Iterator[str]:
    """Yield the full names that a module imports, of modules rather than of their contents."""
    is_package = any(other.startswith(f"{module}.") for other in sources) or not module
    here = [PACKAGE, *(part for part in module.split(".") if part)]
    for node in ast.walk(ast.parse(sources[module])):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = here[: len(here) - node.level + is_package]
                base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full.removeprefix(f"{PACKAGE}.") in sources else base


def within(module: str, place: str) -> bool:
    """Return whether a module is at a place or below it."""
    return module == place or module.startswith(f"{place}.")


def layer_of(part: str) -> int | None:
    """Return the height of a part's layer, None when it is in none."""
    return next((height for height, parts in enumerate(LAYERS) if part in parts), None)


def inner_violation(module: str, target: str) -> str | None:
    """Return the fault of a module's import from the package, None for a good one."""
    part, other = module.split(".")[0], target.split(".")[0]
    if part == other or not target:
        return None
    height, other_height = layer_of(part), layer_of(other)
    if height is None or other_height is None:
        return f"{part if height is None else other} is in no layer"
    if other_height >= height:
        return f"{module} imports {target}, which is not below it"
    allowed = ONLY.get((part, other))
    if allowed is not None and not any(within(target, each) for each in allowed):
        return f"{module} imports {target}, and may know only {' and '.join(allowed)}"
    return None


def outer_violation(module: str, library: str) -> str | None:
    """Return the fault of a module's import of a library, None for a good one."""
    owners = OWNERS.get(library)
    if owners is not None and not any(within(module, owner) for owner in owners):
        return f"{module} imports {library}, which belongs to {', '.join(sorted(owners))}"
    if library in LOOPS and module.split(".")[0] in WITHOUT_A_LOOP:
        return f"{module} imports {library}, and should need no loop"
    return None


def violations(sources: Mapping[str, str]) -> list[str]:
    """Return the faults of all imports of a package, sorted, each once."""
    found = set()
    for module in sources:
        part = module.split(".")[0]
        if part and layer_of(part) is None:
            found.add(f"{part} is in no layer")
        for name in imported(module, sources):
            if within(name, PACKAGE):
                if not module and name != PACKAGE:
                    found.add(f"the package itself imports {name}")
                    continue
                said = inner_violation(module, name.removeprefix(PACKAGE).removeprefix("."))
            else:
                said = outer_violation(module, name.split(".")[0])
            if said is not None:
                found.add(said)
    return sorted(found)


def test_imports_go_one_way() -> None:
    sources = package_sources()
    assert {"model.market", "detection", "wire.pb.odds.v1.odds_pb2"} <= sources.keys()
    assert violations(sources) == []


@pytest.mark.parametrize(
    ("module", "text", "said"),
    [
        ("model.market", "import trio", "model.market imports trio, and should need no loop"),
        ("cache", "import asyncio", "cache imports asyncio, which belongs to"),
        ("model.event", "from odds_service.feed import ChangeFeed", "model.event imports feed"),
        ("model.event", "from ..errors import Refused", "model.event imports errors, which is"),
        ("model.event", "from .. import feed", "model.event imports feed, which is not below"),
        ("feed", "from odds_service import cache", "feed imports cache, which is not below it"),
        ("feed", "import odds_service.service as s", "feed imports service, which is not below"),
        (
            "storage",
            "import grpc.aio",
            "storage imports grpc, which belongs to client, health",
        ),
        ("cli", "from google.protobuf import json_format", "cli imports google, which belongs"),
        ("wire.encode", "from sqlalchemy.ext import asyncio", "wire.encode imports sqlalchemy"),
        ("wire.encode", "from odds_service.pipeline import detect", "imports pipeline.detect"),
        ("sources.base", "import httpx", "sources.base imports httpx, which belongs to"),
        ("service", "import trio_asyncio", "service imports trio_asyncio, which belongs to bridge"),
        (
            "bus.messages",
            "import nats",
            "bus.messages imports nats, which belongs to bus.connection",
        ),
        ("pipeline.scrape", "from odds_service.sources import http", "may know only sources.base"),
        ("client.watch", "from odds_service.wire.encode import x", "may know only wire.pb"),
        ("demo.walk", "from odds_service.config import Settings", "demo.walk imports config"),
        ("", "from odds_service.cache import OddsCache", "the package itself imports"),
        ("newcomer", "", "newcomer is in no layer"),
        ("cache", "def late():\n    import httpx", "cache imports httpx"),
        ("cache", "if TYPE_CHECKING:\n    import sqlalchemy", "cache imports sqlalchemy"),
    ],
)
def test_a_wrong_import_is_named(module: str, text: str, said: str) -> None:
    known = dict.fromkeys(
        (
            "",
            "model",
            "model.event",
            "cache",
            "feed",
            "pipeline.detect",
            "sources.http",
            "wire.encode",
        ),
        "",
    )
    found = violations(known | {module: text})
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("model.event", "from .market import Market\nfrom . import price"),
        ("model.event", "from datetime import datetime\nimport msgspec"),
        ("cache", "from odds_service.model import event\nfrom odds_service.feed import ChangeFeed"),
        ("sources.http", "import httpx\nimport trio"),
        ("sources.http.limits", "import httpx"),
        ("storage.store", "from sqlalchemy import select\nfrom odds_service.bridge import across"),
        ("pipeline.scrape", "from odds_service.sources.base import Source"),
        ("client.watch", "from odds_service.wire.pb.odds.v1 import odds_pb2\nimport grpc"),
        ("commands.serve", "from odds_service import __version__, service"),
        ("googly", "import googly_eyes"),
    ],
)
def test_a_right_import_is_let_pass(module: str, text: str) -> None:
    known = dict.fromkeys(("", "model.market", "model.price", "feed", "service"), "")
    placed = [said for said in violations(known | {module: text}) if "in no layer" not in said]
    assert placed == []


def test_commands_print_through_their_output_alone() -> None:
    """A terminal obeys what it is told; only Output makes text from outside harmless."""
    printers = {"print", "echo", "secho", "Console"}
    found = []
    for module, text in package_sources().items():
        if not within(module, "commands") or module in {"commands.output", "commands.streams"}:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called.rpartition(".")[2] in printers or called.startswith(
                    ("sys.stdout.write", "sys.stderr.write", "sys.stdout.buffer")
                ):
                    found.append(f"{module}: {called}")
    assert not found


def test_a_service_imports_no_door_or_database_that_it_is_not_asked_for() -> None:
    unasked = ("alembic", "asyncpg", "hypercorn", "starlette", "nats", "pyarrow")
    script = (
        "import sys, odds_service.commands.serve\n"
        f"print(*(name for name in {unasked} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []
