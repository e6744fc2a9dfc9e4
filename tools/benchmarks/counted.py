"""The workloads of `tools.instructions`, each run for a number of rounds.

`python counted.py WORKLOAD ROUNDS` runs one. Run as a file with another checkout on the
import path, it imports that checkout's code, so both must have the modules that it imports.
"""

import asyncio
import os
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc
import trio

sys.path.insert(0, os.getcwd())  # the checkout that is counted; this file may lie in another

from odds_service.bridge import open_bridge
from odds_service.cache import OddsCache
from odds_service.clock import DrivenClock
from odds_service.feed import RING_CHANGES, ChangeFeed
from odds_service.model.source import SourceState
from odds_service.pipeline.channels import WriteQueue
from odds_service.pipeline.detect import Detector
from odds_service.pipeline.write import Writer
from odds_service.reconcile import Reconciler
from odds_service.storage import open_store
from tools.benchmarks.load import SOURCE, Load, settings_of
from tools.benchmarks.watch_server import Ours

EVENTS: Final = 60
BOOKMAKERS: Final = 3
MARKETS: Final = 30
CHANGED: Final = 0.05  # share of the prices that move in a round
BATCH: Final = 10  # changes published at once
STREAMS: Final = 20
SERVICE: Final = "/odds.v1.OddsService/"
LIMIT_S: Final = 900.0  # of one run, under an emulator on a busy machine

# Requests as bytes, so that no generated code is needed: it moves between checkouts.
ALL_ODDS: Final = b""
ONE_EVENT: Final = b"\x0a\x0c\x1a\x0asim:000007"  # filter: {event_ids: "sim:000007"}
WATCH: Final = b"\x28\x02\x22\x02\x08\x3c"  # image: IMAGE_MODE_NEVER, heartbeat: 60 s
CONFLATED: Final = WATCH + b"\x1a\x05\x10\x80\xe1\xeb\x17"  # conflate: 50 ms, the least


async def cycles(rounds: int, *, written: bool) -> None:
    """Read, detect, cache and queue a cycle of bodies per round; `written` also stores it."""
    load = Load(settings_of(EVENTS, BOOKMAKERS, MARKETS, CHANGED))
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'odds.db'}"
        async with open_bridge(), open_store(url) as store:
            stored = await store.begin()
            feed = ChangeFeed(stored.epoch, stored.revision)
            cache = OddsCache(feed, sources=[SourceState(source=SOURCE, interval_s=60)])
            queue = WriteQueue(10_000_000)
            writer = Writer(store, queue, feed)
            detector = Detector(cache, feed, queue, Reconciler(), DrivenClock(lambda: load.now))
            async with trio.open_nursery() as nursery:
                if written:
                    nursery.start_soon(writer.run)
                for _ in range(rounds):
                    for observation in await load.observations():
                        await detector.observe(observation)
                    if written:
                        await writer.committed(feed.head_revision)
                queue.close()


async def calls(rounds: int) -> None:
    """In each round, change ten prices, read an event, and read all events twice."""

    async def rounds_of(server: Ours, channel: Any) -> None:
        get_odds = channel.unary_unary(SERVICE + "GetOdds")
        for _ in range(rounds):
            server.publish(BATCH)
            for request in (ONE_EVENT, ALL_ODDS, ALL_ODDS):
                await get_odds(request)

    await _served(rounds_of)


async def streams(rounds: int, request: bytes) -> None:
    """In each round, publish ten changes to twenty equal streams and wait for all of them."""

    async def rounds_of(server: Ours, channel: Any) -> None:
        watch = channel.unary_stream(SERVICE + "WatchChanges")
        opened = [watch(request) for _ in range(STREAMS)]
        for stream in opened:
            await stream.read()
        for _ in range(rounds):
            server.publish(BATCH)
            for stream in opened:
                await stream.read()
        for stream in opened:
            stream.cancel()

    await _served(rounds_of)


async def _served(drive: Callable[[Ours, Any], Awaitable[None]]) -> None:
    """Drive a server from a client on a loop of its own, in this process."""
    server = Ours(RING_CHANGES)
    async with server.running():
        done: Future[None] = Future()

        async def main() -> None:
            async with (
                asyncio.timeout(LIMIT_S),
                grpc.aio.insecure_channel(server.address) as channel,
            ):
                await drive(server, channel)

        def run() -> None:
            try:
                asyncio.run(main())
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(None)

        thread = threading.Thread(target=run)
        thread.start()
        await trio.to_thread.run_sync(thread.join)
        done.result()


WORKLOADS: Final[dict[str, Callable[[int], Awaitable[None]]]] = {
    "detect": partial(cycles, written=False),
    "write": partial(cycles, written=True),
    "get": calls,
    "watch": partial(streams, request=WATCH),
    "watch-conflated": partial(streams, request=CONFLATED),
}


def main() -> None:
    name, rounds = sys.argv[1], int(sys.argv[2])
    trio.run(WORKLOADS[name], rounds)


if __name__ == "__main__":
    main()
