"""Calls of a client of several servers, and plain stubs of them."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import msgspec
import pytest
import trio
from pydantic import SecretStr

from odds_service.client import (
    Address,
    AsyncClient,
    Cursor,
    Filter,
    ImageLoaded,
    ServiceError,
    connect,
    open_sync_client,
)
from odds_service.config import ServerSettings
from odds_service.errors import UnknownEvent
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.client.books import move, one_event, steps_until
from tests.client.faces import WITHIN_S, Face, faces
from tests.client.servers import NOBODY, at_home, pair, several
from tests.support.gate import gates
from tests.support.odds_builders import Bookkeeping, serving
from tests.support.serving import wait_until

Asks = Callable[[AsyncClient], Awaitable[object]]


async def all_closing(client: AsyncClient) -> object:
    return await client.closing_odds(Filter(event_ids=["e"]))


async def image(client: AsyncClient) -> object:
    return await steps_until(client.watch(image_only=True).steps(), ImageLoaded)


CALLS: list[Asks] = [
    lambda client: client.get_odds(),
    lambda client: client.list_events(),
    lambda client: client.status(),
    lambda client: client.refresh("e"),
    all_closing,
    image,
]


@faces
@pytest.mark.parametrize("call", CALLS)
async def test_a_call_goes_to_another_server_and_stays_there(face: Face, call: Asks) -> None:
    book = Bookkeeping(keeps_past=True)
    book.see(one_event(1.5))
    asked: list[str] = []

    async def refresh(event_id: str, _: float) -> Any:
        await trio.lowlevel.checkpoint()
        asked.append(event_id)
        raise UnknownEvent(event_id)

    async def attempt(client: AsyncClient) -> None:
        try:
            await call(client)
        except ServiceError as error:
            # The book knows no closing odds, and the refresh no event.
            assert error.code in {"NOT_FOUND", "UNIMPLEMENTED"}  # noqa: PT017

    async def work(client: AsyncClient) -> None:
        await attempt(client)
        assert doors[1].taken == 1
        at_home(doors[0].open)
        await attempt(client)
        await client.get_odds()
        assert address.rotation.current == doors[1].address
        assert doors[1].taken == 1

    async with serving(book, refresh=refresh) as server, gates(*[server.address] * 2) as doors:
        doors[0].kill()
        address = several(doors)
        await face(address, work)


@faces
async def test_a_call_that_was_begun_is_repeated_only_if_that_is_safe(face: Face) -> None:
    book = Bookkeeping()
    book.see(one_event(1.5))
    asked = 0

    async def refresh(_: str, __: float) -> Any:
        nonlocal asked
        asked += 1
        doors[0].kill()
        await trio.sleep_forever()

    async def work(client: AsyncClient) -> None:
        with pytest.raises(ServiceError) as refused:
            await client.refresh("e")
        assert refused.value.code == "UNAVAILABLE"
        assert doors[1].taken == 0
        await client.get_odds()  # the next call goes to the other server
        assert doors[1].taken == 1
        at_home(lambda: begin(doors[1].kill, doors[0].open))
        odds = await client.get_odds(at_least=Cursor("e1", book.feed.head_revision + 1))
        assert odds.cursor.revision == book.feed.head_revision
        assert doors[0].taken == 2

    def begin(*troubles: Callable[[], None]) -> None:
        nursery.start_soon(after_the_call, *troubles)

    async def after_the_call(*troubles: Callable[[], None]) -> None:
        await trio.sleep(0.2)  # the call is waiting at the server by then
        for trouble in troubles:
            trouble()
        await wait_until(lambda: doors[0].taken == 2, "the call at the other server")
        move(book, 1)

    async with (
        trio.open_nursery() as nursery,
        serving(book, refresh=refresh) as server,
        gates(*[server.address] * 2) as doors,
    ):
        await face(several(doors), work)
        assert asked == 1
        nursery.cancel_scope.cancel()


@faces
async def test_a_wrong_token_is_no_reason_to_change_over(face: Face) -> None:
    guarded = ServerSettings(listen="127.0.0.1:0", tokens=[SecretStr("open-sesame")])

    async def work(client: AsyncClient) -> None:
        for attempt in (client.get_odds(), anext(client.watch(wait_for_server=True))):
            with pytest.raises(ServiceError) as refused:
                await attempt
            assert refused.value.code == "UNAUTHENTICATED"
        assert [door.taken for door in doors] == [1, 0]

    async with (
        serving(Bookkeeping(), settings=guarded) as server,
        gates(*[server.address] * 2) as doors,
    ):
        await face(msgspec.structs.replace(several(doors), token="wrong"), work)
        right = msgspec.structs.replace(several(doors), token="open-sesame")
        doors[0].kill()
        await face(right, lambda client: client.get_odds())  # the token is for all of them
        assert doors[1].taken == 1


@faces
async def test_all_servers_that_are_away_are_named(face: Face) -> None:
    no_name = "no-such-host.invalid:1"

    async def work(client: AsyncClient) -> None:
        for attempt in (client.get_odds(), client.refresh("e"), all_closing(client)):
            with pytest.raises(ServiceError, match="none of 2 servers serves: ") as refused:
                await attempt
            assert refused.value.code == "UNAVAILABLE"
            assert f"no server answers at {NOBODY}: " in str(refused.value)
            assert no_name in str(refused.value)
            assert not refused.value.sent

    await face(Address(f"{NOBODY},{no_name}"), work)


async def test_a_plain_stub_takes_several_servers() -> None:
    book = Bookkeeping()
    book.see(one_event(1.5))

    def work(address: Address) -> None:
        with connect(address) as stub:
            first = next(iter(stub.WatchChanges(pb.WatchChangesRequest(), timeout=WITHIN_S)))
            assert first.HasField("opened")
            assert stub.GetOdds(pb.GetOddsRequest(), timeout=WITHIN_S).events
        with connect(address) as stub:  # the address remembers the server in use
            assert stub.GetOdds(pb.GetOddsRequest()).events
        with open_sync_client(address) as client:
            assert client.get_odds().events

    def refused(address: Address) -> None:
        for call in (
            lambda stub: stub.GetOdds(pb.GetOddsRequest()),
            lambda stub: stub.RefreshEvent(pb.RefreshEventRequest(event_id="e")),
            lambda stub: list(stub.GetHistory(pb.GetHistoryRequest())),
        ):
            with (
                pytest.raises(ServiceError, match="none of 2 servers serves"),
                connect(address) as stub,
            ):
                call(stub)
        with connect(address) as stub:
            with pytest.raises(grpc.RpcError) as error:
                stub.GetOdds(pb.GetOddsRequest())
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE
            assert doors[0].address in str(error.value.details())

    async with pair(book) as (doors, _):
        doors[0].kill()
        await trio.to_thread.run_sync(work, several(doors))
        assert doors[0].taken == 1
        doors[1].kill()
        await trio.to_thread.run_sync(refused, several(doors))


async def test_a_plain_stub_repeats_no_refresh_that_was_begun() -> None:
    asked = 0

    async def refresh(_: str, __: float) -> Any:
        nonlocal asked
        asked += 1
        doors[0].kill()
        await trio.sleep_forever()

    def work(address: Address) -> None:
        with pytest.raises(ServiceError) as refused, connect(address) as stub:
            stub.RefreshEvent(pb.RefreshEventRequest(event_id="e"), timeout=WITHIN_S)
        assert refused.value.code == "UNAVAILABLE"
        assert refused.value.sent

    async with (
        serving(Bookkeeping(), refresh=refresh) as server,
        gates(*[server.address] * 2) as doors,
    ):
        await trio.to_thread.run_sync(work, several(doors))
        assert asked == 1
        assert doors[1].taken == 0
