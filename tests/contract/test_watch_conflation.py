"""Conflated streams, sentence by sentence: order, pace, and windows of several messages."""

import itertools
from collections.abc import Iterator
from time import monotonic

import pytest
from google.protobuf.duration_pb2 import Duration

from odds_service.model.market import MarketKey
from odds_service.serving import reading, stored
from odds_service.stream import conflation
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.contract.literal import LiteralWatcher, bettable
from tests.contract.test_watch_cuts import current, reach, take
from tests.support.observations import Prices, observe, offered
from tests.support.odds_builders import Bookkeeping, connected, serving

LINES = [MarketKey("totals", str(line)) for line in range(300)]
FIFTH = Duration(nanos=200_000_000)


def offer(price: float, events: int = 3) -> dict[str, dict[str, dict[MarketKey, Prices]]]:
    return {f"e{n}": {"b": {key: {"over": price} for key in LINES}} for n in range(events)}


@pytest.fixture
def small_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_BODY_BYTES", 16_384)


async def test_a_cut_inside_a_window_of_several_messages_loses_nothing(
    small_messages: None,
) -> None:
    """A market that changes back within a window has no net change, so a lost part would show."""
    book = Bookkeeping()
    book.see(observe(offered(offer(1.5)), 0))
    async with serving(book) as server:
        with connected(server.address) as client:
            for cut_after in itertools.count(1):
                watcher = LiteralWatcher(conflate=Duration(seconds=1))
                with client.stream("WatchChanges", watcher.request()) as stream:
                    await reach(stream, watcher, book.feed.head_revision)
                    book.see(observe(offered(offer(2.5)), 0))
                    head = book.feed.head_revision
                    got: list[str] = []
                    while got.count("changes") < cut_after:
                        got += await take(stream, watcher, 1)
                    assert watcher.cursor is not None
                    whole = watcher.cursor.revision == head
                book.see(observe(offered(offer(1.5)), 0))
                with client.stream("WatchChanges", watcher.request()) as stream:
                    await reach(stream, watcher, book.feed.head_revision)
                assert bettable(watcher.held) == bettable(await current(client))
                if whole:
                    assert watcher.opened.reason == pb.INTENT_REASON_RESUMED
                    assert cut_after > 3
                    break
                assert watcher.opened.reason == pb.INTENT_REASON_IMAGE_INCOMPLETE


async def test_a_window_of_several_messages_goes_out_at_once_and_in_order(
    small_messages: None,
) -> None:
    book = Bookkeeping()
    book.see(observe(offered(offer(1.5)), 0))
    async with serving(book) as server:
        with connected(server.address) as client:
            watcher = LiteralWatcher(conflate=Duration(seconds=60))
            with client.stream("WatchChanges", watcher.request()) as stream:
                await reach(stream, watcher, book.feed.head_revision)
                book.see(observe(offered(offer(2.5)), 0))
                began = monotonic()
                await reach(stream, watcher, book.feed.head_revision)
            # With a window for each message, this would have taken a minute.
            assert len(watcher.changes) == 900
            revisions = [change.revision for change in watcher.changes]
            assert revisions == sorted(revisions)
            assert monotonic() - began < 60


@pytest.mark.parametrize(
    "chosen", [pb.Filter(), pb.Filter(bookmakers=["b"]), pb.Filter(in_play=False)]
)
async def test_no_two_windows_begin_within_the_interval_from_the_start_on(
    monkeypatch: pytest.MonkeyPatch, chosen: pb.Filter
) -> None:
    """The stream begins in the database and goes on in memory, while odds move."""
    monkeypatch.setattr(stored, "PAGE_CHANGES", 5)
    begun: list[float] = []

    folded = conflation.Window.changes

    def timed(window: conflation.Window) -> Iterator[conflation.Folded]:
        if len(window):
            begun.append(monotonic())
        return folded(window)

    monkeypatch.setattr(conflation.Window, "changes", timed)
    book = Bookkeeping(capacity=8, keeps_past=True)
    for minute in range(60):
        book.see(observe(offered(offer(1.5 + minute / 100, 1) | offer(1.2, 2)), minute))
    async with serving(book) as server:
        with connected(server.address) as client:
            watcher = LiteralWatcher(filter=chosen, conflate=FIFTH)
            watcher.acts = True
            watcher.cursor = pb.Cursor(epoch=book.feed.epoch)
            with client.stream("WatchChanges", watcher.request()) as stream:
                while len(begun) < 6:
                    minute += 1
                    book.see(observe(offered(offer(1.5 + minute / 100, 1)), minute))
                    await take(stream, watcher, 1)
    assert min(b - a for a, b in itertools.pairwise(begun)) >= 0.199
