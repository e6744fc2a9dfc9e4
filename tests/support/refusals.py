"""Refused calls and their details, and servers that refuse."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import pytest
import trio
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, RetryInfo
from grpc_status import rpc_status

from odds_service.bridge import TrioGate
from odds_service.client import Address, ServiceError, open_sync_client
from odds_service.config import ServerSettings
from odds_service.model.market import MarketKey
from odds_service.rpc.server import GrpcDoor
from odds_service.serving.parts import ServingParts
from odds_service.serving.server import Server, serve
from tests.support.observations import observe, offered
from tests.support.odds_builders import Bookkeeping, Client


def small_book() -> Bookkeeping:
    """Return a book with one market."""
    book = Bookkeeping()
    book.see(observe(offered({"e": {"b": {MarketKey("h2h"): {"home": 1.5, "away": 2.5}}}})))
    return book


KINDS: Final = (BadRequest, ErrorInfo, QuotaFailure, RetryInfo)


def details(error: grpc.RpcError) -> dict[str, Any]:
    """Return the details of a server's error, by the names of their types."""
    found = details_if_any(error)
    assert found is not None, error
    return found


def details_if_any(error: grpc.RpcError) -> dict[str, Any] | None:
    """Return the details like details(); None for an error of the client, such as its deadline."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # its stub wants a Call, which it is
    if status is None:
        return None
    found: dict[str, Any] = {}
    for packed in status.details:
        for kind in KINDS:
            message = kind()
            if packed.Unpack(message):
                found[kind.__name__] = message
    assert len(found) == len(status.details)
    return found


async def exhausted(client: Client, call: str, request: Any) -> dict[str, Any]:
    """Return the details of a call that must end as RESOURCE_EXHAUSTED."""
    with pytest.raises(grpc.RpcError) as caught:
        await client.call(call, request)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    return details(caught.value)


def quota(found: dict[str, Any]) -> str:
    """Return the subject of the only violation of a quota."""
    (violation,) = found["QuotaFailure"].violations
    assert violation.description
    return str(violation.subject)


async def odds_of(address: Address) -> int:
    """Count the events that the library's synchronous client reads."""

    def read() -> int:
        with open_sync_client(address) as client:
            return len(client.get_odds(timeout_s=20).events)

    return await trio.to_thread.run_sync(read)


async def refusal_of(address: Address) -> ServiceError:
    """Return the library's error for a client that must be refused."""
    with pytest.raises(ServiceError) as caught:
        await odds_of(address)
    return caught.value


@asynccontextmanager
async def refreshing(
    book: Bookkeeping, settings: ServerSettings, entered: trio.Event, go_on: trio.Event
) -> AsyncIterator[str]:
    """Serve the book with refreshes that wait for `go_on` and then crash; yield the address."""

    async def refresh(event_id: str, deadline_s: float) -> Any:
        entered.set()
        await go_on.wait()
        raise LookupError(f"a library's message about {event_id}")

    async with trio.open_nursery() as nursery:
        parts = ServingParts(
            cache=book.cache, feed=book.feed, gate=TrioGate(nursery), settings=settings,
            status=book.status, store=book, refresh=refresh, now=lambda: book.now,
        )  # fmt: skip
        server: Server = await nursery.start(serve, parts, [GrpcDoor])
        yield server.address
        await server.stop(2.0)
