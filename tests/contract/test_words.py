"""The proto lists every word that the server sends to programs."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from odds_service.delays import STAGES
from odds_service.filters.filtering import ENTERED_FILTER
from odds_service.model.change import Reason
from odds_service.model.source import SourceReason
from odds_service.sources.pace import DEFAULT_TIERS
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.contract.sentences import PROTO, ROOT, sentences
from tests.support.odds_builders import Bookkeeping, connected, serving
from tests.support.serving import service, settings_for, status_of

# Words that no call sends: a refresh returns a source's failure beside the others' results.
NEVER_SENT = {"SOURCE_FAILED"}
WORD = re.compile(r"[a-z][a-z0-9_]*")
IN_PROTO = {
    place: set(re.findall(r"`(\w+)`", " ".join(s.text for s in spoken)))
    for place in (
        "Change.reason",
        "SourceState.reason",
        "RefreshedSource.error_code",
        "DelayStatus.stage",
    )
    for spoken in [[s for s in sentences(PROTO.read_text("utf-8")) if s.place == place]]
}


def constants(of: type) -> set[str]:
    return {value for name, value in vars(of).items() if name.isupper()}


def served() -> Iterator[Path]:
    """Yield the modules of the calls and of the gRPC door."""
    for room in ("serving", "rpc"):
        yield from sorted((ROOT / "odds_service" / room).rglob("*.py"))


def words_of_errors(paths: Iterable[Path]) -> Iterator[str]:
    """Yield the reasons of ErrorInfo, the upper-case words in the code."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and re.fullmatch(r"[A-Z]{2,}(_[A-Z]+)*", text):
                yield text


def subjects() -> Iterator[str]:
    """Yield the limits named with RESOURCE_EXHAUSTED in the server's code."""
    for path in served():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "exhausted"
                and isinstance(node.args[0], ast.Constant)
            ):
                yield str(node.args[0].value)


def error_kinds() -> Iterator[str]:
    """Yield the kind of each SourceError in the code."""
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


def test_every_stage_of_a_delay_is_told() -> None:
    assert set(STAGES) == IN_PROTO["DelayStatus.stage"]


def test_every_word_of_an_error_is_told() -> None:
    told = " ".join(s.text for s in sentences(PROTO.read_text("utf-8")))
    words = set(words_of_errors(served())) - NEVER_SENT
    assert len(words) > 10
    assert {word for word in words if not re.search(rf"\b{word}\b", told)} == set()


def test_every_word_of_the_http_door_is_told() -> None:
    told = (ROOT / "docs" / "http.md").read_text("utf-8")
    modules = sorted((ROOT / "odds_service" / "http").glob("*.py"))
    words = {word for word in words_of_errors(modules) if "_" in word}
    assert len(words) >= 5
    assert {word for word in words if not re.search(rf"\b{word}\b", told)} == set()


def test_every_subject_of_a_quota_is_told() -> None:
    (told,) = [s.text for s in sentences(PROTO.read_text("utf-8")) if s.text.startswith("QuotaF")]
    named = set(re.findall(r"`([a-z ]+)`", told)) - {"subject"}
    assert set(subjects()) == named


async def test_the_names_in_a_status_are_those_that_the_proto_tells(tmp_path: Path) -> None:
    told: dict[str, set[str]] = {}
    for sentence in sentences(PROTO.read_text("utf-8")):
        told.setdefault(sentence.place, set()).update(re.findall(r"`(\w+)`", sentence.text))
    async with service(settings_for(tmp_path, 1, ["soccer_epl"])) as running:
        status = await status_of(running.address)
    assert {channel.name for channel in status.channels} == told["ChannelStatus.name"]
    units = told["ChannelStatus.unit"] - told["ChannelStatus.name"]
    assert {channel.unit for channel in status.channels} == units
    (source,) = status.sources
    tiers = {tier.tier for tier in source.freshness} | {tier.name for tier in DEFAULT_TIERS}
    assert tiers == told["FreshnessStatus.tier"]


async def test_an_enum_value_that_the_server_does_not_know_is_unspecified() -> None:
    async with serving(Bookkeeping()) as server:
        with connected(server.address) as client:
            opened = []
            for unknown in (0, 99):
                request = pb.WatchChangesRequest()
                # A number that only a later version of the proto would send.
                request.MergeFromString(bytes((5 << 3, unknown, 6 << 3, unknown)))
                with client.stream("WatchChanges", request) as stream:
                    opened.append((await stream.next()).opened)
                    await stream.until("image_end")
    assert opened[0] == opened[1]
    assert opened[0].policy == pb.SLOW_READER_POLICY_LOSSLESS
