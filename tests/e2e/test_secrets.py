"""The service never shows a secret: a process at debug level, with a marked secret in every place.

The tests search all of its output: the log, the replies of every call, the statuses of failed
calls, and the metrics. Starts and fetches fail in every way, the database goes away and comes back,
and the service crashes and stops.
"""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import grpc
import httpx
import pytest
import trio
from starlette.requests import Request
from starlette.responses import Response

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc
from tests.demo.serving import listening
from tests.support.certificates import make_certificates
from tests.support.postgres import PostgresServer, postgres_server
from tests.support.serving import LONG_S, wait_until

ROOT: Final = Path(__file__).resolve().parents[2]
MARK: Final = "MARKED"  # part of every secret, so that one search finds them all
API_KEY: Final = "MARKED-api+key/1&x"
KEY_FILE: Final = "MARKED-key-file-2"
KEY_ENVIRONMENT: Final = "MARKED-environment-3"
URL_PASSWORD: Final = "MARKED-url-4"
DATABASE_PASSWORD: Final = "MARKED-db:p@ss/5"
TOKEN: Final = "MARKED-token-6"
TOKEN_FILE: Final = "MARKED-token-file-7"
METRICS_TOKEN: Final = "MARKED-metrics-8"

EVENT: Final = {
    "id": "e1", "sport_key": "ok", "sport_title": "S", "commence_time": "2099-01-01T00:00:00Z",
    "home_team": "H", "away_team": "A",
    "bookmakers": [{
        "key": "b", "title": "B", "last_update": "2026-01-01T00:00:00Z",
        "markets": [{
            "key": "h2h", "last_update": "2026-01-01T00:00:00Z",
            "outcomes": [{"name": "H", "price": 1.5}, {"name": "A", "price": 2.5}],
        }],
    }],
}  # fmt: skip


async def hostile(request: Request) -> Response:
    """Answer with the caller's API key in the reply, in a different way for each sport."""
    key = request.query_params.get("apiKey") or ""
    sport = request.url.path.split("/")[3]
    quoted = json.dumps({"message": f"no: {key}", "error_code": key}).encode()
    if "events" in request.url.path:
        return Response(quoted, 500)
    match sport:
        case "ok":
            return Response(json.dumps([EVENT]).encode())
        case "unauthorized":
            return Response(quoted, 401)
        case "redirect":
            where = f"http://u:{key}@127.0.0.1/login?apiKey={key}"
            return Response(status_code=302, headers={"location": where})
        case "page":
            return Response(f"<html>{key}</html>".encode(), media_type="text/html")
        case "garbage":
            return Response(f'[{{"id": "{key}", "bookmakers": "{key}"}}]'.encode())
        case "type":
            return Response(quoted)
        case "encoding":
            return Response(quoted, headers={"content-encoding": "gzip", "x-key": key})
        case "quota":
            return Response(quoted, 429, headers={"retry-after": "0", "x-requests-remaining": key})
    return Response(quoted, 500)


FAILING: Final = (
    "unauthorized", "redirect", "page", "garbage", "type", "encoding", "quota", "broken",
)  # fmt: skip


class Service:
    """The service as a process, with all its output in one file."""

    def __init__(self, folder: Path, *command: str, **environment: str) -> None:
        self.path = folder / "said"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("ODDS_")}
        with self.path.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                stdout=file,
                stderr=file,
                cwd=folder,
                env=inherited | {"PYTHONPATH": str(ROOT)} | environment,
            )

    @property
    def said(self) -> str:
        return self.path.read_text("utf-8", "replace")

    def entries(self, event: str) -> list[dict[str, Any]]:
        lines = (line for line in self.said.splitlines() if line.startswith("{"))
        return [entry for entry in map(json.loads, lines) if entry.get("event") == event]

    async def logged(self, event: str) -> dict[str, Any]:
        """Wait for an event in the log, and return its first entry."""
        await wait_until(
            lambda: bool(self.entries(event)) or self.process.poll() is not None, event
        )
        assert self.entries(event), self.said[-3000:]
        return self.entries(event)[0]

    async def end(self, number: signal.Signals | None = None) -> int:
        if number is not None:
            self.process.send_signal(number)
        return await trio.to_thread.run_sync(self.process.wait, LONG_S)


