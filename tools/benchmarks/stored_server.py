"""The server of the benchmarks `history` and `replay`: a SQLite database over gRPC, on its own.

`python -m tools.benchmarks.stored_server PATH` prints `{"address": …}` and serves until its
standard input ends.
"""

import sys

import trio

from odds_service.bridge import TrioGate, open_bridge
from odds_service.cache import OddsCache
from odds_service.config import ServerSettings
from odds_service.feed import ChangeFeed
from odds_service.logs import configure_logs
from odds_service.loop_thread import SWITCH_INTERVAL_S
from odds_service.rpc.server import GrpcDoor
from odds_service.serving.parts import ServingParts
from odds_service.serving.server import Server, serve
from odds_service.status import ServiceStatus
from odds_service.storage import open_store
from tools.benchmarks.processes import tell


def _no_status() -> ServiceStatus:
    raise NotImplementedError


async def main(path: str) -> None:
    """Serve until stdin ends."""
    async with open_bridge(), open_store(f"sqlite:///{path}", owner=False) as store:
        feed = ChangeFeed("benchmark", (await store.extent()).durable)
        async with trio.open_nursery() as nursery:
            parts = ServingParts(
                cache=OddsCache(feed, sources=[]),
                feed=feed,
                gate=TrioGate(nursery),
                settings=ServerSettings(listen="127.0.0.1:0"),
                status=_no_status,
                store=store,
            )
            server = await nursery.start(serve, parts, [GrpcDoor])
            assert isinstance(server, Server)  # noqa: S101  # for the type checker
            await server.set_serving(True)
            tell({"address": server.address})
            await trio.to_thread.run_sync(sys.stdin.read)
            await server.stop(1.0)


if __name__ == "__main__":
    configure_logs("warning", "auto")
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    trio.run(main, sys.argv[1])
