"""Readers of the HTTP door that take nothing: they delay neither others nor the stop."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import trio

from odds_service.config import HttpSettings
from odds_service.model.market import MarketKey
from tests.support.observations import observe, offered
from tests.support.odds_builders import Bookkeeping, serving
from tests.support.serving import wait_until

LOCAL = HttpSettings(listen="127.0.0.1:0")
EVENTS = 150
LINES = 150


def large_book() -> Bookkeeping:
    """Return a book with megabytes of JSON, which fill every buffer on the way to a reader."""
    book = Bookkeeping()
    for first in range(0, EVENTS, 50):
        prices = {MarketKey("totals", f"{n}.5"): {"over": 1.5, "under": 2.5} for n in range(LINES)}
        events = {f"e{number}": {"b": prices} for number in range(first + 50)}
        book.see(observe(offered(events)))
    return book


@asynccontextmanager
async def stalled(address: str, path: str) -> AsyncIterator[None]:
    """Send a request, read the beginning of the answer, and no more."""
    host, _, port = address.rpartition(":")
    with trio.socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        await reader.connect((host, int(port)))
        await reader.send(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        assert (await reader.recv(100)).startswith(b"HTTP/1.1 200")
        yield


@pytest.mark.parametrize("path", ["/v1/changes", "/v1/odds"])
@pytest.mark.parametrize("grace_s", [0.0, 0.5])
async def test_a_reader_that_takes_nothing_does_not_hold_up_a_stop(
    path: str, grace_s: float
) -> None:
    async with serving(large_book(), http=LOCAL) as server:
        address = server.addresses[1]
        async with stalled(address, path), httpx.AsyncClient(timeout=30) as http:
            if path == "/v1/changes":
                await wait_until(lambda: server.subscribers == 1, "the subscriber")
            assert (await http.get(f"http://{address}/healthz")).status_code == 200
            with trio.fail_after(8):  # serve() abandons its thread after ten seconds
                await server.stop(grace_s)
