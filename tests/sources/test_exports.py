"""The plug-in API: one module exports all that a plug-in needs, and the examples use no other."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from odds_service import sources

ROOT: Final = Path(__file__).resolve().parents[2]
GUIDE: Final = (ROOT / "docs" / "sources.md").read_text("utf-8")
PLUG_IN: Final = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)
EXAMPLES: Final = sorted((ROOT / "examples").glob("*.py"))


def ours(text: str) -> Iterator[str]:
    """Yield the modules of this package that a program imports."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.startswith("odds_service"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("odds_service"):
            yield str(node.module)


def test_the_documented_plug_in_imports_one_module_of_ours() -> None:
    assert PLUG_IN
    for text in PLUG_IN:
        assert set(ours(text)) == {"odds_service.sources"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_of_a_client_imports_the_client_alone(path: Path) -> None:
    by_http = path.name == "server_sent_events.py"  # for those who have nothing of ours
    assert set(ours(path.read_text("utf-8"))) == (set() if by_http else {"odds_service.client"})


def test_every_exported_name_resolves_and_is_listed_in_the_guide() -> None:
    assert sources.__all__ == sorted(sources.__all__, key=_sort_key)
    listed = set(re.findall(r"`(\w+)`", GUIDE[GUIDE.index("The names that a plug-in imports") :]))
    for name in sources.__all__:
        assert getattr(sources, name) is not None
    assert set(sources.__all__) <= listed


def _sort_key(name: str) -> tuple[bool, bool, str]:
    """Sort constants first, then classes, then functions."""
    return name[0].islower(), not name.isupper(), name


def test_importing_it_loads_neither_a_database_nor_the_bridge() -> None:
    asked = (
        "import sys, odds_service.sources; "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked],
        capture_output=True, text=True, check=True, timeout=60, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    loaded = set(done.stdout.split())
    assert "httpx" in loaded
    assert not loaded & {"trio_asyncio", "sqlalchemy", "grpc", "asyncpg", "alembic"}
