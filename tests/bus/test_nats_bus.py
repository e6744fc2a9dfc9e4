"""The bus of the settings on real servers: TLS, users, and secrets that stay secret."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from odds_service.bus.bus import Bus
from odds_service.bus.log import Unavailable
from odds_service.config import BusSettings
from tests.bus.test_bus import answering, hearing, is_answered, twice
from tests.bus.test_log import send, take, texts
from tests.support.certificates import make_certificates
from tests.support.log_rigs import run, until
from tests.support.nats_servers import NatsServer, nats_cluster, nats_server

pytest.importorskip("nats", reason="needs the extra bus")

from nats.aio.client import Client  # after the skip

from odds_service.bus.connection import NatsOptions, inbox_prefix, user_of
from odds_service.bus.nats_bus import NatsBus
from odds_service.bus.opening import open_bus

PASSWORD = "correct-horse-battery"
TOKEN = "open-sesame-3f9a"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of another authority."""
    folder = tmp_path_factory.mktemp("foreign")
    make_certificates(folder)
    return folder


@pytest.fixture(scope="module")
def secure(folder: Path) -> Iterator[NatsServer]:
    """Yield a server with TLS, client certificates, and one user."""
    extra = (
        f'tls {{ cert_file: "{folder}/server.pem", key_file: "{folder}/server.key",'
        f' ca_file: "{folder}/ca.pem", verify: true }}\n'
        f'authorization {{ user: "odds", password: "{PASSWORD}" }}'
    )
    with nats_server(extra) as server:
        yield server


def settings_for(server: NatsServer, folder: Path, **changes: Any) -> BusSettings:
    return BusSettings(
        **{
            "servers": [server.url],
            "replicas": 1,
            "user": "odds",
            "password": SecretStr(PASSWORD),
            "tls_ca": folder / "ca.pem",
            "tls_certificate": folder / "client.pem",
            "tls_key": folder / "client.key",
            **changes,
        }
    )


async def refusal(bus: Bus) -> str:
    """Return why the bus is unavailable, with all that was logged."""
    with structlog.testing.capture_logs() as logs:
        with pytest.raises(Unavailable) as refused:
            await bus.log.info()
    await bus.aclose()
    return f"{refused.value} {logs}"


@pytest.mark.parametrize("scheme", ["nats", "tls"])
def test_nodes_meet_over_tls(secure: NatsServer, folder: Path, scheme: str) -> None:
    url = secure.url.replace("nats://", f"{scheme}://")

    async def test() -> None:
        given = settings_for(secure, folder, servers=[url])
        async with aclosing(open_bus(given)) as bus, aclosing(open_bus(given)) as other:
            async with answering(bus, "odds.refresh", twice, other):
                assert await other.ask("odds.refresh", b"x", 10) == b"xx"
                await asyncio.to_thread(secure.kill)
                await asyncio.to_thread(secure.start)
                async with asyncio.timeout(20):
                    while True:
                        try:
                            assert await other.ask("odds.refresh", b"y", 1) == b"yy"
                            break
                        except Unavailable:
                            await asyncio.sleep(0.05)

    run(test())


def test_a_server_of_another_authority_is_refused(
    secure: NatsServer, folder: Path, foreign: Path
) -> None:
    async def test() -> None:
        bus = open_bus(settings_for(secure, folder, tls_ca=foreign / "ca.pem"))
        told = await refusal(bus)
        assert "certificate verify failed" in told.lower()

    run(test())


def test_a_node_of_another_authority_is_refused(
    secure: NatsServer, folder: Path, foreign: Path
) -> None:
    async def test() -> None:
        other = {
            "tls_certificate": foreign / "client.pem",
            "tls_key": foreign / "client.key",
        }
        assert "cannot connect to the bus" in await refusal(
            open_bus(settings_for(secure, folder, **other))
        )

    run(test())


