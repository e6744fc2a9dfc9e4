"""The rights that a role needs at the bus, and those that its user lacks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from msgspec import Struct

from odds_service.bus.bus import beside
from odds_service.bus.connection import NatsOptions, inbox_prefix

_ALL_INBOXES: Final = "_INBOX.>"


class Need(Struct, frozen=True):
    """A right that a role needs.

    Attributes:
        verb: The way in which a subject is used; `answer` is a reply to a request.
        purpose: The use of it, as words after "to".
    """

    verb: Literal["publish", "subscribe", "answer"]
    subject: str
    purpose: str

    def __str__(self) -> str:
        """Return it in words."""
        if self.verb == "answer":
            return f"answer requests to {self.subject} (allow_responses), to {self.purpose}"
        return f"{self.verb} {'to ' * (self.verb == 'subscribe')}{self.subject}, to {self.purpose}"


def needs(role: str, options: NatsOptions) -> list[Need]:
    """Return the rights of a role, `ingest` or `read`."""
    stream, log = options.stream, options.subject
    refresh, status = beside(log, "refresh"), beside(log, "status")
    api = "$JS.API"
    common = [
        Need("subscribe", f"{inbox_prefix(options)}.>", "hear answers"),
        Need("publish", f"{api}.STREAM.INFO.{stream}", "look at the stream"),
        Need("publish", f"{api}.STREAM.MSG.GET.{stream}", "look at one message"),
        Need("publish", f"{api}.CONSUMER.CREATE.{stream}.*", "read the log"),
        Need("publish", f"{api}.CONSUMER.MSG.NEXT.{stream}.*", "read the log"),
        Need("publish", f"{api}.CONSUMER.DELETE.{stream}.*", "end a reader"),
    ]
    if role == "ingest":
        return [
            *common,
            Need("publish", log, "write the log"),
            Need("publish", status, "tell its state"),
            Need("subscribe", refresh, "hear requests of read nodes"),
            Need("answer", refresh, "answer read nodes"),
        ]
    return [
        *common,
        Need("publish", refresh, "ask for a refresh"),
        Need("subscribe", status, "hear of the ingest node"),
    ]


def excess(role: str, options: NatsOptions) -> list[Need]:
    """Return rights that a role never uses, and that do harm in wrong hands."""
    stream = options.stream
    harmful = [
        Need("publish", f"$JS.API.STREAM.{verb}.{stream}", purpose)
        for verb, purpose in (
            ("DELETE", "delete the log"),
            ("PURGE", "empty the log"),
            ("UPDATE", "change the stream"),
        )
    ]
    return harmful + ([Need("publish", options.subject, "write the log")] if role == "read" else [])


def lacking(wanted: Sequence[Need], permissions: Mapping[str, Any]) -> list[Need]:
    """Return the needs that a user's permissions do not cover.

    Args:
        wanted: The needs.
        permissions: What `$SYS.REQ.USER.INFO` tells; empty for a user who may do everything.
    """
    return [need for need in wanted if not _covered(need, permissions)]


def _covered(need: Need, permissions: Mapping[str, Any]) -> bool:
    if need.verb == "answer":
        return bool(permissions.get("responses")) or _may("publish", _ALL_INBOXES, permissions)
    return _may(need.verb, need.subject, permissions)


def _may(verb: str, subject: str, permissions: Mapping[str, Any]) -> bool:
    """Return whether a subject may be used; without a list of allowed ones, all may."""
    rules = permissions.get(verb) or {}
    allowed = list(_subjects(rules.get("allow")))
    denied = list(_subjects(rules.get("deny")))
    return (not allowed or any(covers(each, subject) for each in allowed)) and not any(
        covers(each, subject) or covers(subject, each) for each in denied
    )


def _subjects(listed: Sequence[str] | None) -> Iterator[str]:
    """Yield subjects without the names of queues that may follow them."""
    for each in listed or ():
        yield each.split(" ")[0]


def covers(pattern: str, subject: str) -> bool:
    """Return whether all subjects of the second pattern belong to the first.

    `*` stands for one whole word and a last `>` for one or more; within a word they are letters.
    """
    words, wanted = pattern.split("."), subject.split(".")
    for place, word in enumerate(words):
        if word == ">" and place == len(words) - 1:
            return len(wanted) > place
        if place >= len(wanted) or wanted[place] == ">":
            return False
        if word not in {"*", wanted[place]}:
            return False
    return len(words) == len(wanted)
