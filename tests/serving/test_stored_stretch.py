"""Streams that read from the database: few at once, and none misses a change meanwhile."""

from contextlib import ExitStack

import pytest
import trio
from google.protobuf.duration_pb2 import Duration

from odds_service.model.market import MarketKey
from odds_service.serving import stored
from odds_service.serving.server_context import REPLAYS_AT_ONCE
from odds_service.store import HistoryFilter, HistoryPage
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.serving.test_watch import cursor, read_to
from tests.support.observations import Prices, observe, offered
from tests.support.odds_builders import (
    EVERYTHING,
    Bookkeeping,
    assert_unbroken,
    changes_of,
    connected,
    serving,
)

H2H = MarketKey("h2h")
TENTH = Duration(nanos=100_000_000)


def priced(minute: int) -> dict[str, dict[MarketKey, Prices]]:
    return {"b": {H2H: {"home": 1.5 + minute / 100}}}


class Slow(Bookkeeping):
    """A store that holds its pages until `let_out`; `most` is the most held at once."""

    def __init__(self) -> None:
        super().__init__(capacity=4)
        self.let_out = trio.Event()
        self.asked = self.most = 0

    async def history_page(
        self, after: int, upto: int, limit: int, only: HistoryFilter = EVERYTHING
    ) -> HistoryPage:
        if only.sources:  # a read before the stream opens
            return await super().history_page(after, upto, limit, only)
        self.asked += 1
        self.most = max(self.most, self.asked)
        try:
            await self.let_out.wait()
            return await super().history_page(after, upto, limit, only)
        finally:
            self.asked -= 1


async def test_few_read_the_database_at_once_and_all_get_everything() -> None:
    book = Slow()
    for minute in range(20):
        book.see(observe(offered({"e": priced(minute)}), minute))
    head = book.feed.head_revision
    async with serving(book) as server:
        with connected(server.address) as client, ExitStack() as opened:
            streams = [
                opened.enter_context(client.watch(resume=cursor(1)))
                for _ in range(REPLAYS_AT_ONCE + 4)
            ]
            for stream in streams:
                await stream.until("opened")
            with trio.fail_after(30):
                while book.asked < REPLAYS_AT_ONCE:  # noqa: ASYNC110  # the server has no event
                    await trio.sleep(0.01)
            book.let_out.set()
            for stream in streams:
                messages = await read_to(stream, head)
                assert [c.revision for c in changes_of(messages)] == list(range(2, head + 1))
            assert book.most == REPLAYS_AT_ONCE


class Forgetting(Bookkeeping):
    """A store whose retention overtakes the reader after its first page."""

    async def history_page(
        self, after: int, upto: int, limit: int, only: HistoryFilter = EVERYTHING
    ) -> HistoryPage:
        page = await super().history_page(after, upto, limit, only)
        if not only.sources and after >= 10:
            self.stored_from = 40
        return page


async def test_what_retention_takes_meanwhile_is_told_and_an_image_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stored, "PAGE_CHANGES", 10)
    book = Forgetting(capacity=4)
    for minute in range(60):
        book.see(observe(offered({"e": priced(minute)}), minute))
    async with serving(book) as server:
        with connected(server.address) as client, client.watch(resume=cursor(0)) as stream:
            messages = await read_to(stream, book.feed.head_revision)
    assert messages[0].opened.reason == pb.INTENT_REASON_RESUMED
    assert [c.revision for c in changes_of(messages)] == list(range(1, 11))
    lagged = next(message.lagged for message in messages if message.HasField("lagged"))
    assert (lagged.lost_from, lagged.reason) == (11, pb.INTENT_REASON_TOO_OLD)
    assert messages[-1].HasField("image_end")
    assert_unbroken(messages)


class Growing(Bookkeeping):
    """A store whose log gets a new event while its first page is read."""

    late = False

    async def history_page(
        self, after: int, upto: int, limit: int, only: HistoryFilter = EVERYTHING
    ) -> HistoryPage:
        page = await super().history_page(after, upto, limit, only)
        if not only.sources and only.of_markets and not self.late:
            self.late = True
            for minute in range(20, 40):
                self.see(observe(offered({"late": priced(minute)}), minute))
        return page


@pytest.mark.parametrize(
    "wanted", [pb.Filter(), pb.Filter(sports=["soccer"]), pb.Filter(in_play=False)]
)
async def test_an_event_that_comes_while_it_is_read_is_not_missed(wanted: pb.Filter) -> None:
    """A filter on events reads only events known when it began; the new one must be added."""
    book = Growing(capacity=5, keeps_past=True)
    for minute in range(20):
        book.see(observe(offered({"e": priced(minute)}), minute))
    async with serving(book) as server:
        with connected(server.address) as client:
            with client.watch(resume=cursor(0), filter=wanted, heartbeat=TENTH) as stream:
                messages = await read_to(stream, book.feed.head_revision)
                messages += await read_to(stream, book.feed.head_revision)
    assert book.late
    assert [c.revision for c in changes_of(messages)] == list(range(1, len(book.log) + 1))
    assert_unbroken(messages)
