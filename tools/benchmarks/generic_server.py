"""A bare grpc.aio server in a thread, for calls whose messages stay bytes."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
import trio
from grpc import aio

from odds_service.config import ServerSettings
from odds_service.loop_thread import SWITCH_INTERVAL_S, LoopThread
from odds_service.rpc.server import channel_options
from tools.benchmarks.processes import tell

Handle = Callable[[bytes, Any], Awaitable[bytes]]


def serve_calls(
    service: str,
    settings: ServerSettings,
    prepare: Callable[[], Awaitable[tuple[Mapping[str, Handle], Mapping[str, object]]]],
    each_line: Callable[[], None] = lambda: None,
) -> None:
    """Serve until standard input ends.

    Args:
        service: The first word of the calls' paths.
        settings: The settings of the server.
        prepare: Runs on the server's loop; returns the calls by name, and what is told with `port`.
        each_line: Called for each line of standard input, in the main thread.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    trio.run(_serve, service, settings, prepare, each_line)


async def _serve(
    service: str,
    settings: ServerSettings,
    prepare: Callable[[], Awaitable[tuple[Mapping[str, Handle], Mapping[str, object]]]],
    each_line: Callable[[], None],
) -> None:
    async def main(stop: asyncio.Event) -> None:
        calls, told = await prepare()
        table = {name: grpc.unary_unary_rpc_method_handler(call) for name, call in calls.items()}
        server = aio.server(options=channel_options(settings))
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, table)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        tell({"port": port, **told})
        await stop.wait()
        await server.stop(0)

    thread = LoopThread("grpc")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(thread.run, main)
        async for lines in trio.lowlevel.FdStream(os.dup(0)):  # standard input
            for _ in lines.splitlines():
                each_line()
        thread.request_stop()


def echo(reply: bytes) -> Handle:
    """Return a call that answers with ready bytes."""

    async def handle(_request: bytes, _context: Any) -> bytes:
        return reply

    return handle
