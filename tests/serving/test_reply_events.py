"""Replies that copy events from the last reply equal those of which everything is encoded anew."""

import asyncio
import gc
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, cast
from weakref import ref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from odds_service.access import Grant
from odds_service.bridge import TrioGate
from odds_service.cache import OddsCache
from odds_service.config import ServerSettings
from odds_service.model.market import MarketKey, Markets
from odds_service.model.restriction import Restriction
from odds_service.model.snapshot import EventOdds, Reading
from odds_service.model.source import SourceStatus
from odds_service.serving import calls
from odds_service.serving.odds import OddsView
from odds_service.serving.parts import ServingParts
from odds_service.serving.reply_events import ReplyEvents
from odds_service.serving.server_context import ServerContext
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.examples import examples
from tests.support.observations import observe, offered
from tests.support.odds_builders import Bookkeeping, random_observations

H2H = MarketKey("h2h")
FILTERS = [
    pb.Filter(),
    pb.Filter(event_ids=["e3", "e0", "e2"]),
    pb.Filter(event_ids=["e1"]),
    pb.Filter(markets=["totals"]),
    pb.Filter(markets=["h2h"], bookmakers=["b1"]),
    pb.Filter(in_play=True),
]
RESTRICTED = Grant("desk", "", frozenset(), Restriction(bookmakers=frozenset({"b2"})))
PACES = [(), ((0.0, 10.0), (3_600.0, 60.0), (None, 900.0)), ((600.0, 300.0), (None, 20.0))]


class Pages:
    """Calls of GetOdds without a server in between, on clocks that the test sets."""

    def __init__(self, book: Bookkeeping, loop: asyncio.AbstractEventLoop, *, boots: bool) -> None:
        self.book = book
        self.boot_s: float | None = 0.0 if boots else None
        self.distrust_before_s = float("-inf")
        self._loop = loop
        self._serving = self._server(book.cache)
        self._restricted = self._serving.seen_by(RESTRICTED)

    def _server(self, cache: OddsCache) -> ServerContext:
        parts = ServingParts(
            cache=cache,
            feed=self.book.feed,
            gate=cast(TrioGate, None),  # for calls into Trio, which these tests do not make
            settings=ServerSettings(),
            status=self.book.status,
            now=lambda: self.book.now,
            clocks=lambda: Reading(self.book.now, self.boot_s, self.distrust_before_s),
        )
        return ServerContext(parts, self._loop)

    def get(self, request: pb.GetOddsRequest, *, restricted: bool = False) -> bytes:
        return self._ask(self._restricted if restricted else self._serving, request)

    def anew(self, request: pb.GetOddsRequest, *, restricted: bool = False) -> bytes:
        """Return the reply of a server that has nothing encoded, and shares no odds with ours."""
        cache = self.book.cache
        events = [_copy(entry) for entry in cache.events.values()]
        plain = self._server(
            OddsCache(self.book.feed, events=events, sources=cache.sources.values())
        )
        return self._ask(plain.seen_by(RESTRICTED) if restricted else plain, request)

    def _ask(self, server: ServerContext, request: pb.GetOddsRequest) -> bytes:
        context: Any = None  # used only with a min_cursor, for its deadline
        asked = server.asked(request.SerializeToString())
        return self._loop.run_until_complete(calls.get_odds(server, asked, context))


def _copy(entry: EventOdds) -> EventOdds:
    """Return equal odds without any encoded bytes."""
    bookmakers = {
        key: replace(odds, markets=Markets({each: replace(m) for each, m in odds.markets.items()}))
        for key, odds in entry.bookmakers.items()
    }
    return replace(entry, bookmakers=bookmakers)


@contextmanager
def pages(book: Bookkeeping, *, boots: bool = False) -> Iterator[Pages]:
    loop = asyncio.SelectorEventLoop()
    try:
        yield Pages(book, loop, boots=boots)
    finally:
        loop.close()


