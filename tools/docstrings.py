"""Docstrings, sampled for a cold reader: `python -m tools.docstrings --seed 7 --count 50`.

The same seed gives the same sample of the same tree. CONTRIBUTING.md says how they are written.
"""

import ast
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

ROOT: Final = Path(__file__).resolve().parent.parent
PARTS: Final = ("odds_service", "tests", "tools", "examples")


def docstrings(root: Path = ROOT) -> Iterator[tuple[str, str]]:
    """Yield (place, text) for every docstring of the hand-written code, in order of path."""
    for part in PARTS:
        for path in sorted((root / part).rglob("*.py")):
            if "pb" in path.relative_to(root).parts:
                continue
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if not isinstance(
                    node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
                ):
                    continue
                text = ast.get_docstring(node)
                if text is not None:
                    line = 1 if isinstance(node, ast.Module) else node.lineno
                    yield f"{path.relative_to(root)}:{line}", text


def main(
    *,
    seed: Annotated[int, typer.Option(help="The same seed gives the same sample.")] = 7,
    count: Annotated[int, typer.Option(help="Docstrings to show.", min=1)] = 50,
) -> None:
    """Print a sample of the docstrings."""
    known = list(docstrings())
    for place, text in random.Random(seed).sample(known, min(count, len(known))):
        print(f"--- {place}\n{text}\n")


if __name__ == "__main__":
    typer.run(main)
