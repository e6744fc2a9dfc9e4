"""The rights that a role lacks, told from NATS' own form of permissions."""

from typing import Any

import pytest

pytest.importorskip("nats", reason="needs the extra bus")

from odds_service.bus.connection import NatsOptions
from odds_service.bus.needs import Need, covers, excess, lacking, needs
from tests.bus.test_rights import rights

OPTIONS = NatsOptions(servers=["nats://127.0.0.1:4222"], user="read", password="secret")
API = "$JS.API"
READ: dict[str, Any] = {
    "publish": {
        "allow": [
            "odds.refresh",
            f"{API}.STREAM.INFO.ODDS",
            f"{API}.STREAM.MSG.GET.ODDS",
            f"{API}.CONSUMER.CREATE.ODDS.*",
            f"{API}.CONSUMER.MSG.NEXT.ODDS.*",
            f"{API}.CONSUMER.DELETE.ODDS.*",
        ]
    },
    "subscribe": {"allow": ["odds.status", "_INBOX.read.>"]},
}


def words(found: list[Need]) -> list[str]:
    return [str(need) for need in found]


@pytest.mark.parametrize(
    ("pattern", "subject", "held"),
    [
        ("odds.log", "odds.log", True),
        ("odds.log", "odds.status", False),
        ("odds", "odds.log", False),
        ("odds.log.x", "odds.log", False),
        ("odds.*", "odds.log", True),
        ("odds.*", "odds.log.x", False),
        ("odds.>", "odds.log.x", True),
        ("odds.>", "odds", False),
        (">", "$JS.API.STREAM.INFO.ODDS", True),
        ("ODDS*", "ODDS", False),  # a letter within a word
        ("a.*", "a.*", True),
        ("a.*", "a.>", False),
        ("a.>", "a.*", True),
        ("a.b", "a.*", False),
        ("a.>", "a.>", True),
        ("a.*.c", "a.b.c", True),
        ("a.>.c", "a.b.c", False),
    ],
)
def test_wildcards_stand_for_whole_words(pattern: str, subject: str, held: bool) -> None:
    assert covers(pattern, subject) is held


def test_a_user_without_rules_may_do_everything() -> None:
    for role in ("ingest", "read"):
        assert lacking(needs(role, OPTIONS), {}) == []
        assert lacking(excess(role, OPTIONS), {}) == []


def test_the_least_rights_suffice_and_are_no_excess() -> None:
    assert lacking(needs("read", OPTIONS), READ) == []
    assert lacking(excess("read", OPTIONS), READ) == excess("read", OPTIONS)


@pytest.mark.parametrize("place", range(6))
def test_each_right_to_publish_is_missed(place: int) -> None:
    allowed = READ["publish"]["allow"]
    held = READ | {"publish": {"allow": allowed[:place] + allowed[place + 1 :]}}
    (need,) = lacking(needs("read", OPTIONS), held)
    assert need.subject == allowed[place]
    assert str(need).startswith(f"publish {allowed[place]}, to ")


def test_rights_to_hear_are_missed_in_words() -> None:
    held = READ | {"subscribe": {"allow": ["_INBOX.>"]}}
    assert words(lacking(needs("read", OPTIONS), held)) == [
        "subscribe to odds.status, to hear of the ingest node"
    ]


def test_an_ingest_node_needs_to_answer() -> None:
    everything = {"publish": {"allow": [">"]}, "subscribe": {"allow": [">"]}}
    assert words(lacking(needs("ingest", OPTIONS), everything)) == []
    listed = {"publish": {"allow": ["odds.*", "$JS.API.>"]}, "subscribe": {"allow": [">"]}}
    assert words(lacking(needs("ingest", OPTIONS), listed)) == [
        "answer requests to odds.refresh (allow_responses), to answer read nodes"
    ]
    assert lacking(needs("ingest", OPTIONS), listed | {"responses": {"max": 1}}) == []


def test_what_is_denied_is_lacking_though_it_is_allowed_too() -> None:
    for denied in (
        "odds.refresh",
        "odds.*",
        "$JS.API.CONSUMER.CREATE.ODDS.x",
        "odds.refresh queue",
    ):
        held = READ | {"publish": {**READ["publish"], "deny": [denied]}}
        assert len(lacking(needs("read", OPTIONS), held)) == 1, denied


def test_subjects_follow_the_settings() -> None:
    options = NatsOptions(servers=[], stream="MINE", subject="a.b.log", user="me", password="x")
    subjects = {need.subject for need in needs("ingest", options)}
    assert {"a.b.log", "a.b.status", "a.b.refresh", "_INBOX.me.>"} <= subjects
    assert f"{API}.STREAM.INFO.MINE" in subjects
    alone = NatsOptions(servers=[], subject="log")
    assert {"log", "status", "refresh", "_INBOX.>"} <= {
        need.subject for need in needs("ingest", alone)
    }


def test_a_read_node_that_may_write_the_log_is_told_of() -> None:
    held = READ | {"publish": {"allow": ["odds.*"]}}
    beyond = [need for need in excess("read", OPTIONS) if need not in lacking([need], held)]
    assert words(beyond) == ["publish odds.log, to write the log"]
    assert "odds.log" not in {need.subject for need in excess("ingest", OPTIONS)}


@pytest.mark.parametrize("role", ["ingest", "read"])
def test_the_users_of_the_file_have_exactly_what_their_role_needs(role: str) -> None:
    """The rights of the file are those that the code uses; see test_rights."""
    options = NatsOptions(servers=[], user=role, password="x")
    given = {
        (action, subject)
        for user, action, subject in rights()
        if user == role and subject != "$SYS.REQ.USER.INFO"
    }
    needed = {(need.verb, need.subject) for need in needs(role, options) if need.verb != "answer"}
    assert given == needed