def config(folder: Path, source_port: int, database: str) -> Path:
    """Write settings with a secret in every place that takes one; return their path."""
    make_certificates(folder)
    (folder / "tokens").write_text(TOKEN_FILE)
    (folder / "key").write_text(KEY_FILE)
    url = f"http://user:{URL_PASSWORD}@127.0.0.1:{source_port}"
    common = f'kind = "the-odds-api"\nurl = "{url}"\ninterval_s = 0.2\n'
    retries = "[sources.http]\nattempts = 2\nretry_s = 1\nbreaker_failures = 1000000\n"
    path = folder / "odds.toml"
    path.write_text(f"""
[server]
listen = "127.0.0.1:0"
tls_certificate = "{folder / "server.pem"}"
tls_key = "{folder / "server.key"}"
tokens = ["{TOKEN}"]
tokens_file = "{folder / "tokens"}"
[metrics]
listen = "127.0.0.1:0"
tokens = ["{METRICS_TOKEN}"]
[database]
url = "{database}"
migrate = true
[log]
level = "debug"
format = "json"
[[sources]]
{common}name = "one"\napi_key = "{API_KEY}"\nsports = {json.dumps(["ok", *FAILING])}
{retries}
[[sources]]
{common}name = "two"\napi_key_file = "{folder / "key"}"\nsports = {json.dumps(FAILING)}
{retries}
[[sources]]
{common}name = "three"\nsports = {json.dumps(FAILING)}
{retries}
""")
    return path


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """Yield a server that asks the role `odds` for a password."""
    with postgres_server() as server:
        hba = Path(server.psql("SHOW hba_file"))
        hba.write_text(
            "host all postgres 127.0.0.1/32 trust\nhost all odds 127.0.0.1/32 scram-sha-256\n"
        )
        server.psql(f"CREATE ROLE odds LOGIN PASSWORD '{DATABASE_PASSWORD}'")
        server.psql("CREATE DATABASE odds OWNER odds")
        server.psql("SELECT pg_reload_conf()")
        yield server


def url_of(server: PostgresServer, password: str = DATABASE_PASSWORD) -> str:
    return f"postgresql://odds:{quote(password, safe='')}@127.0.0.1:{server.port}/odds"


def assert_nothing_secret(text: str, folder: Path) -> None:
    for line in text.splitlines():
        assert MARK not in line, line[:2_000]
    basic = base64.b64encode(f"user:{URL_PASSWORD}".encode()).decode()
    assert basic not in text
    (_, secret, *_) = (folder / "server.key").read_text().splitlines()
    assert secret not in text


@contextmanager
def channel_to(folder: Path, address: str) -> Iterator[grpc.Channel]:
    trust = grpc.ssl_channel_credentials((folder / "ca.pem").read_bytes())
    with grpc.secure_channel(address, trust) as channel:
        yield channel


def everything_said(folder: Path, address: str, token: str) -> list[str]:
    """Return the replies of every call as text, and the statuses of failed calls."""
    texts: list[str] = []
    with channel_to(folder, address) as channel:
        stub: Any = pb_grpc.OddsServiceStub(channel)

        def call(name: str, request: Any, given: str = token) -> Any:
            metadata = [("authorization", f"Bearer {given}")]
            return getattr(stub, name)(request, metadata=metadata, timeout=LONG_S)

        while not (odds := call("GetOdds", pb.GetOddsRequest())).events:
            texts.append(str(odds))  # this sport was not fetched yet, among all that fail
        event = odds.events[0].event.id
        texts.append(str(odds))
        texts.append(str(call("ListEvents", pb.ListEventsRequest())))
        texts.append(str(call("RefreshEvent", pb.RefreshEventRequest(event_id=event))))
        texts.append(str(call("GetStatus", pb.GetStatusRequest())))
        for resume in (pb.Cursor(epoch=odds.cursor.epoch), pb.Cursor(epoch="?")):
            stream = call("WatchChanges", pb.WatchChangesRequest(resume=resume))
            for message in stream:
                texts.append(str(message))
                if message.WhichOneof("message") in {"changes", "image_end", "heartbeat"}:
                    break
            stream.cancel()
        texts += map(str, call("GetHistory", pb.GetHistoryRequest()))
        for wrong in (f"{token}x", ""):
            with pytest.raises(grpc.RpcError) as refused:
                call("GetOdds", pb.GetOddsRequest(), wrong)
            texts.append(f"{refused.value.details()} {refused.value.trailing_metadata()}")
        with pytest.raises(grpc.RpcError) as refused:
            call("RefreshEvent", pb.RefreshEventRequest(event_id=f"{token}x"))
        texts.append(f"{refused.value.code()} {refused.value.trailing_metadata()}")
    return texts


