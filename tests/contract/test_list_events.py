"""ListEvents by the proto: pages miss and repeat nothing while events move."""

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from odds_service.model.market import MarketKey
from odds_service.store import WriteGroup
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import utc_time
from tests.contract.calling import refused
from tests.support.databases import SqlitePlace
from tests.support.observations import NOON, observe, observed_event
from tests.support.odds_builders import EPOCH, Bookkeeping, Client, connected, serving

H2H = MarketKey("h2h")
SHOWN = {"b": {H2H: {"home": 1.5, "away": 2.5}}}


class Fixtures:
    """A book whose events are postponed, brought forward, dropped and added between pages."""

    def __init__(self, rng: random.Random, *, capacity: int) -> None:
        self.book = Bookkeeping(capacity=capacity)
        self.starts = {f"e{n:02}": NOON + timedelta(minutes=rng.randint(60, 90)) for n in range(30)}
        self._rng = rng
        self._polls = 0
        self._added = 0
        self.show()

    def show(self) -> None:
        events = [
            observed_event(event_id, SHOWN, start_time=start)
            for event_id, start in self.starts.items()
        ]
        self.book.see(observe(events, self._polls))
        self._polls += 1

    def move(self) -> None:
        rng = self._rng
        for event_id in rng.sample(sorted(self.starts), 8):
            self.starts[event_id] += timedelta(minutes=rng.randint(-40, 40))
        gone = rng.choice(sorted(self.starts))
        self.starts.pop(gone)
        self._added += 1
        self.starts[f"new{self._added:02}"] = NOON + timedelta(minutes=rng.randint(60, 90))
        self.show()
        self.show()  # an event missing for the second time has ended


async def listed(client: Client, between: Any, **fields: Any) -> list[pb.ListedEvent]:
    """Return the rows of all pages, calling `between` after each page but the last."""
    rows: list[pb.ListedEvent] = []
    request = pb.ListEventsRequest(**fields)
    while True:
        reply = await client.call("ListEvents", request)
        rows += reply.events
        if not reply.next_page_token:
            return rows
        request.page_token = reply.next_page_token
        between()


@pytest.mark.parametrize("capacity", [200_000, 1])  # pages from memory, and from the database
@pytest.mark.parametrize("seed", range(6))
async def test_an_event_that_stays_is_listed_once_however_it_moves(
    seed: int, capacity: int
) -> None:
    fixtures = Fixtures(random.Random(seed), capacity=capacity)
    first: dict[str, datetime] = dict(fixtures.starts)
    async with serving(fixtures.book) as server:
        with connected(server.address) as client:
            rows = await listed(client, fixtures.move, page_size=4)
    ids = [row.event.id for row in rows]
    assert len(ids) == len(set(ids))
    stayed = [event_id for event_id in first if event_id in fixtures.starts]
    assert len(stayed) < len(first)
    assert set(stayed) <= set(ids)
    # In the order of the starts at the first page.
    known = [event_id for event_id in ids if event_id in first]
    assert known == sorted(known, key=lambda event_id: (first[event_id], event_id))


async def test_pages_out_of_a_real_database_are_whole_too(tmp_path: Path) -> None:
    place = SqlitePlace(tmp_path)
    fixtures = Fixtures(random.Random(9), capacity=1)
    first, stored = set(fixtures.starts), 0
    async with place.begun() as (store, _):

        async def write() -> None:
            nonlocal stored
            await store.write(WriteGroup(fixtures.book.batches[stored:]))
            stored = len(fixtures.book.batches)

        await write()
        async with serving(fixtures.book, store=store) as server:
            with connected(server.address) as client:
                request = pb.ListEventsRequest(page_size=4)
                ids: list[str] = []
                while True:
                    reply = await client.call("ListEvents", request)
                    ids += [row.event.id for row in reply.events]
                    request.page_token = reply.next_page_token
                    if not request.page_token:
                        break
                    fixtures.move()
                    await write()
    assert len(ids) == len(set(ids))
    assert first & set(fixtures.starts) <= set(ids)


async def test_a_page_is_as_large_as_asked_up_to_a_thousand() -> None:
    book = Bookkeeping()
    book.see(observe([observed_event(f"e{n:04}", SHOWN) for n in range(1_050)]))
    async with serving(book) as server:
        with connected(server.address) as client:
            for asked, size in ((0, 100), (7, 7), (1_000, 1_000), (5_000, 1_000)):
                reply = await client.call("ListEvents", pb.ListEventsRequest(page_size=asked))
                assert len(reply.events) == size
                assert reply.next_page_token
            rest = await client.call(
                "ListEvents",
                pb.ListEventsRequest(page_size=1_000, page_token=reply.next_page_token),
            )
            assert (len(rest.events), rest.next_page_token) == (50, "")
            assert rest.cursor == pb.Cursor(epoch=EPOCH, revision=book.feed.head_revision)


async def test_a_token_is_not_checked_against_the_filter() -> None:
    book = Bookkeeping()
    book.see(observe([observed_event(f"e{n}", SHOWN) for n in range(4)]))
    async with serving(book) as server:
        with connected(server.address) as client:
            page = await client.call("ListEvents", pb.ListEventsRequest(page_size=1))
            other = pb.ListEventsRequest(
                filter=pb.Filter(event_ids=["e0", "e3"]), page_token=page.next_page_token
            )
            reply = await client.call("ListEvents", other)
            assert [row.event.id for row in reply.events] == ["e3"]


async def test_a_token_from_before_what_is_kept_is_refused_by_name() -> None:
    fixtures = Fixtures(random.Random(1), capacity=1)
    async with serving(fixtures.book) as server:
        with connected(server.address) as client:
            page = await client.call("ListEvents", pb.ListEventsRequest(page_size=4))
            fixtures.move()
            fixtures.book.stored_from = fixtures.book.feed.head_revision
            request = pb.ListEventsRequest(page_token=page.next_page_token)
            found = await refused(client, "ListEvents", request)
            assert (found.code, found.field) == ("INVALID_ARGUMENT", "page_token")


async def test_a_row_is_the_event_its_bookmakers_and_its_sources() -> None:
    book = Bookkeeping()
    totals = MarketKey("totals", "2.5")
    shown = {"b": {H2H: {"home": 1.5}, totals: {"over": 1.9}}, "c": {H2H: {"home": 1.4}}}
    book.see(observe([observed_event("late", SHOWN, start_time=NOON + timedelta(hours=9)),
                      observed_event("e", shown)]))  # fmt: skip
    book.now += timedelta(hours=1)
    async with serving(book) as server:
        with connected(server.address) as client:
            reply = await client.call("ListEvents", pb.ListEventsRequest())
            odds = await client.call("GetOdds", pb.GetOddsRequest())
    assert [row.event.id for row in reply.events] == ["e", "late"]
    row, entry = reply.events[0], odds.events[0]
    assert row.event == entry.event
    assert [(b.bookmaker, b.source, b.markets) for b in row.bookmakers] == [
        ("b", "toa", 2), ("c", "toa", 1),
    ]  # fmt: skip
    for listed_one, shown_one in zip(row.bookmakers, entry.bookmakers, strict=True):
        assert listed_one.confirmed_at == shown_one.confirmed_at
        assert listed_one.stale is shown_one.stale is True  # an hour without a look
    (match,) = row.matches
    assert (match.source, match.source_event_id) == ("toa", "e")
    assert (match.score, match.reason) == (0, "")  # alone
    assert (match.home, match.away, match.competition) == ("Home", "Away", "soccer_epl")
    assert utc_time(match.start_time) == NOON + timedelta(hours=6)
