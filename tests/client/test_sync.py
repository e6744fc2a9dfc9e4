"""Synchronous clients closed by other threads."""

import threading
from typing import Any

import pytest
import trio
import trio.lowlevel

from odds_service.client import (
    ImageLoaded,
    Opened,
    ServiceError,
    open_sync_client,
)
from tests.client.books import move, one_event
from tests.support.odds_builders import Bookkeeping, serving


async def test_a_synchronous_watch_is_closed_from_another_thread() -> None:
    book = Bookkeeping()
    book.see(one_event(1.5))

    def run(address: str) -> list[Any]:
        with open_sync_client(address) as client, client.watch() as watch:
            steps = []
            closing = threading.Thread(target=watch.close)
            for step in watch.steps():
                steps.append(type(step))
                if steps == [Opened, ImageLoaded]:
                    closing.start()  # while this thread waits for more
            closing.join()
            return steps

    async with serving(book) as server:
        assert await trio.to_thread.run_sync(run, server.address) == [Opened, ImageLoaded]


async def test_a_synchronous_history_ends_with_an_error_when_its_client_is_closed() -> None:
    book = Bookkeeping()
    move(book, 0)

    def run(address: str) -> None:
        with open_sync_client(address) as client:
            reading = client.history()
            next(reading)
            client.close()
            with pytest.raises(ServiceError):
                list(client.history())

    async with serving(book) as server:
        await trio.to_thread.run_sync(run, server.address)


async def test_no_thread_of_grpcs_reads_a_stream() -> None:
    """Such a daemon could hold a stream's lock while the interpreter ends, which then hung."""
    book = Bookkeeping()
    move(book, 0)

    def run(address: str) -> list[str]:
        before = set(threading.enumerate())
        with open_sync_client(address) as client, client.watch() as watch:
            next(watch.steps())
            next(client.history_pages())
            return [each.name for each in threading.enumerate() if each not in before]

    async with serving(book) as server:
        assert await trio.to_thread.run_sync(run, server.address) == []