async def test_nothing_secret_is_shown(tmp_path: Path, postgres: PostgresServer) -> None:
    async with listening(hostile) as port:
        path = config(tmp_path, port, url_of(postgres))
        served = Service(
            tmp_path, "-m", "odds_service", "serve", "--config", str(path),
            ODDS_API_KEY=KEY_ENVIRONMENT,
        )  # fmt: skip
        try:
            address = (await served.logged("serving"))["address"]
            metrics = (await served.logged("metrics_serving"))["address"]
            wanted = 3 * len(FAILING)
            await wait_until(lambda: len(served.entries("fetch_failed")) >= 2 * wanted, "failures")
            said = await trio.to_thread.run_sync(everything_said, tmp_path, address, TOKEN)
            said += await trio.to_thread.run_sync(everything_said, tmp_path, address, TOKEN_FILE)
            async with httpx.AsyncClient(base_url=f"http://{metrics}", trust_env=False) as client:
                refused = await client.get("/metrics", headers={"authorization": "Bearer x"})
                scraped = await client.get(
                    "/metrics", headers={"authorization": f"Bearer {METRICS_TOKEN}"}
                )
            assert (refused.status_code, scraped.status_code) == (401, 200)
            postgres.stop()
            await trio.to_thread.run_sync(postgres.start)
            await served.logged("storage_back")
            assert await served.end(signal.SIGTERM) == 0
        finally:
            served.process.kill()
            served.process.wait()
    failed = {(each["source"], each["kind"]) for each in served.entries("fetch_failed")}
    assert {source for source, _ in failed} == {"one", "two", "three"}
    assert len({kind for _, kind in failed}) >= 5, failed
    assert served.entries("storage_away")
    assert "SOURCE_HEALTH_DOWN" in "".join(said)
    assert "the-odds-api" in scraped.text
    for text in (served.said, *said, refused.text, scraped.text):
        assert_nothing_secret(text, tmp_path)


@pytest.mark.parametrize(
    ("database", "says"),
    [
        ("password", "password"),
        ("postgresql://odds:MARKED-db-9@127.0.0.1:1/odds", "127.0.0.1"),
        ("postgresql://odds:MARKED-db-9@127.0.0.1:none/odds", "database.url"),
    ],
)
async def test_a_start_that_fails_shows_nothing_secret(
    database: str, says: str, tmp_path: Path, postgres: PostgresServer
) -> None:
    url = url_of(postgres, "MARKED-wrong") if database == "password" else database
    path = config(tmp_path, 1, url)
    served = Service(tmp_path, "-m", "odds_service", "serve", "--config", str(path),
                     ODDS_API_KEY=KEY_ENVIRONMENT)  # fmt: skip
    assert await served.end() == 1, served.said
    assert says in served.said
    assert_nothing_secret(served.said, tmp_path)


CRASHING: Final = """
import os
from odds_service.cli import main
from odds_service.pipeline.detect import Detector

def crash(*_):
    raise LookupError(f"a library says {os.environ['SAYS']}")

Detector.apply = crash
main()
"""


async def test_a_crash_shows_its_traceback_without_the_secrets(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    async with listening(hostile) as port:
        url = url_of(postgres)
        path = config(tmp_path, port, url)
        served = Service(
            tmp_path, "-c", CRASHING, "serve", "--config", str(path),
            ODDS_API_KEY=KEY_ENVIRONMENT, SAYS=f"{API_KEY!r} and {url}",
        )  # fmt: skip
        assert await served.end() not in {0, -9}
    (crash,) = served.entries("crashed")
    assert "LookupError: a library says" in crash["exception"]
    assert "Traceback" in crash["exception"]
    assert_nothing_secret(served.said, tmp_path)
