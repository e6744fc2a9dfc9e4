"""Reload over the API: who may call it, and what its callers get."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
import trio

from odds_service.bridge import TrioGate
from odds_service.client import AsyncClient, Cursor, Reloaded, ServiceError, open_sync_client
from odds_service.config import ServerSettings
from odds_service.errors import SettingsError
from odds_service.model import reload as model
from odds_service.rpc.server import GrpcDoor
from odds_service.serving.auth import is_this_machine
from odds_service.serving.parts import ServingParts
from odds_service.serving.server import serve
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.client.faces import Face, faces, under_trio
from tests.support.odds_builders import Bookkeeping, connected, serving

DONE = model.Reloaded(
    added=("a", "b"), removed=("c",), changed=("d",), unchanged=("e",), applied=("log.level",),
    needs_restart=("database.url",), withdrawn=7, cursor=Cursor("e1", 9),
)  # fmt: skip


async def reload() -> model.Reloaded:
    await trio.lowlevel.checkpoint()
    return DONE


@asynccontextmanager
async def reloadable(settings: ServerSettings, work: object = reload) -> AsyncIterator[str]:
    book = Bookkeeping()
    async with trio.open_nursery() as nursery:
        parts = ServingParts(
            cache=book.cache, feed=book.feed, gate=TrioGate(nursery), settings=settings,
            status=book.status, reload=work, now=lambda: book.now,  # type: ignore[arg-type]  # a Trio function
        )  # fmt: skip
        server = await nursery.start(serve, parts, [GrpcDoor])
        yield server.address
        await server.stop(2.0)


LOCAL = ServerSettings(listen="127.0.0.1:0")


@faces
async def test_clients_get_what_was_done(face: Face) -> None:
    async def work(client: AsyncClient) -> Reloaded:
        return await client.reload()

    async with reloadable(LOCAL) as address:
        assert await face(address, work) == Reloaded(
            **{name: getattr(DONE, name) for name in DONE.__struct_fields__}
        )


async def test_the_synchronous_client_gets_what_was_done() -> None:
    def work(address: str) -> Reloaded:
        with open_sync_client(address) as client:
            return client.reload()

    async with reloadable(LOCAL) as address:
        done = await trio.to_thread.run_sync(work, address)
    assert (done.added, done.withdrawn, done.cursor) == (("a", "b"), 7, Cursor("e1", 9))


async def test_wrong_settings_are_a_failed_precondition_with_their_text() -> None:
    async def wrong() -> model.Reloaded:
        raise SettingsError("odds.toml: log.level: no")

    async with reloadable(LOCAL, wrong) as address:
        with pytest.raises(ServiceError) as caught:
            await under_trio(address, lambda client: client.reload())
    error = caught.value
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "SETTINGS_ERROR")
    assert str(error) == "odds.toml: log.level: no"


def own_address() -> str | None:
    """Return an address of this machine beside loopback, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return None
        host: str = probe.getsockname()[0]
    return None if host.startswith("127.") else host


async def test_without_tokens_only_this_machine_may() -> None:
    host = own_address()
    if host is None:
        pytest.skip("this machine has no address but loopback")
    settings = ServerSettings(listen="0.0.0.0:0", insecure_public=True)
    async with reloadable(settings) as address:
        port = address.rpartition(":")[2]
        with pytest.raises(ServiceError) as caught:
            await under_trio(f"{host}:{port}", lambda client: client.reload())
        assert (caught.value.code, caught.value.reason) == (
            "PERMISSION_DENIED", "PERMISSION_DENIED",
        )  # fmt: skip
        done = await under_trio(f"127.0.0.1:{port}", lambda client: client.reload())
    assert done.withdrawn == 7


@pytest.mark.parametrize(
    ("peer", "ours"),
    [
        ("ipv4:127.0.0.1:50123", True),
        ("ipv6:%5B::1%5D:50123", True),
        ("unix:/run/odds.sock", True),
        ("unix:", True),
        ("ipv4:10.1.2.3:50123", False),
        ("ipv6:%5B2001:db8::1%5D:50123", False),
        ("", False),
    ],
)
def test_peers_of_this_machine_are_known_by_their_address(peer: str, ours: bool) -> None:
    assert is_this_machine(peer) is ours


async def test_a_server_without_settings_to_read_says_so() -> None:
    async with serving(Bookkeeping()) as server:
        with connected(server.address) as client, pytest.raises(grpc.RpcError) as caught:
            await client.call("Reload", pb.ReloadRequest())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
