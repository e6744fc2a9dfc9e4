"""Every word that can be sent for programs to read is in the proto, and each is a word."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from odds_service.model.change import Reason
from odds_service.model.source import SourceReason
from odds_service.rpc.filtering import ENTERED_FILTER
from tests.contract.sentences import PROTO, ROOT, sentences

WORD = re.compile(r"[a-z][a-z0-9_]*")
IN_PROTO = {
    place: set(re.findall(r"`(\w+)`", " ".join(s.text for s in spoken)))
    for place in ("Change.reason", "SourceState.reason", "RefreshedSource.error_code")
    for spoken in [[s for s in sentences(PROTO.read_text("utf-8")) if s.place == place]]
}


def constants(of: type) -> set[str]:
    return {value for name, value in vars(of).items() if name.isupper()}


def error_kinds() -> Iterator[str]:
    """The first argument of each SourceError that is raised, where it is written out."""
    for path in sorted((ROOT / "odds_service").rglob("*.py")):
        yield from kinds_in(path)


def kinds_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "SourceError"
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)


def test_every_reason_of_a_change_is_told() -> None:
    sent = constants(Reason) | {ENTERED_FILTER}
    assert all(WORD.fullmatch(word) for word in sent)
    assert sent - IN_PROTO["Change.reason"] == set()


def test_every_reason_of_a_source_is_told() -> None:
    assert constants(SourceReason) - IN_PROTO["SourceState.reason"] == set()
    kinds = set(error_kinds())
    assert len(kinds) > 10
    assert all(WORD.fullmatch(kind) for kind in kinds)
    told = IN_PROTO["SourceState.reason"] | IN_PROTO["RefreshedSource.error_code"]
    assert kinds - told == set()
