"""The HTTP door: callers and their rights, foreign pages, tags, probes, TLS, and its end."""

import logging
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import trio
from google.protobuf.message_factory import GetMessageClass
from pydantic import SecretStr

from odds_service.access import Tokens
from odds_service.config import AccessSettings, HttpSettings, Right, ServerSettings
from odds_service.errors import SettingsError
from odds_service.http import bodies, connections, session
from odds_service.http.errors import HTTP_STATUS
from odds_service.http.routes import PATHS
from odds_service.http.session import SESSION, Sessions
from odds_service.serving.admission import SERVICE
from odds_service.serving.auth import RIGHTS, Holder
from odds_service.serving.errors import StatusCode
from tests.support.certificates import make_certificates
from tests.support.odds_builders import Bookkeeping, connected, refusal, serving
from tests.support.refusals import small_book
from tests.support.serving import wait_until

WEBSOCKET = (
    b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
EVERYWHERE = "0.0.0.0"  # noqa: S104  # one test is of such a listener
LOCAL = HttpSettings(listen="127.0.0.1:0")
TOKENS = {right: f"token-{right}" for right in Right}
GUARDED = ServerSettings(
    listen="127.0.0.1:0",
    tokens=[SecretStr("open-sesame")],
    access=[
        AccessSettings(name=f"only-{right}", token=SecretStr(TOKENS[right]), rights=[right])
        for right in Right
    ],
)


def url_of(address: str, path: str) -> str:
    return f"http://{address}{path}"


def as_cookie(values: dict[str, str]) -> dict[str, str]:
    return {"cookie": "; ".join(f"{name}={value}" for name, value in values.items())}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize("token", ["", "nobody's", *TOKENS.values()])
async def test_both_doors_let_in_the_same_callers(token: str) -> None:
    """Each call, without a token, with an unknown one, and with one right alone."""
    methods = {method.name: method for method in SERVICE.methods}
    given = bearer(token) if token else {}
    async with (
        serving(small_book(), settings=GUARDED, http=LOCAL) as server,
        httpx.AsyncClient(headers=given, timeout=30) as http,
    ):
        for place in PATHS:
            method = methods[place.call]
            right = RIGHTS[place.call]
            if token == TOKENS[right]:
                continue  # it is let in; the calls' own tests show the replies
            request = GetMessageClass(method.input_type)()
            with connected(server.address, **given) as client:
                if method.server_streaming:
                    with client.stream(place.call, request) as stream:
                        error = await stream.error()
                else:
                    error = await refusal(client, place.call, request)
            path = place.path.replace("{event_id}", "e1")
            answer = await http.request(place.verb, url_of(server.addresses[1], path))
            code = error.code()
            assert answer.status_code == HTTP_STATUS[code], (place, answer.text)
            assert answer.json()["code"] == code.value[0]
            assert answer.json()["message"] == error.details()
            if code is StatusCode.UNAUTHENTICATED:
                assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_session_is_a_cookie_that_scripts_cannot_read_and_no_token() -> None:
    async with (
        serving(small_book(), settings=GUARDED, http=LOCAL) as server,
        httpx.AsyncClient(base_url=url_of(server.addresses[1], ""), timeout=30) as http,
    ):
        assert (await http.get("/v1/odds")).status_code == 401
        assert (await http.post("/v1/session", headers=bearer("wrong"))).status_code == 401
        begun = await http.post("/v1/session", headers=bearer("open-sesame"))
        assert begun.status_code == 204
        assert begun.headers["cache-control"] == "no-store"
        assert "open-sesame" not in begun.headers["set-cookie"]
        cookie = begun.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "secure" not in cookie  # without TLS a browser would drop it
        assert (await http.get("/v1/odds")).status_code == 200
        # What the caller names itself counts, as with any other client.
        assert (await http.get("/v1/odds", headers=bearer("wrong"))).status_code == 401
        kept = dict(http.cookies)
        assert (await http.delete("/v1/session")).status_code == 204
        assert (await http.get("/v1/odds")).status_code == 401
        # It is over at the server too: a copy of the cookie is worth nothing.
        assert (await http.get("/v1/odds", headers=as_cookie(kept))).status_code == 401
        token = as_cookie({SESSION: "open-sesame"})
        assert (await http.get("/v1/odds", headers=token)).status_code == 401


async def test_a_session_has_the_access_of_its_token_and_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream of a session ends with its token, and its cookie is worth nothing then."""
    monkeypatch.setattr("odds_service.access.REREAD_S", 0.1)
    file = tmp_path / "tokens"
    file.write_text("first\nsecond\n")
    settings = ServerSettings(listen="127.0.0.1:0", tokens_file=file)
    async with (
        serving(small_book(), settings=settings, http=LOCAL) as server,
        httpx.AsyncClient(base_url=url_of(server.addresses[1], ""), timeout=60) as http,
    ):
        assert (await http.post("/v1/session", headers=bearer("first"))).status_code == 204
        assert (await http.get("/v1/odds")).status_code == 200
        assert (await http.post("/v1/reload")).status_code == 403  # as its token
        async with http.stream("GET", "/v1/changes") as stream:
            assert stream.status_code == 200
            file.write_text("second\n")
            told = "".join([text async for text in stream.aiter_text()])
        assert '"code":16' in told.replace(" ", "")
        assert (await http.get("/v1/odds")).status_code == 401


def test_sessions_outlive_a_restart_but_not_their_token_nor_their_time() -> None:
    settings = ServerSettings(tokens=[SecretStr("one"), SecretStr("two")])
    tokens, now = Tokens(settings), [datetime(2026, 8, 4, tzinfo=UTC)]
    sessions = Sessions(tokens, lambda: now[0])
    one, two = (tokens.holder(f"Bearer {token}") for token in ("one", "two"))
    assert one is not None
    assert two is not None
    first, second, other = sessions.begin(one), sessions.begin(one), sessions.begin(two)
    again = Sessions(Tokens(settings), lambda: now[0])
    assert again.holder(first) == Holder(one)
    assert again.holder(other) == Holder(two)
    again.end(first)
    assert again.holder(first) is None
    assert again.holder(second) == Holder(one)
    now[0] += timedelta(seconds=session.LIFE_S - 1)
    assert again.holder(second) == Holder(one)
    tokens.adopt(Tokens(settings.model_copy(update={"tokens": [SecretStr("one")]})))
    assert sessions.holder(other) is None
    now[0] += timedelta(seconds=1)
    assert again.holder(second) is None


def test_an_id_that_was_tampered_with_is_no_session() -> None:
    tokens = Tokens(ServerSettings(tokens=[SecretStr("one")]))
    sessions = Sessions(tokens)
    client = tokens.holder("Bearer one")
    assert client is not None
    whole = sessions.begin(client)
    salt, until, seal = whole.split(".")
    assert sessions.holder(whole) == Holder(client)
    for wrong in (
        "", ".", "..", "one", salt, f"{salt}.{until}", f"{salt}.{int(until) + 1}.{seal}",
        f"{salt}x.{until}.{seal}", f"{salt}.{until}.{seal[:-1]}", f"{salt}.{until}.é", "x" * 9_000,
    ):  # fmt: skip
        assert sessions.holder(wrong) is None, wrong


def test_the_ended_sessions_that_are_remembered_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "ENDED", 2)
    tokens = Tokens(ServerSettings(tokens=[SecretStr("one")]))
    sessions = Sessions(tokens)
    client = tokens.holder("Bearer one")
    assert client is not None
    ids = [sessions.begin(client) for _ in range(3)]
    for each in ids:
        sessions.end(each)
    assert [sessions.holder(each) for each in ids] == [Holder(client), None, None]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8050", 200),
        ("127.0.0.1", 200),
        ("[::1]:8050", 200),
        ("board.example.com", 200),
        ("evil.example.com", 421),
        ("127.0.0.1.evil.example.com", 421),
        ("localhost.evil.example.com:80", 421),
    ],
)
async def test_a_listener_on_loopback_answers_to_its_own_names(host: str, status: int) -> None:
    settings = HttpSettings(listen="127.0.0.1:0", hosts=["Board.example.com"])
    async with serving(small_book(), http=settings) as server, httpx.AsyncClient() as http:
        answer = await http.get(url_of(server.addresses[1], "/v1/odds"), headers={"host": host})
    assert answer.status_code == status
    if status == 421:
        assert "http.hosts" in answer.json()["message"]


@pytest.mark.parametrize("hosts", [[], ["localhost"]])
async def test_another_listener_answers_to_named_hosts_alone_if_there_are_any(
    hosts: list[str],
) -> None:
    """As in a container whose port is published on loopback."""
    settings = HttpSettings(listen=f"{EVERYWHERE}:0", hosts=hosts)
    served = ServerSettings(listen="127.0.0.1:0", insecure_public=True)
    async with (
        serving(small_book(), settings=served, http=settings) as server,
        httpx.AsyncClient() as http,
    ):
        address = server.addresses[1].replace(EVERYWHERE, "127.0.0.1")

        async def asked(path: str, host: str) -> int:
            return (await http.get(url_of(address, path), headers={"host": host})).status_code

        assert await asked("/v1/odds", "localhost:8050") == 200
        assert await asked("/v1/odds", "evil.example.com") == (421 if hosts else 200)
        assert await asked("/readyz", "10.1.2.3:8050") == 200  # as a kubelet calls it


async def test_pages_of_other_hosts_read_and_change_only_what_they_may() -> None:
    named = "https://desk.example.com"
    settings = HttpSettings(listen="127.0.0.1:0", origins=[named])
    async with serving(small_book(), http=settings) as server, httpx.AsyncClient() as http:
        address = server.addresses[1]

        async def asked(verb: str, origin: str) -> httpx.Response:
            path = "/v1/odds" if verb == "GET" else "/v1/reload"
            return await http.request(verb, url_of(address, path), headers={"origin": origin})

        allowed = await asked("GET", named)
        assert allowed.headers["access-control-allow-origin"] == named
        foreign = await asked("GET", "https://evil.example.com")
        assert "access-control-allow-origin" not in foreign.headers  # a browser hides the reply
        refused = await asked("POST", "https://evil.example.com")
        assert (refused.status_code, refused.json()["code"]) == (403, 7)
        for origin in (named, f"http://{address}"):
            assert (await asked("POST", origin)).status_code == 501  # it came to the call
    async with serving(small_book(), http=LOCAL) as server, httpx.AsyncClient() as http:
        closed = await http.get(url_of(server.addresses[1], "/v1/odds"), headers={"origin": named})
        assert "access-control-allow-origin" not in closed.headers


async def test_every_answer_bounds_what_a_page_may_do() -> None:
    async with serving(small_book(), http=LOCAL) as server, httpx.AsyncClient() as http:
        for path in (
            "/v1/odds",
            "/v1/nothing",
            "/docs",
            "/healthz",
            "/openapi.json",
            "/v1/odds?x=1",
        ):
            headers = (await http.get(url_of(server.addresses[1], path))).headers
            assert_bounded(headers)
            assert headers["cross-origin-resource-policy"] == "same-origin"


def assert_bounded(headers: httpx.Headers) -> None:
    """Check the headers that bound a page; each of them stands there once."""
    (policy,) = headers.get_list("content-security-policy")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers.get_list("x-content-type-options") == ["nosniff"]
    assert headers.get_list("referrer-policy") == ["no-referrer"]


@pytest.mark.parametrize(
    ("request_", "status", "by_the_app"),
    [
        (b"POST /v1/reload HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n", 408, True),
        (b"POST /v1/reload HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2097152\r\n\r\n"
         + b" " * 2_097_152, 413, True),
        (b"GET /v1/odds HTTP/1.1\r\nhost: evil.example.com\r\n\r\n", 421, True),
        (b"NONSENSE\r\n\r\n", 400, False),  # hypercorn's own answers
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 70_000, 431, False),
        (WEBSOCKET, 403, False),
    ],
    ids=["slow", "large", "foreign", "nonsense", "long-head", "websocket"],
)  # fmt: skip
async def test_answers_that_come_before_the_routes_bound_a_page_too(
    request_: bytes, status: int, by_the_app: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if status == 408:
        monkeypatch.setattr(bodies, "BODY_S", 0.05)
    async with serving(small_book(), http=LOCAL) as server:
        host, _, port = server.addresses[1].rpartition(":")
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            await stream.send_all(request_)
            answer = b""
            with trio.fail_after(30):
                while b"\r\n\r\n" not in answer:
                    answer += await stream.receive_some(2**16) or pytest.fail("no answer")
    first, *lines = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert first.split()[1] == str(status)
    pairs = [line.partition(": ") for line in lines]
    headers = httpx.Headers([(name, value) for name, _, value in pairs])
    assert_bounded(headers)
    # This one depends on the request, so hypercorn's answers, which have no body, lack it.
    assert ("cross-origin-resource-policy" in headers) == by_the_app


async def test_an_unchanged_reply_is_confirmed_by_its_tag() -> None:
    book = small_book()
    async with serving(book, http=LOCAL) as server, httpx.AsyncClient() as http:
        url = url_of(server.addresses[1], "/v1/odds")
        first = await http.get(url)
        known = {"if-none-match": first.headers["etag"]}
        assert first.headers["cache-control"] == "no-cache"
        again = await http.get(url, headers=known)
        assert (again.status_code, again.content) == (304, b"")
        other = await http.get(url, params={"includeBest": "true"}, headers=known)
        assert other.status_code == 200
        head = await http.head(url)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["etag"] == first.headers["etag"]
        stream = await http.head(url_of(server.addresses[1], "/v1/changes"))
        assert (stream.status_code, stream.content) == (200, b"")


async def test_what_nothing_serves_is_refused_as_a_status() -> None:
    async with serving(small_book(), http=LOCAL) as server, httpx.AsyncClient() as http:
        lost = await http.get(url_of(server.addresses[1], "/v1/odd"))
        assert (lost.status_code, lost.json()["code"]) == (404, 5)
        assert "/v1/odd" in lost.json()["message"]
        wrong = await http.post(url_of(server.addresses[1], "/v1/odds"))
        assert wrong.status_code == 405
        assert "GET" in wrong.headers["allow"]
        large = await http.post(url_of(server.addresses[1], "/v1/reload"), content=b" " * 2**21)
        assert (large.status_code, large.json()["code"]) == (413, 8)
        upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
                   "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}  # fmt: skip
        assert (
            await http.get(url_of(server.addresses[1], "/"), headers=upgrade)
        ).status_code == 403


async def test_probes_follow_the_service() -> None:
    guarded = GUARDED.model_copy()
    async with (
        serving(small_book(), settings=guarded, http=LOCAL) as server,
        httpx.AsyncClient(base_url=url_of(server.addresses[1], "")) as http,
    ):

        async def told() -> tuple[int, int]:
            return (
                (await http.get("/healthz")).status_code,
                (await http.get("/readyz")).status_code,
            )

        assert await told() == (200, 200)  # and without a token
        await server.set_serving(False)
        assert await told() == (200, 503)
        await server.set_serving(True)
        server.set_stalled(True)
        for _ in range(1_000):  # the loop sets it soon
            if await told() == (503, 503):
                break
        else:
            pytest.fail("a stalled service is still said to be alive")


async def test_a_stop_ends_streams_and_connections_without_a_crash(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """200 streams, and 50 connections that are kept open between two requests."""
    async with serving(small_book(), http=LOCAL) as server:
        host, _, port = server.addresses[1].rpartition(":")
        streams = []
        for number in range(250):
            stream = await trio.open_tcp_stream(host, int(port))
            path = "/v1/changes" if number < 200 else "/healthz"
            await stream.send_all(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
            streams.append(stream)
        await wait_until(lambda: server.subscribers == 200, "all streams")
        bodies: dict[int, bytes] = {}

        async def read(number: int) -> None:
            body = b""
            while piece := await streams[number].receive_some(2**16):
                body += piece
            bodies[number] = body
            await streams[number].aclose()

        async with trio.open_nursery() as nursery:
            for number in range(250):
                nursery.start_soon(read, number)
            began = time.monotonic()
            with trio.fail_after(60):
                await server.stop(30.0)
            took_s = time.monotonic() - began
    assert took_s < 15.0  # not the whole grace, on a machine of any pace
    assert len(bodies) == 250
    assert all(b"event: closing" in bodies[number] for number in range(200))
    assert all(bodies[number].endswith(b"0\r\n\r\n") for number in range(200))
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert "Traceback" not in capfd.readouterr().err


async def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS", 3)
    async with serving(small_book(), http=LOCAL) as server:
        host, _, port = server.addresses[1].rpartition(":")
        held = [await trio.open_tcp_stream(host, int(port)) for _ in range(3)]
        for stream in held:
            await stream.send_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert (await stream.receive_some(100)).startswith(b"HTTP/1.1 200")
        further = await trio.open_tcp_stream(host, int(port))
        with trio.fail_after(30):
            assert await further.receive_some(100) == b""
        await held[0].aclose()
        with trio.fail_after(30):
            while True:  # its place is free once its end was noticed
                another = await trio.open_tcp_stream(host, int(port))
                try:
                    await another.send_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
                    if await another.receive_some(100):
                        break
                except trio.BrokenResourceError:
                    pass
                await another.aclose()
        for stream in (*held, further, another):
            await stream.aclose()


def test_a_port_that_cannot_be_served_is_refused_by_its_name() -> None:
    async def start(settings: HttpSettings) -> None:
        async with serving(Bookkeeping(), http=settings):
            pass

    async def on_a_taken_port() -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with listener:
            port = listener.socket.getsockname()[1]
            await start(HttpSettings(listen=f"127.0.0.1:{port}"))

    with pytest.RaisesGroup(
        pytest.RaisesExc(SettingsError, match=r"http\.listen: cannot listen on .*free"),
        flatten_subgroups=True,
    ):
        trio.run(on_a_taken_port)


async def test_tls_speaks_http_2_and_follows_the_files(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    settings = ServerSettings(
        listen="127.0.0.1:0",
        tls_certificate=tmp_path / "server.pem",
        tls_key=tmp_path / "server.key",
        tokens=[SecretStr("open-sesame")],
    )
    trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    async with serving(small_book(), settings=settings, http=LOCAL) as server:
        port = server.addresses[1].rpartition(":")[2]
        base = f"https://localhost:{port}"
        async with httpx.AsyncClient(
            base_url=base, verify=trusting, http2=True, headers=bearer("open-sesame"), timeout=30
        ) as http:
            answer = await http.get("/v1/odds")
            assert (answer.status_code, answer.http_version) == (200, "HTTP/2")
            begun = await http.post("/v1/session")
            assert "secure" in begun.headers["set-cookie"].lower()
            image = await http.get("/v1/changes", params={"image": "only"})
            assert image.http_version == "HTTP/2"
            assert "event: image_end" in image.text
        async with httpx.AsyncClient(base_url=base, verify=trusting, timeout=30) as http:
            assert (await http.get("/healthz")).http_version == "HTTP/1.1"
        # A new authority signs a new certificate; nothing is started anew.
        renewed = tmp_path / "renewed"
        renewed.mkdir()
        make_certificates(renewed)
        for name in ("server.key", "server.pem"):
            (renewed / name).replace(tmp_path / name)
        newly = ssl.create_default_context(cafile=str(renewed / "ca.pem"))
        async with httpx.AsyncClient(base_url=base, verify=newly, timeout=30) as http:
            assert (await http.get("/healthz")).status_code == 200