def test_a_wrong_user_is_told_and_no_password(
    secure: NatsServer, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = f"{PASSWORD}-of-before"

    async def test() -> None:
        bus = open_bus(settings_for(secure, folder, password=SecretStr(wrong)))
        told = await refusal(bus)
        assert "uthorization" in told
        assert PASSWORD not in told

    with caplog.at_level(logging.DEBUG):
        run(test())
    assert PASSWORD not in caplog.text


async def is_refused(bus: NatsBus) -> bool:
    try:
        await bus.ask("odds.refresh", b"", 0.5)
    except Unavailable as error:
        return "uthorization" in str(error)
    return False


@pytest.mark.parametrize("fault", ["refused", "given up"])
def test_a_node_comes_back_by_itself(fault: str) -> None:
    """Its user is refused for a while, or an error makes the library give its client up."""
    admitted = f'authorization {{ user: "odds", password: "{PASSWORD}" }}'
    refused = 'authorization { user: "odds", password: "of-somebody-else" }'

    def restart(server: NatsServer, extra: str) -> None:
        server.kill()
        server.configure(extra)
        server.start()

    async def fail(server: NatsServer, bus: NatsBus) -> None:
        first = await bus._connection.client()
        if fault == "given up":
            await first._send_command(b"NONSENSE\r\n")
            await first._flush_pending()
            while not first.is_closed:  # noqa: ASYNC110  # the library sends no event
                await asyncio.sleep(0.01)
            return
        await asyncio.to_thread(restart, server, refused)
        await until(partial(is_refused, bus))
        await asyncio.to_thread(restart, server, admitted)

    async def test(server: NatsServer) -> None:
        options = NatsOptions(servers=[server.url], replicas=1, user="odds", password=PASSWORD)
        heard: list[bytes] = []
        async with (
            aclosing(NatsBus(options)) as bus,
            aclosing(NatsBus(options)) as other,
            answering(bus, "odds.refresh", twice, other),
            hearing(bus, "odds.status", heard.append, other),
        ):
            await bus.log.make()
            reading = asyncio.create_task(take(bus.log, 1, 1))
            await fail(server, bus)

            async def is_back() -> bool:
                await other.tell("odds.status", b"fine")
                return b"fine" in heard and await is_answered(other, "odds.refresh")

            await until(is_back)
            await send(other.log, texts(1))
            assert (await reading)[0].message == b"message 1"

    with nats_server(admitted) as server:
        run(test(server))


@pytest.mark.parametrize("scheme", ["nats", "tls"])
def test_a_server_without_tls_gets_no_password(folder: Path, scheme: str) -> None:
    """Whoever sits between could answer in place of a server, and without TLS."""
    with nats_server("debug: true\ntrace: true") as server:

        async def test() -> None:
            url = server.url.replace("nats://", f"{scheme}://")
            bus = open_bus(settings_for(server, folder, servers=[url]))
            assert "offers no TLS" in await refusal(bus)
            assert "CONNECT" not in server.log_text()
            async with aclosing(NatsBus(NatsOptions(servers=[server.url]))) as plain:
                await plain.tell("x", b"")
            assert "CONNECT" in server.log_text()

        run(test())


def test_only_the_given_servers_are_connected_to() -> None:
    """Servers tell of others in their cluster, which may be reached by others, and need no TLS."""

    async def test(url: str) -> None:
        bus = NatsBus(NatsOptions(servers=[url]))
        client = await bus._connection.client()
        assert [server.geturl() for server in client.servers] == [url]
        await bus.aclose()
        library = Client()
        await library.connect(url)
        assert len(library.servers) == 3
        await library.close()

    with nats_cluster() as servers:
        run(test(servers[0].url))


def test_the_user_names_the_inbox_and_a_token_does_not() -> None:
    def options(server: str, **given: str) -> NatsOptions:
        return NatsOptions(servers=[server], **given)  # type: ignore[arg-type]  # texts all

    plain = "nats://127.0.0.1:4222"
    assert user_of(options(plain)) is None
    assert user_of(options(plain, user="read")) is None  # the library needs both
    read = options(plain, user="read", password="x")
    assert (user_of(read), inbox_prefix(read)) == ("read", "_INBOX.read")
    in_url = options("nats://ingest:x@127.0.0.1:4222")
    assert (user_of(in_url), inbox_prefix(in_url)) == ("ingest", "_INBOX.ingest")
    for odd in ("a.b", "*", ">", "ä", "a b"):
        assert inbox_prefix(options(plain, user=odd, password="x")) == "_INBOX"
    token = options(f"nats://{TOKEN}@127.0.0.1:4222")
    assert (user_of(token), inbox_prefix(token)) == (None, "_INBOX")


def test_a_token_in_a_url_stays_secret(caplog: pytest.LogCaptureFixture) -> None:
    with nats_server(f'authorization {{ token: "another-{TOKEN}" }}') as server:
        url = server.url.replace("://", f"://{TOKEN}@")

        async def test() -> None:
            told = await refusal(NatsBus(NatsOptions(servers=[url])))
            assert "uthorization" in told
            assert TOKEN not in told

        with caplog.at_level(logging.DEBUG):
            run(test())
        assert TOKEN not in caplog.text
