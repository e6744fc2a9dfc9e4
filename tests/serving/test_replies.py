"""Cached replies equal newly made ones, and the cache is bounded."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, cast

import pytest
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec.structs import replace

from odds_service.bridge import TrioGate
from odds_service.config import ServerSettings
from odds_service.model.source import SourceStatus
from odds_service.serving import calls, replies
from odds_service.serving.errors import Refused
from odds_service.serving.parts import ServingParts
from odds_service.serving.replies import KEPT, Replies
from odds_service.serving.selection import selection
from odds_service.serving.server_context import ServerContext
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.odds_builders import Bookkeeping, random_observations

ALL = pb.GetOddsRequest()
FILTERS = [
    pb.Filter(),
    pb.Filter(event_ids=["e1"]),
    pb.Filter(event_ids=["e1", "e2"], bookmakers=["b1"]),
    pb.Filter(markets=["totals"]),
    pb.Filter(in_play=True),
]


class Asking:
    """Calls of GetOdds without a server in between."""

    def __init__(self, book: Bookkeeping, loop: asyncio.AbstractEventLoop) -> None:
        self._parts = ServingParts(
            cache=book.cache,
            feed=book.feed,
            gate=cast(TrioGate, None),  # for calls into Trio, which these tests do not make
            settings=ServerSettings(),
            status=book.status,
            now=lambda: book.now,
        )
        self._loop = loop
        self._serving = self._fresh()

    def _fresh(self) -> ServerContext:
        return ServerContext(self._parts, self._loop)

    def get(self, request: pb.GetOddsRequest, *, anew: bool = False) -> bytes:
        """Return a reply, with `anew` from a server without cached replies."""
        serving = self._fresh() if anew else self._serving
        read = serving.replies.FromString(request.SerializeToString())
        context: Any = None  # used only with a min_cursor, for its deadline
        return self._loop.run_until_complete(calls.get_odds(serving, read, context))


@contextmanager
def asking(book: Bookkeeping) -> Iterator[Asking]:
    loop = asyncio.SelectorEventLoop()
    try:
        yield Asking(book, loop)
    finally:
        loop.close()


def test_every_change_of_the_cache_is_told_at_once() -> None:
    book = Bookkeeping()
    with asking(book) as ask:
        for number, observation in enumerate(random_observations(random.Random(5), 40)):
            before = ask.get(ALL)
            book.see(observation, durable=number % 3 != 0)
            for only in FILTERS:
                request = pb.GetOddsRequest(filter=only)
                assert ask.get(request) == ask.get(request, anew=True)
            assert ask.get(ALL) != before or not book.log
            book.feed.advance_durable(book.feed.head_revision)
            assert ask.get(ALL) == ask.get(ALL, anew=True)


def test_unchanged_it_is_the_same_bytes_and_staleness_is_told_a_moment_later() -> None:
    book = Bookkeeping()
    for observation in random_observations(random.Random(5), 5):
        book.see(observation)
    with asking(book) as ask:
        first = ask.get(ALL)
        book.now += KEPT - timedelta(microseconds=1)
        assert ask.get(ALL) is first
        book.now += timedelta(hours=1)
        stale = ask.get(ALL)
        assert stale == ask.get(ALL, anew=True) != first
        assert pb.GetOddsResponse.FromString(stale).events[0].bookmakers[0].stale


def test_a_source_that_goes_stale_is_told_at_once() -> None:
    book = Bookkeeping()
    for observation in random_observations(random.Random(5), 5):
        book.see(observation)
    with asking(book) as ask:
        assert pb.GetOddsResponse.FromString(ask.get(ALL)).sources[0].state == pb.SOURCE_HEALTH_UP
        down = replace(book.cache.sources["toa"], status=SourceStatus.DOWN)
        book.cache.swap({}, {"toa": down}, None, book.now)
        reply = pb.GetOddsResponse.FromString(ask.get(ALL))
        assert reply.sources[0].state == pb.SOURCE_HEALTH_DOWN


@pytest.mark.parametrize(
    "request_",
    [
        pb.GetOddsRequest(include_best=True),
        pb.GetOddsRequest(min_cursor=pb.Cursor(epoch="e1", revision=1)),
        pb.GetOddsRequest(as_of_time=Timestamp(seconds=1)),
        pb.GetOddsRequest(filter=pb.Filter(event_ids=[f"{n:032x}" for n in range(40)])),
    ],
)
def test_what_depends_on_more_or_is_long_is_not_remembered(request_: pb.GetOddsRequest) -> None:
    book = Bookkeeping()
    kept = Replies(book.cache, book.feed, selection, lambda: book.now)
    raw = request_.SerializeToString()
    asked = kept.FromString(raw)
    kept.keep(asked, kept.stamp(), book.now, b"reply")
    assert kept.known(asked, kept.stamp()) is None
    assert not kept._bytes


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "MOST_REQUESTS", 3)
    monkeypatch.setattr(replies, "MOST_REPLY_BYTES", 100)
    book = Bookkeeping()
    kept = Replies(book.cache, book.feed, selection, lambda: book.now)
    stamp = kept.stamp()
    raws = [
        pb.GetOddsRequest(filter=pb.Filter(event_ids=[str(number)])).SerializeToString()
        for number in range(5)
    ]
    asked = [kept.FromString(raw) for raw in raws]
    assert [kept.FromString(raw) is one for raw, one in zip(raws[2:], asked[2:], strict=True)] == (
        [True] * 3
    )
    kept.keep(asked[0], stamp, book.now, bytes(90))  # the call is dropped before its reply is made
    assert kept.known(asked[0], stamp) is None
    kept.keep(asked[3], stamp, book.now, bytes(60))
    kept.keep(asked[4], stamp, book.now, bytes(60))
    assert kept.FromString(raws[3]) is not asked[3]
    assert kept.known(asked[4], stamp) == bytes(60)
    kept.keep(asked[4], stamp, book.now, bytes(101))
    assert kept.FromString(raws[4]) is not asked[4]
    assert kept._bytes == 0


def test_a_bad_request_is_refused_each_time() -> None:
    book = Bookkeeping()
    kept = Replies(book.cache, book.feed, selection, lambda: book.now)
    for _ in range(2):
        with pytest.raises(DecodeError):
            kept.FromString(b"\xff")
        with pytest.raises(Refused):
            kept.FromString(pb.GetOddsRequest(filter=pb.Filter(sports=[""])).SerializeToString())
