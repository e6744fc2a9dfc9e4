"""Make the synchronous client from the asynchronous one; `python -m tools.codegen` runs it.

Each module in MODULES becomes a module `sync_…` beside it: without `async` and `await`, with the
names of the synchronous protocols, and without the sections on cancellation. Only the transports
and the few methods in client/asynchronous.py and client/sync.py are written for one face alone.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import libcst as cst
from libcst.helpers import get_full_name_for_node

ROOT: Final = Path(__file__).resolve().parent.parent
CLIENT: Final = ROOT / "odds_service" / "client"
PACKAGE: Final = "odds_service.client"
MODULES: Final = ("calls", "iterating", "route", "transport")
NAMES: Final = {
    "AsyncExitStack": "ExitStack",
    "AsyncIterator": "Iterator",
    "StopAsyncIteration": "StopIteration",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "aclose": "close",
    "anext": "next",
    "push_async_callback": "callback",
}
# Names in prose, and words that are true of one face only.
_PROSE: Final = {
    r"\basync with\b": "with",
    r"\banother task\b": "another thread",
    r"\bon one event loop\b": "used by threads",
    r"\bof this loop\b": "for threads",
    **{rf"\b{old}\b": new for old, new in NAMES.items()},
    r"\bAsync(?=[A-Z])": "Sync",
}
# The section of a docstring, with the blank line before it.
_CANCELLATION: Final = re.compile(r"\n\n( +)Cancellation:\n(?:\1 {4}\S.*\n)+")
_ONE_LINE_LEFT: Final = re.compile(r'^("""[^\n]*)\n\s*"""$')


def sync_name(name: str) -> str:
    """Return the synchronous counterpart of an identifier."""
    return NAMES.get(name) or re.sub(r"^Async(?=[A-Z])", "Sync", name)


def sync_text(text: str) -> str:
    """Return the synchronous counterpart of a docstring, a comment or a quoted annotation."""
    for pattern, replacement in _PROSE.items():
        text = re.sub(pattern, replacement, text)
    return text


class _Synchronous(cst.CSTTransformer):
    """Takes the asynchronous parts out of a syntax tree."""

    def leave_FunctionDef(
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef:
        del original_node
        return updated_node.with_changes(asynchronous=None)

    def leave_With(self, original_node: cst.With, updated_node: cst.With) -> cst.With:
        del original_node
        return updated_node.with_changes(asynchronous=None)

    def leave_For(self, original_node: cst.For, updated_node: cst.For) -> cst.For:
        del original_node
        return updated_node.with_changes(asynchronous=None)

    def leave_CompFor(self, original_node: cst.CompFor, updated_node: cst.CompFor) -> cst.CompFor:
        del original_node
        return updated_node.with_changes(asynchronous=None)

    def leave_Await(self, original_node: cst.Await, updated_node: cst.Await) -> cst.BaseExpression:
        del original_node
        return updated_node.expression

    def leave_Subscript(
        self, original_node: cst.Subscript, updated_node: cst.Subscript
    ) -> cst.BaseExpression:
        """Make `Awaitable[X]` X."""
        del original_node
        inside = updated_node.slice[0].slice
        if updated_node.value.deep_equals(cst.Name("Awaitable")):
            return cst.ensure_type(inside, cst.Index).value
        return updated_node

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.Name:
        del original_node
        return updated_node.with_changes(value=sync_name(updated_node.value))

    def leave_ImportFrom(
        self, original_node: cst.ImportFrom, updated_node: cst.ImportFrom
    ) -> cst.ImportFrom:
        named = original_node.module and get_full_name_for_node(original_node.module)
        package, _, module = (named or "").rpartition(".")
        if package != PACKAGE or module not in MODULES:
            return updated_node
        target = cst.parse_expression(f"{PACKAGE}.sync_{module}")
        return updated_node.with_changes(module=target)

    def leave_SimpleString(
        self, original_node: cst.SimpleString, updated_node: cst.SimpleString
    ) -> cst.SimpleString:
        del original_node
        text = _CANCELLATION.sub("\n", updated_node.value)
        text = _ONE_LINE_LEFT.sub(r'\1"""', text)
        return updated_node.with_changes(value=sync_text(text))

    def leave_Comment(self, original_node: cst.Comment, updated_node: cst.Comment) -> cst.Comment:
        del original_node
        return updated_node.with_changes(value=sync_text(updated_node.value))


def synchronous(source: str, module: str) -> str:
    """Return the synchronous counterpart of an asynchronous module.

    Args:
        source: The text of the module.
        module: The name of the module within the client, for the header.
    """
    made = cst.parse_module(source).visit(_Synchronous()).code
    header = f"# Made from {module}.py by tools/sync_client.py: edit that, then run `make proto`.\n"
    ruff = [sys.executable, "-m", "ruff"]
    tidied = _piped([*ruff, "check", "--quiet", "--fix", "--select=I,F401"], header + made, module)
    return _piped([*ruff, "format", "--quiet"], tidied, module)


def _piped(command: list[str], text: str, module: str) -> str:
    filename = f"--stdin-filename={CLIENT / f'sync_{module}.py'}"
    done = subprocess.run(
        [*command, filename, "-"], input=text, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{module}: {done.stderr or done.stdout}")
    return done.stdout


def generate(client: Path = CLIENT) -> dict[str, str]:
    """Return the synchronous modules: name of the file -> text."""
    return {
        f"sync_{module}.py": synchronous((client / f"{module}.py").read_text("utf-8"), module)
        for module in MODULES
    }


def stale(client: Path = CLIENT) -> dict[str, str]:
    """Return the synchronous modules that are missing or differ: name of the file -> text."""
    return {
        name: text
        for name, text in generate(client).items()
        if not (client / name).exists() or (client / name).read_text("utf-8") != text
    }


def problems(client: Path = CLIENT) -> list[str]:
    """Return the problems of the committed synchronous client, a line each."""
    return [f"{name} is stale: run `make proto`" for name in stale(client)]


def write(client: Path = CLIENT) -> list[str]:
    """Bring the synchronous client up to date; return the names of the files that were written."""
    made = stale(client)
    for name, text in made.items():
        (client / name).write_text(text, "utf-8")
    return list(made)
