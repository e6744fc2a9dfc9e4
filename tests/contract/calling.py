"""Helpers for the tests of the contract: refusals with their details, and logs to read."""

import random
from datetime import timedelta
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.message import Message

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.odds_builders import Bookkeeping, Client, random_observations
from tests.support.refusals import details_if_any


class Refusal(NamedTuple):
    """The status of a refused call: its code, and its details by the names of their types."""

    code: str
    text: str
    details: dict[str, Any]

    @property
    def reason(self) -> str:
        return str(self.details["ErrorInfo"].reason)

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self.details["ErrorInfo"].metadata)

    @property
    def field(self) -> str:
        (violation,) = self.details["BadRequest"].field_violations
        return str(violation.field)


def refusal_of(error: grpc.RpcError) -> Refusal:
    return Refusal(error.code().name, str(error.details()), details_if_any(error) or {})


async def refused(client: Client, call: str, request: Message, timeout_s: float = 20.0) -> Refusal:
    """Return the status of a unary call or a stream that must fail."""
    if call in {"GetHistory", "Replay", "WatchChanges", "GetClosingOdds"}:
        with client.stream(call, request) as stream:
            return refusal_of(await stream.error())
    with pytest.raises(grpc.RpcError) as caught:
        await client.call(call, request, timeout_s)
    return refusal_of(caught.value)


async def refused_in_time(client: Client, call: str, request: Message, timeout_s: float) -> Refusal:
    """Return the refusal that the server sends a little before the call's deadline.

    On a busy machine the client's own deadline may pass before the server's refusal arrives; then
    the call is repeated.
    """
    for _ in range(5):
        try:
            return await refused(client, call, request, timeout_s)
        except KeyError:  # the client's own deadline has no ErrorInfo
            continue
    raise AssertionError("five calls ended by the client's own deadline")


async def everything(client: Client, call: str, request: Message) -> list[Any]:
    """Return all messages of a stream that ends by itself."""
    messages = []
    with client.stream(call, request) as stream:
        while True:
            try:
                messages.append(await stream.next())
            except EOFError:
                return messages


async def history(client: Client, **fields: Any) -> list[pb.Change]:
    pages = await everything(client, "GetHistory", pb.GetHistoryRequest(**fields))
    return [change for page in pages for change in page.changes]


def eventful(seed: int = 5, polls: int = 60) -> Bookkeeping:
    """Return a book whose events came, moved, started and left."""
    book = Bookkeeping(keeps_past=True)
    for observation in random_observations(random.Random(seed), polls):
        book.see(observation)
    book.now += timedelta(seconds=1)
    return book
