"""Slow readers by the proto, with a literal client whose HTTP/2 window is shut."""

import threading
from collections.abc import Callable
from functools import partial

import pytest
import trio

from odds_service.serving import watch
from odds_service.serving.pending_image import PendingImage
from odds_service.serving.server import Server
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.contract.literal import LiteralWatcher
from tests.contract.test_watch_cuts import current, reach
from tests.serving.test_slow_readers import LINES, move, stalled
from tests.support.observations import observe, offered
from tests.support.odds_builders import Bookkeeping, connected, serving
from tests.support.stalled import StalledReader


async def read_until(
    reader: StalledReader, watcher: LiteralWatcher, done: Callable[[], bool]
) -> list[str]:
    """Open the window and take messages until `done`; drop the rest of the last read."""
    kinds: list[str] = []

    def read() -> None:
        while True:
            for message in reader.read(opening=True):
                watcher.take(message)
                kinds.append(message.WhichOneof("message") or "")
                if done():
                    return

    with trio.fail_after(60):
        await trio.to_thread.run_sync(read)
    return kinds


async def streaming(server: Server) -> None:
    with trio.fail_after(30):
        while not server.subscribers:  # noqa: ASYNC110  # the server has no event for it
            await trio.sleep(0.01)


@pytest.mark.parametrize("stored", [True, False])
async def test_lagged_tells_what_is_lost_and_a_cut_after_it_loses_nothing(stored: bool) -> None:
    book = Bookkeeping(capacity=500)
    move(book, 0)
    # Without a store both policies lose the changes; with one, LATEST alone does.
    fields = {"policy": pb.SLOW_READER_POLICY_LATEST} if stored else {}
    async with serving(book, stored=stored) as server:
        with connected(server.address) as client:
            watcher = LiteralWatcher(**fields)
            with stalled(server.address, **fields) as reader:
                await streaming(server)
                for minute in range(1, 81):
                    move(book, minute)
                    await trio.sleep(0.002)
                await read_until(reader, watcher, lambda: bool(watcher.lagged))
            (lagged,) = watcher.lagged
            assert lagged.reason == pb.INTENT_REASON_TOO_OLD
            assert lagged.lost_from == lagged.cursor.revision + 1
            # The head when it was told: on a busy machine it lags before its window is full.
            assert lagged.lost_from <= lagged.lost_to <= book.feed.head_revision
            with client.stream("WatchChanges", watcher.request()) as stream:
                await reach(stream, watcher, book.feed.head_revision)
            assert watcher.opened.reason == pb.INTENT_REASON_IMAGE_INCOMPLETE
            assert watcher.held == await current(client)


def there(watcher: LiteralWatcher, head: int, at_once: bool) -> bool:
    """Return whether the watcher is at `head`, or with `at_once`, whether the image began again."""
    if at_once:
        return watcher.begun > 1
    return watcher.acts and watcher.cursor is not None and watcher.cursor.revision >= head


async def test_image_begin_comes_again_and_what_is_collected_anew_is_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "IMAGE_STALL_S", 0.2)
    dropped = threading.Event()
    drop = PendingImage.drop

    def dropping(image: PendingImage) -> None:
        drop(image)
        dropped.set()

    monkeypatch.setattr(PendingImage, "drop", dropping)
    offer = {f"e{n:03}": {"b": {key: {"over": 1.5} for key in LINES}} for n in range(60)}
    book = Bookkeeping()
    book.see(observe(offered(offer), 0))
    async with serving(book) as server:
        with connected(server.address) as client:
            for cut_there in (False, True):
                watcher = LiteralWatcher()
                dropped.clear()
                with stalled(server.address) as reader:
                    await streaming(server)
                    await trio.to_thread.run_sync(dropped.wait, 60.0)
                    later = {name: {"b": {key: {"over": 2.5 + cut_there} for key in LINES}}
                             for name in offer}  # fmt: skip
                    book.see(observe(offered(later), 1 + cut_there))
                    head = book.feed.head_revision

                    await read_until(reader, watcher, partial(there, watcher, head, cut_there))
                assert watcher.begun > 1
                if cut_there:
                    with client.stream("WatchChanges", watcher.request()) as stream:
                        await reach(stream, watcher, head)
                assert watcher.held == await current(client)
