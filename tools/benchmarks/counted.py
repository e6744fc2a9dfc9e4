"""The workloads of `tools.instructions`, each for a number of rounds.

`python counted.py WORKLOAD ROUNDS` runs one.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import trio

sys.path.insert(0, os.getcwd())  # the checkout that is counted

from odds_service.access import Tokens
from odds_service.bridge import open_bridge
from odds_service.cache import OddsCache
from odds_service.clock import DrivenClock
from odds_service.feed import RING_CHANGES, ChangeFeed
from odds_service.model.source import SourceState
from odds_service.pipeline.channels import WriteQueue
from odds_service.pipeline.detect import Detector
from odds_service.pipeline.write import Writer
from odds_service.reconcile import Reconciler
from odds_service.rpc.handlers import service_handler
from odds_service.serving.admission import entrances
from odds_service.serving.guard import Revocations
from odds_service.serving.parts import ServingParts
from odds_service.serving.server_context import ServerContext
from odds_service.serving.table import SERVICER
from odds_service.storage import open_store
from tools.benchmarks.load import SOURCE, Load, settings_of
from tools.benchmarks.watch_server import Ours
from tools.benchmarks.watch_wire import SETTINGS

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
    """Read, detect, cache and queue a cycle of bodies a round; `written`: and store it."""
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


class Caller:
    """Stands in for gRPC's context of a call, so that only our instructions are counted."""

    def __init__(self, all_written: Callable[[], None] = lambda: None) -> None:
        self.written = 0
        self._all_written = all_written

    async def write(self, _message: bytes) -> None:
        """Count a message, and let the other streams go on as gRPC would."""
        self.written += 1
        self._all_written()
        await asyncio.sleep(0)

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def time_remaining(self) -> None:
        return None


class Served(NamedTuple):
    """The service's calls on a loop, without gRPC between them and the caller."""

    ours: Ours
    context: ServerContext
    method: Callable[[str], Any]


def served() -> Served:
    """Wire cache, feed and calls; call it on the loop."""
    ours = Ours(RING_CHANGES)
    unused: Any = None  # by these calls
    parts = ServingParts(
        cache=ours.cache, feed=ours.feed, gate=unused, settings=SETTINGS, status=unused,
    )  # fmt: skip
    context = ServerContext(parts, asyncio.get_running_loop())
    tokens = Tokens(SETTINGS)
    ways = entrances(context, tokens, Revocations(context, tokens), SERVICER)
    handlers = service_handler(ways.values(), closed=True)

    def method(name: str) -> Any:
        call: Any = Call(SERVICE + name, ())
        return handlers.service(call)

    return Served(ours, context, method)


class Call(NamedTuple):
    """The details of a call that gRPC hands over before it begins."""

    method: str
    invocation_metadata: tuple[()]


async def calls(rounds: int) -> None:
    """Change ten prices a round, then read an event, and all events twice."""
    server = served()
    get_odds = server.method("GetOdds").unary_unary
    for _ in range(rounds):
        server.ours.publish(BATCH)
        for request in (ONE_EVENT, ALL_ODDS, ALL_ODDS):
            await get_odds(request, Caller())


async def streams(rounds: int, request: bytes) -> None:
    """Publish ten changes a round to twenty equal streams, and wait until each has them."""
    server = served()
    watch = server.method("WatchChanges").unary_stream
    reached = asyncio.Event()
    goal = 1

    def all_written() -> None:
        if all(each.written >= goal for each in callers):
            reached.set()

    callers = [Caller(all_written) for _ in range(STREAMS)]
    with server.context.hub.listening():
        tasks = [asyncio.create_task(watch(request, each)) for each in callers]
        await reached.wait()
        for _ in range(rounds):
            goal += 1
            reached.clear()
            server.ours.publish(BATCH)
            await reached.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def on_asyncio(work: Callable[[int], Coroutine[Any, Any, None]]) -> Callable[[int], None]:
    """Run a workload as the server's thread runs its loop."""

    def run(rounds: int) -> None:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(asyncio.wait_for(work(rounds), LIMIT_S))

    return run


WORKLOADS: Final[dict[str, Callable[[int], None]]] = {
    "detect": lambda rounds: trio.run(partial(cycles, rounds, written=False)),
    "write": lambda rounds: trio.run(partial(cycles, rounds, written=True)),
    "get": on_asyncio(calls),
    "watch": on_asyncio(partial(streams, request=WATCH)),
    "watch-conflated": on_asyncio(partial(streams, request=CONFLATED)),
}


def main() -> None:
    WORKLOADS[sys.argv[1]](int(sys.argv[2]))
    os._exit(0)  # what the interpreter tears down is nobody's hot path


if __name__ == "__main__":
    main()
