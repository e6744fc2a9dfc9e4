"""Every word that can be sent for programs to read is in the proto, and each is a word."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from odds_service.filters.filtering import ENTERED_FILTER
from odds_service.model.change import Reason
from odds_service.model.source import SourceReason
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.contract.sentences import PROTO, ROOT, sentences
from tests.support.odds_builders import Bookkeeping, connected, serving

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


async def test_an_enum_value_that_the_server_does_not_know_is_unspecified() -> None:
    async with serving(Bookkeeping()) as server:
        with connected(server.address) as client:
            opened = []
            for unknown in (0, 99):
                request = pb.WatchChangesRequest()
                # As a later version of the proto would send them: by number.
                request.MergeFromString(bytes((5 << 3, unknown, 6 << 3, unknown)))
                with client.stream("WatchChanges", request) as stream:
                    opened.append((await stream.next()).opened)
                    await stream.until("image_end")
    assert opened[0] == opened[1]
    assert opened[0].policy == pb.SLOW_READER_POLICY_LOSSLESS
