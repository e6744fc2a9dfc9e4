"""The ceiling of `read`: a bare grpc.aio server with prepared replies, in a thread.

`python -m tools.benchmarks.echo FILE…` answers the call `/echo/N` with the bytes of the N-th file.
Prints `{"port": N}` and serves until its standard input ends.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import grpc
import trio
import typer
from grpc import aio

from odds_service.config import ServerSettings
from odds_service.rpc.server import channel_options
from odds_service.service import SWITCH_INTERVAL_S
from odds_service.serving.thread import LoopThread
from tools.benchmarks.processes import tell


def serve(files: Annotated[list[Path], typer.Argument()]) -> None:
    """Serve until standard input ends."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    trio.run(_serve, [file.read_bytes() for file in files])


async def _serve(replies: list[bytes]) -> None:
    async def main(stop: asyncio.Event) -> None:
        server = aio.server(options=channel_options(ServerSettings()))
        table = {str(place): _handler(reply) for place, reply in enumerate(replies)}
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("echo", table)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        tell({"port": port})
        await stop.wait()
        await server.stop(0)

    thread = LoopThread("grpc")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(thread.run, main)
        async for _ in trio.lowlevel.FdStream(os.dup(0)):  # standard input
            continue
        thread.request_stop()


def _handler(reply: bytes) -> "grpc.RpcMethodHandler[Any, Any]":
    async def handle(_request: bytes, _context: Any) -> bytes:  # noqa: ASYNC124  # grpc wants it
        return reply

    return grpc.unary_unary_rpc_method_handler(handle)


if __name__ == "__main__":
    typer.run(serve)
