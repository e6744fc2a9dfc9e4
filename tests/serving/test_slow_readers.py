"""Stalled readers: they delay nobody, hold little, and are told of every loss."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio

from odds_service.client import OddsMap
from odds_service.model.market import MarketKey
from odds_service.serving import hub, watch
from odds_service.serving.pending_image import PendingImage
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.observations import observe, offered
from tests.support.odds_builders import (
    Bookkeeping,
    assert_unbroken,
    changes_of,
    connected,
    serving,
)
from tests.support.serving import wait_until
from tests.support.stalled import StalledReader

LINES = [MarketKey("totals", str(n)) for n in range(200)]


@contextmanager
def stalled(address: str, **fields: object) -> Iterator[StalledReader]:
    reader = StalledReader(address, pb.WatchChangesRequest(**fields))  # type: ignore[arg-type]  # fields by name
    try:
        yield reader
    finally:
        reader.close()


def move(book: Bookkeeping, minute: int) -> None:
    """Publish 200 changes, about 60 kB."""
    prices = {"over": 1.5 + minute % 2, "under": 1.9}
    book.see(observe(offered({"e": {"b": dict.fromkeys(LINES, prices)}}), minute))


async def read_up_to(reader: StalledReader, head: int) -> list[pb.WatchChangesResponse]:
    """Open the window and read until the head is reached."""
    messages: list[pb.WatchChangesResponse] = []

    def read() -> None:
        while not messages or position(messages[-1]) < head:
            messages.extend(reader.read(opening=True))

    with trio.fail_after(30):
        await trio.to_thread.run_sync(read)
    return messages


def position(message: pb.WatchChangesResponse) -> int:
    kind = message.WhichOneof("message")
    assert kind is not None
    if kind in ("image_begin", "image", "opened", "lagged"):
        return -1
    revision = getattr(message, kind).cursor.revision
    assert isinstance(revision, int)
    return revision


@pytest.mark.parametrize("capacity", [500, 100_000])
async def test_a_stalled_lossless_reader_delays_nobody_and_gets_every_change(capacity: int) -> None:
    book = Bookkeeping(capacity=capacity)
    move(book, 0)
    async with serving(book) as server:
        # Its filter differs from the other reader's, whose encoded pieces would serve it too.
        mine = pb.Filter(event_ids=["e"])
        with (
            stalled(server.address, filter=mine) as slow,
            connected(server.address) as client,
        ):
            with client.watch() as fast:
                await fast.until("image_end")
                with trio.fail_after(30):
                    while server.subscribers < 2:  # noqa: ASYNC110  # the server has no event for it
                        await trio.sleep(0.01)
                # The image alone fills the first window, and nothing opens it.
                for minute in range(1, 81):
                    move(book, minute)
                    with trio.fail_after(30):
                        while True:
                            message = await fast.next()
                            if position(message) == book.feed.head_revision:
                                break
                status = await client.call("GetStatus", pb.GetStatusRequest())
                lags = sorted(each.lag_changes for each in status.subscribers)
                assert lags[0] == 0
                assert lags[1] > 10_000  # of 16,000: the backlog is not on its way
            messages = await read_up_to(slow, book.feed.head_revision)
            assert_unbroken(messages)
            assert not any(message.HasField("lagged") for message in messages)
            begun = next(message for message in messages if message.HasField("image_end"))
            assert [c.revision for c in changes_of(messages)] == list(
                range(position(begun) + 1, book.feed.head_revision + 1)
            )
            assert (book.reads > 0) is (capacity == 500)


async def test_a_stalled_latest_reader_is_told_and_gets_an_image() -> None:
    book = Bookkeeping(capacity=500)
    move(book, 0)
    async with serving(book) as server:
        with stalled(server.address, policy=pb.SLOW_READER_POLICY_LATEST) as slow:
            with trio.fail_after(30):
                while not server.subscribers:  # noqa: ASYNC110  # the server has no event for it
                    await trio.sleep(0.01)
            for minute in range(1, 81):
                move(book, minute)
                await trio.sleep(0.002)
            messages = await read_up_to(slow, book.feed.head_revision)
            assert_unbroken(messages)
            # On a busy machine there are several: the reader may lag before its window is full.
            lagged = [message.lagged for message in messages if message.HasField("lagged")]
            assert lagged[-1].lost_to == book.feed.head_revision
            assert lagged[0].lost_from <= 10_000
            assert book.reads == 0
            assert messages[-1].WhichOneof("message") == "image_end"


async def test_a_reader_that_takes_nothing_for_too_long_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub.Hub.watch_stalled, "__defaults__", (0.2,))
    book = Bookkeeping()
    move(book, 0)
    async with serving(book) as server:
        with stalled(server.address) as slow:
            with trio.fail_after(30):
                while not server.subscribers:  # noqa: ASYNC110  # the server has no event for it
                    await trio.sleep(0.01)
            for minute in range(1, 40):
                move(book, minute)
                await trio.sleep(0.002)
            with trio.fail_after(30):
                while server.subscribers:  # noqa: ASYNC110  # the server has no event for it
                    await trio.sleep(0.01)
            with pytest.raises(EOFError):
                await read_up_to(slow, book.feed.head_revision)


async def test_an_image_is_begun_anew_when_its_reader_stopped_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A half-sent image that is kept holds on to all odds replaced since."""
    monkeypatch.setattr(watch, "IMAGE_STALL_S", 0.2)
    dropped: list[int] = []
    drop = PendingImage.drop

    def noticed(image: PendingImage) -> None:
        drop(image)
        dropped.append(image.revision)

    monkeypatch.setattr(PendingImage, "drop", noticed)
    offer = {f"e{n:03}": {"b": {key: {"over": 1.5} for key in LINES}} for n in range(150)}
    book = Bookkeeping()
    book.see(observe(offered(offer), 0))
    async with serving(book) as server:
        with stalled(server.address) as slow:
            await wait_until(lambda: bool(dropped), "the image to be dropped")
            later = {name: {"b": {key: {"over": 2.5} for key in LINES}} for name in offer}
            book.see(observe(offered(later), 1))
            messages = await read_up_to(slow, book.feed.head_revision)
    begun = [m.image_begin.cursor.revision for m in messages if m.HasField("image_begin")]
    # On a slow machine the image begins more than twice.
    assert begun[0] < book.feed.head_revision
    assert set(begun[1:]) == {book.feed.head_revision}
    assert_unbroken(messages)
    odds = OddsMap()
    for message in messages:
        odds.take(message)
    prices = {
        outcome.price
        for entry in odds.events.values()
        for shown in entry.bookmakers.values()
        for market in shown.markets.values()
        for outcome in market.outcomes
    }
    assert prices == {2.5}
