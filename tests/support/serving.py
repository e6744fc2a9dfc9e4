"""The whole service in the test's own process, on free ports."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import trio

from odds_service.clock import Clock
from odds_service.config import Settings, load_settings
from odds_service.reloads import Reloads
from odds_service.service import Running, run_service
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc

LONG_S = 120.0


def settings_for(folder: Path, source_port: int, sports: list[str], **table: Any) -> Settings:
    source = {
        "kind": "the-odds-api",
        "url": f"http://127.0.0.1:{source_port}",
        "api_key": "secret-key",
        "sports": sports,
    } | table
    settings = load_settings(
        server={"listen": "127.0.0.1:0"}, database={"url": f"sqlite:///{folder / 'odds.db'}"}
    )
    return settings.model_copy(update={"sources": [source]})


@asynccontextmanager
async def service(
    settings: Settings, clock: Clock | None = None, reloads: Reloads | None = None
) -> AsyncIterator[Running]:
    """Start the service, on a clock of its own if one is given; stop it in order at the end."""
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        run = partial(run_service, settings, stop, clock=clock, reloads=reloads)
        running: Running = await nursery.start(run)
        try:
            yield running
        finally:
            stop.set()


async def call(address: str, work: Callable[[pb_grpc.OddsServiceStub], Any]) -> Any:
    """Make calls with a synchronous stub in a thread."""

    def run() -> Any:
        with grpc.insecure_channel(address) as channel:
            return work(pb_grpc.OddsServiceStub(channel))

    return await trio.to_thread.run_sync(run)


async def status_of(address: str) -> pb.GetStatusResponse:
    reply = await call(address, lambda stub: stub.GetStatus(pb.GetStatusRequest(), timeout=30))
    assert isinstance(reply, pb.GetStatusResponse)
    return reply


async def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll until a condition holds, which real I/O brings about."""
    with trio.move_on_after(LONG_S):
        while not condition():  # noqa: ASYNC110  # what it looks at is no event of Trio's
            await trio.sleep(0.02)
        return
    raise AssertionError(f"not within {LONG_S} s: {what}")
