"""TLS at the HTTP door: the authority of clients follows its file, and streams flow by HTTP/2."""

import shutil
import ssl
from pathlib import Path

import httpx
import pytest
import trio

from odds_service.config import HttpSettings, ServerSettings
from tests.support.certificates import make_certificates
from tests.support.odds_builders import serving
from tests.support.refusals import small_book

LOCAL = HttpSettings(listen="127.0.0.1:0")


def settings(folder: Path) -> ServerSettings:
    """Return settings with TLS, which ask for certificates of clients."""
    return ServerSettings(
        listen="127.0.0.1:0",
        tls_certificate=folder / "server.pem",
        tls_key=folder / "server.key",
        tls_client_ca=folder / "ca.pem",
    )


def trusting(folder: Path, client: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if client is not None:
        context.load_cert_chain(client / "client.pem", client / "client.key")
    return context


def made(folder: Path) -> Path:
    folder.mkdir()
    make_certificates(folder)
    return folder


async def test_a_replaced_authority_decides_on_the_next_client(tmp_path: Path) -> None:
    old, new, used = made(tmp_path / "old"), made(tmp_path / "new"), tmp_path / "used"
    shutil.copytree(old, used)
    async with serving(small_book(), settings=settings(used), http=LOCAL) as server:
        url = f"https://{server.addresses[1]}/v1/odds"

        async def status(server: Path, client: Path | None) -> int:
            async with httpx.AsyncClient(verify=trusting(server, client), timeout=30) as http:
                return (await http.get(url)).status_code

        assert await status(old, old) == 200
        for wrong in (None, new):
            with pytest.raises(httpx.TransportError):
                await status(old, wrong)
        for name in ("ca.pem", "server.key", "server.pem"):
            shutil.copy(new / name, used / f"{name}.new")
            (used / f"{name}.new").replace(used / name)
        assert await status(new, new) == 200
        with pytest.raises(httpx.TransportError):
            await status(new, old)


async def test_a_stream_by_http_2_runs_beside_calls_and_ends_with_a_closing(
    tmp_path: Path,
) -> None:
    used = made(tmp_path / "used")
    context = trusting(used, used)
    async with serving(small_book(), settings=settings(used), http=LOCAL) as server:
        async with httpx.AsyncClient(
            base_url=f"https://{server.addresses[1]}", verify=context, http2=True, timeout=30
        ) as http:
            with trio.fail_after(30):
                async with http.stream("GET", "/v1/changes") as stream:
                    assert stream.http_version == "HTTP/2"
                    seen = []
                    async for line in stream.aiter_lines():
                        seen.append(line)
                        if line == "event: image_end":
                            assert (await http.get("/v1/odds")).status_code == 200
                            await server.stop(5.0)
            assert "event: closing" in seen


async def test_plain_text_at_a_tls_port_ends_that_connection_alone(tmp_path: Path) -> None:
    used = made(tmp_path / "used")
    async with serving(small_book(), settings=settings(used), http=LOCAL) as server:
        address = server.addresses[1]
        async with httpx.AsyncClient(verify=trusting(used, used), timeout=30) as http:
            with pytest.raises(httpx.TransportError):
                await http.get(f"http://{address}/healthz")
            assert (await http.get(f"https://{address}/healthz")).status_code == 200
