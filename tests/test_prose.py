"""Docstrings begin with an imperative or a noun phrase, as docs and CONTRIBUTING say.

No test can judge prose. This one catches first lines that are clauses ("What was asked …", "How far
…"), the first obstacle that newcomers met.
"""

from typing import Final

from tools.docstrings import docstrings

CLAUSES: Final = frozenset(
    ["what", "how", "whether", "where", "who", "whose", "why", "which", "when", "that"]
)


def test_no_docstring_begins_with_a_clause() -> None:
    found = list(docstrings())
    assert len(found) > 1_000
    assert [
        f"{place}: {text.splitlines()[0]}"
        for place, text in found
        if text.split()[0].lower().strip(".,:") in CLAUSES
    ] == []
