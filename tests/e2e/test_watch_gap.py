"""A stream over a database that refused a row: the gap has a reason, and an image repairs it."""

import pytest
from google.protobuf.duration_pb2 import Duration

from odds_service.store import WriteGroup
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.contract.literal import LiteralWatcher
from tests.contract.test_watch_cuts import current, reach
from tests.support.databases import Place
from tests.support.observations import observe, offered
from tests.support.odds_builders import Bookkeeping, connected, serving
from tests.support.stories import H2H

pytestmark = pytest.mark.logs_errors  # a refused change is logged as an error

REFUSED = 9


@pytest.mark.parametrize("conflate", [None, Duration(nanos=50_000_000)])
async def test_a_reader_who_comes_to_a_refused_row_is_told_and_gets_an_image(
    place: Place, conflate: Duration | None
) -> None:
    book = Bookkeeping(capacity=4)
    for minute in range(20):
        book.see(observe(offered({"e": {"b": {H2H: {"home": 1.5 + minute}}}}), minute))
    head = book.feed.head_revision
    async with place.begun() as (store, _):
        place.refuse(f"revision = {REFUSED} AND kind > 0")
        assert await store.write(WriteGroup(book.batches)) == 1
        async with serving(book, store=store) as server:
            with connected(server.address) as client:
                for revision in (2, REFUSED - 1, REFUSED):
                    watcher = LiteralWatcher(conflate=conflate)
                    watcher.cursor = pb.Cursor(epoch=book.feed.epoch, revision=revision)
                    watcher.held.events["e"] = b""
                    with client.stream("WatchChanges", watcher.request()) as stream:
                        await reach(stream, watcher, head)
                    gap = revision < REFUSED
                    assert watcher.opened.intent == (pb.INTENT_IMAGE if gap else pb.INTENT_CHANGES)
                    assert watcher.opened.reason == (
                        pb.INTENT_REASON_HISTORY_GAP if gap else pb.INTENT_REASON_RESUMED
                    )
                    assert watcher.held.markets == (await current(client)).markets
                never = LiteralWatcher(image=pb.IMAGE_MODE_NEVER)
                never.cursor = pb.Cursor(epoch=book.feed.epoch, revision=REFUSED - 1)
                with client.stream("WatchChanges", never.request()) as stream:
                    error = await stream.error()
                assert error.code().name == "OUT_OF_RANGE"
