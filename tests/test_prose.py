"""Docstrings begin with an imperative or a noun phrase, as docs and CONTRIBUTING say.

No test can tell good prose; this one catches the first wall that newcomers met: a first line that
is a clause ("What was asked …", "How far …").
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
