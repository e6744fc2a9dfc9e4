"""Cursors by the proto: they stay good over runs of the service, with the same filter."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from odds_service.bridge import TrioGate
from odds_service.config import ServerSettings
from odds_service.model.market import MarketKey
from odds_service.rpc.server import GrpcDoor
from odds_service.serving.parts import ServingParts
from odds_service.serving.server import Server, serve
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.contract.calling import eventful, history, refused
from tests.support.observations import observe, observed_event
from tests.support.odds_builders import EPOCH, Bookkeeping, Client, changes_of, connected, serving


@asynccontextmanager
async def served(book: Bookkeeping, epochs: list[tuple[str, int]]) -> AsyncIterator[Client]:
    """Yield a client of a server whose log several runs have numbered."""
    book.cache.open_epoch(epochs)
    async with trio.open_nursery() as nursery:
        parts = ServingParts(
            cache=book.cache, feed=book.feed, gate=TrioGate(nursery), status=book.status,
            settings=ServerSettings(listen="127.0.0.1:0"), store=book,
            now=lambda: book.now,
        )  # fmt: skip
        server: Server = await nursery.start(serve, parts, [GrpcDoor])
        with connected(server.address) as client:
            yield client
        await server.stop(2.0)


async def test_a_cursor_of_an_earlier_run_is_good_up_to_where_the_next_one_began() -> None:
    book = eventful()
    head = book.feed.head_revision
    async with served(book, [("e0", 1), (EPOCH, 30)]) as client:
        old, new = (pb.Cursor(epoch=epoch, revision=20) for epoch in ("e0", EPOCH))
        assert await history(client, from_cursor=old) == await history(client, from_cursor=new)
        reply = await client.call("GetOdds", pb.GetOddsRequest(min_cursor=old))
        assert (reply.cursor.epoch, reply.cursor.revision) == (EPOCH, head)
        past = [
            await client.call("GetOdds", pb.GetOddsRequest(as_of_cursor=cursor))
            for cursor in (old, new)
        ]
        assert past[0] == past[1]  # one place has two epochs, so cursors are not compared
        with client.watch(resume=old) as stream:
            opened = (await stream.next()).opened
            assert (opened.intent, opened.reason) == (
                pb.INTENT_CHANGES, pb.INTENT_REASON_RESUMED,
            )  # fmt: skip
            assert changes_of([await stream.next()])[0].revision == 21
        lost = pb.Cursor(epoch="e0", revision=30)  # numbered by e0, and lost in its crash
        request = pb.GetOddsRequest(min_cursor=lost)
        assert (await refused(client, "GetOdds", request)).reason == "EPOCH_CHANGED"
        with client.watch(resume=lost) as stream:
            opened = (await stream.next()).opened
            assert (opened.intent, opened.reason) == (
                pb.INTENT_IMAGE, pb.INTENT_REASON_EPOCH_CHANGED,
            )  # fmt: skip


async def test_under_another_filter_what_only_that_selects_is_not_sent_again() -> None:
    book = Bookkeeping()
    shown = {name: {MarketKey("h2h"): {"home": 1.5}} for name in ("b", "c")}
    book.see(observe([observed_event("e", shown)]))
    async with serving(book) as server:
        with connected(server.address) as client:
            only = pb.GetOddsRequest(filter=pb.Filter(bookmakers=["b"]))
            reply = await client.call("GetOdds", only)
            resumed = client.watch(resume=reply.cursor, filter=pb.Filter(bookmakers=["b", "c"]))
            with resumed as stream:
                opened = (await stream.next()).opened
                assert opened.intent == pb.INTENT_UP_TO_DATE  # c's odds are never sent