def something_happens(rng: random.Random, page: Pages, polls: Iterator[Any]) -> None:
    """Change the odds, what of them is stored, a source, or the clocks; or nothing."""
    book = page.book
    feed = book.feed
    match rng.randrange(9):
        case 0 | 1 | 2:
            before = book.now
            book.see(next(polls), durable=rng.random() < 0.5)
            if page.boot_s is not None:
                page.boot_s += (book.now - before).total_seconds()
        case 3:
            feed.advance_durable(rng.randint(feed.durable_revision, feed.head_revision))
        case 4:
            state = book.cache.sources["toa"]
            status = rng.choice([SourceStatus.UP, SourceStatus.UP, SourceStatus.STALE])
            state = replace(state, status=status, paces=rng.choice(PACES))
            book.cache.swap({}, {"toa": state}, None, book.now)
        case 5 | 6:
            passed_s = rng.choice([0.5, 0.9995, 10.0, 59.5, 600.0])
            book.now += timedelta(seconds=passed_s)
            if page.boot_s is not None:
                page.boot_s += passed_s
        case 7 if page.boot_s is not None:  # the wall clock jumps
            book.now += timedelta(seconds=rng.choice([-700.0, -1.0, 1.0, 700.0]))
            if rng.random() < 0.5:
                page.distrust_before_s = page.boot_s


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=examples(40))
def test_a_reply_equals_one_that_is_encoded_anew(seed: int, boots: bool) -> None:
    rng = random.Random(seed)
    polls = random_observations(rng, 100)
    with pages(Bookkeeping(), boots=boots) as page:
        for _ in range(25):
            something_happens(rng, page, polls)
            # As always when no more than time has passed, a reply may be kept for a moment.
            page.book.cache.swap({}, {}, None, page.book.now)
            for only in rng.sample(FILTERS, 3):
                request, restricted = pb.GetOddsRequest(filter=only), rng.random() < 0.3
                told = page.get(request, restricted=restricted)
                assert told == page.anew(request, restricted=restricted)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the encodings of each event."""
    found: Counter[str] = Counter()
    encode = OddsView.event_fields

    def counted(view: OddsView, entry: EventOdds, looks: list[Any]) -> list[bytes]:
        found[entry.event.id] += 1
        return encode(view, entry, looks)

    monkeypatch.setattr(OddsView, "event_fields", counted)
    return found


def offer(book: Bookkeeping, **prices: float) -> None:
    book.see(observe(offered({name: {"b": {H2H: {"home": p}}} for name, p in prices.items()})))


def test_of_a_page_only_what_changed_is_encoded(encoded: Counter[str]) -> None:
    book = Bookkeeping()
    offer(book, e1=1.5, e2=1.5, e3=1.5)
    with pages(book) as page:
        for turn in range(5):
            entry = book.cache.events["e2"]
            book.cache.swap({"e2": replace(entry)}, {}, None, book.now)
            page.get(pb.GetOddsRequest())
            # The first reply is not prepared for a second request, the second one for a third.
            assert encoded["e1"] == encoded["e3"] == min(turn + 1, 2)
            assert encoded["e2"] == turn + 1


def test_what_is_stored_meanwhile_is_encoded_anew(encoded: Counter[str]) -> None:
    book = Bookkeeping()
    offer(book, e1=1.5)
    with pages(book) as page:
        for _ in range(2):
            page.get(pb.GetOddsRequest())
            book.cache.swap({}, {}, None, book.now)
        book.see(observe(offered({"e1": {"b": {H2H: {"home": 1.6}}}}), 1), durable=False)
        ids = []
        for _ in range(3):
            reply = pb.GetOddsResponse.FromString(page.get(pb.GetOddsRequest()))
            ids.append(reply.events[0].bookmakers[0].snapshot_id)
            book.cache.swap({}, {}, None, book.now)
        assert encoded["e1"] == 3
        book.feed.advance_durable(book.feed.head_revision)
        reply = pb.GetOddsResponse.FromString(page.get(pb.GetOddsRequest()))
        assert ids == [0, 0, 0]
        assert reply.events[0].bookmakers[0].snapshot_id == book.feed.head_revision
        assert encoded["e1"] == 4


def test_a_reply_keeps_no_odds_in_memory_that_have_left_the_cache() -> None:
    book = Bookkeeping()
    offer(book, e1=1.5)
    with pages(book) as page:
        for _ in range(3):
            page.get(pb.GetOddsRequest())
            book.cache.swap({}, {}, None, book.now)
        old = ref(book.cache.events["e1"])
        book.batches.clear()
        book.cache.swap({"e1": None}, {}, None, book.now)
        gc.collect()
        assert old() is None
        assert not pb.GetOddsResponse.FromString(page.get(pb.GetOddsRequest())).events


def test_ages_of_copied_events_are_counted() -> None:
    book = Bookkeeping()
    offer(book, e1=1.5, e2=1.5)
    (first, second) = (replace(entry) for entry in book.cache.events.values())
    for entry in (first, second):
        sources = {name: replace(each, tier="all") for name, each in entry.sources.items()}
        book.cache.swap({entry.event.id: replace(entry, sources=sources)}, {}, None, book.now)
    with pages(book, boots=True) as page:
        delays = page._serving.parts.delays
        for _ in range(4):
            page.get(pb.GetOddsRequest())
            book.cache.swap({}, {}, None, book.now)
        page._serving.deliveries.count()
        (report,) = delays.report("toa", "all")
        assert sum(report.buckets) == 4 * 2


def test_a_copy_spans_neighbours() -> None:
    book = Bookkeeping()
    offer(book, e1=1.5, e2=1.5, e3=1.5)
    with pages(book) as page:
        for _ in range(2):
            page.get(pb.GetOddsRequest())
            book.cache.swap({}, {}, None, book.now)
        last = page._serving.asked(b"").events
        assert last is not None
        serving = page._serving
        view = OddsView(
            book.cache.view(), serving.asked(b"").selection, Reading(book.now), serving.wires
        )
        events = ReplyEvents(view, last, keep=True)
        for entry in view.events():
            events.add(entry)
        (copied,) = events.fields()
        assert isinstance(copied, memoryview)
        assert last.reply.startswith(bytes(copied))
        assert events.size == len(copied)
