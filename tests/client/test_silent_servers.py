"""Servers of several that die without a word, or never answer."""

import pytest
import trio

from odds_service.client import (
    AsyncClient,
    Changes,
    Disconnected,
    Heartbeat,
    ImageLoaded,
    Opened,
    open_client,
)
from odds_service.client import address as addresses
from odds_service.rpc.server import PING_EVERY_S
from tests.client.books import flat, flat_book, move, one_event, steps_until
from tests.client.faces import Face, faces
from tests.client.servers import at_home, pair, several
from tests.support.odds_builders import Bookkeeping


def test_a_silent_peer_is_found_soon_and_pinged_no_more_often_than_permitted() -> None:
    assert addresses.KEEPALIVE_OF_SEVERAL_MS > PING_EVERY_S * 1_000
    found_ms = addresses.KEEPALIVE_OF_SEVERAL_MS + addresses.KEEPALIVE_TIMEOUT_OF_SEVERAL_MS
    assert found_ms <= 20_000


@faces
async def test_a_server_that_accepts_and_never_answers_is_left(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "CONNECT_OF_SEVERAL_MS", 500)
    book = Bookkeeping()
    book.see(one_event(1.5))

    async def calls(client: AsyncClient) -> None:
        assert (await client.get_odds()).events
        await client.get_odds()
        assert doors[1].taken == 1

    async def watches(client: AsyncClient) -> None:
        (ended, opened) = await steps_until(client.watch().steps(), Opened)
        assert "no server answers" in str(ended.error)
        assert opened.image

    for work in (calls, watches):
        async with pair(book) as (doors, _):
            doors[0].silence()
            began_s = trio.current_time()
            await face(several(doors), work)
            assert trio.current_time() - began_s < 5


@faces
async def test_a_connection_whose_packets_go_nowhere_is_left(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "KEEPALIVE_OF_SEVERAL_MS", 1_000)
    monkeypatch.setattr(addresses, "KEEPALIVE_TIMEOUT_OF_SEVERAL_MS", 500)
    book = Bookkeeping()
    book.see(one_event(1.5))

    async def work(client: AsyncClient) -> None:
        watch = client.watch(start=await client.get_odds(), heartbeat_s=0.5)
        await steps_until(watch.steps(), Heartbeat)
        at_home(doors[0].silence)
        at_home(lambda: move(book, 1))
        steps = await steps_until(watch.steps(), Changes)
        assert [type(step) for step in steps] == [Disconnected, Opened, Changes]
        assert flat(watch.odds.cut()) == flat_book(book)
        await watch.aclose()
        at_home(doors[1].silence)
        at_home(doors[0].open)
        assert flat(await client.get_odds()) == flat_book(book)  # a call under way is repeated

    async with pair(book) as (doors, _):
        await face(several(doors), work)


async def test_a_server_that_was_left_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "IDLE_OF_SEVERAL_MS", 1_000)
    book = Bookkeeping()
    book.see(one_event(1.5))
    async with pair(book) as (doors, _), open_client(several(doors)) as client:
        doors[0].kill()
        watch = client.watch()  # held, or its channel would become idle too
        await steps_until(watch.steps(), ImageLoaded)
        await trio.sleep(3.0)  # no event tells that the channel has become idle
        taken = doors[0].taken
        await trio.sleep(3.5)  # gRPC would have connected again by now
        assert doors[0].taken == taken
        assert (await client.get_odds()).events
        assert doors[1].taken == 1
        await watch.aclose()
