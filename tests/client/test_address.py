"""Addresses with TLS, mutual TLS and tokens, and clear errors for wrong ones."""

from pathlib import Path

import pytest
import trio
from pydantic import SecretStr

from odds_service.client import (
    Address,
    AddressError,
    AsyncClient,
    ImageLoaded,
    Opened,
    ServiceError,
    connect,
    open_sync_client,
)
from odds_service.config import ServerSettings
from tests.client.faces import Face, faces
from tests.support.certificates import make_certificates
from tests.support.odds_builders import Bookkeeping, serving


async def let_in(client: AsyncClient) -> None:
    assert (await client.get_odds()).events == {}
    watch = client.watch(image_only=True)
    assert [type(step) async for step in watch.steps()] == [Opened, ImageLoaded]


@faces
async def test_tokens(face: Face) -> None:
    guarded = ServerSettings(listen="127.0.0.1:0", tokens=[SecretStr("open-sesame")])

    async def refused(client: AsyncClient) -> None:
        for attempt in (client.get_odds(), anext(client.watch(wait_for_server=True))):
            with pytest.raises(ServiceError) as error:
                await attempt
            assert error.value.code == "UNAUTHENTICATED"

    async with serving(Bookkeeping(), settings=guarded) as server:
        await face(Address(server.address, token="open-sesame"), let_in)
        await face(Address(server.address, token="wrong"), refused)
        await face(server.address, refused)


@faces
async def test_mutual_tls_with_a_token(face: Face, tmp_path: Path) -> None:
    make_certificates(tmp_path)
    guarded = ServerSettings(
        listen="127.0.0.1:0",
        tokens=[SecretStr("open-sesame")],
        tls_certificate=tmp_path / "server.pem",
        tls_key=tmp_path / "server.key",
        tls_client_ca=tmp_path / "ca.pem",
    )
    async with serving(Bookkeeping(), settings=guarded) as server:
        address = Address(
            server.address,
            ca=tmp_path / "ca.pem",
            certificate=tmp_path / "client.pem",
            key=tmp_path / "client.key",
            token="open-sesame",
        )
        await face(address, let_in)


def complaint(address: Address) -> str:
    with open_sync_client(address) as client, pytest.raises(ServiceError) as refused:
        client.get_odds()
    assert refused.value.code == "UNAVAILABLE"
    return str(refused.value)


async def test_what_is_wrong_with_the_encryption_is_told(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    make_certificates(tmp_path)
    make_certificates(tmp_path / "other")
    ca = tmp_path / "ca.pem"
    guarded = ServerSettings(
        listen="127.0.0.1:0",
        tls_certificate=tmp_path / "server.pem",
        tls_key=tmp_path / "server.key",
        tls_client_ca=ca,
    )
    async with serving(Bookkeeping(), settings=guarded) as server:
        at = server.address
        for address, says in (
            (Address(at, ca=tmp_path / "other" / "ca.pem"), f"certificate of {at} is not trusted"),
            (Address(at, tls=True), f"certificate of {at} is not trusted"),
            (Address(at, ca=ca), "it may want TLS, or our certificate"),
            (Address(at), "it may want TLS, or our certificate"),
        ):
            assert says in await trio.to_thread.run_sync(complaint, address)
    async with serving(Bookkeeping()) as server:
        plain = Address(server.address, tls=True)
        assert "does not speak TLS" in await trio.to_thread.run_sync(complaint, plain)


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    certificate, key = tmp_path / "client.pem", tmp_path / "client.key"
    for address in (
        Address("localhost:1", ca=garbage),
        Address("localhost:1", certificate=certificate, key=garbage),
        Address("localhost:1", certificate=garbage, key=key),
        Address("localhost:1", certificate=certificate, key=tmp_path / "server.key"),
    ):
        with pytest.raises(AddressError, match="TLS: "), connect(address):
            pass


@pytest.mark.parametrize(
    ("address", "says"),
    [
        (Address("nowhere"), "'nowhere' is not host:port"),
        (Address("192.0.2.1:50051", token="t"), "not sent to 192.0.2.1:50051 in the clear"),
        (Address("localhost:1", ca=Path("/no/such.pem")), "such.pem cannot be read"),
        (Address("localhost:1", certificate=Path("c.pem")), "give both"),
        (Address("localhost:1", token="a\nb"), "characters that no token has"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(address: Address, says: str) -> None:
    with pytest.raises(AddressError, match=says), connect(address):
        pass
    assert "open-sesame" not in repr(Address("h:1", token="open-sesame"))
