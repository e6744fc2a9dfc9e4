"""The server of ASGI applications: whole answers, limits, hostile clients, and its stop."""

import gzip
from contextlib import suppress
from functools import partial

import httpx
import pytest
import structlog.testing
import trio
import trio.testing
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from odds_service.asgi import Limits, serve_app
from tests.demo.serving import client_of, listening
from tests.support.sites import serve_site

# More than the socket buffers of both ends hold, so it is not sent unless it is read.
LARGE = b"x" * 2**25

UPGRADE = (
    b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


async def echo(request: Request) -> Response:
    body = await request.body()
    return Response(f"{request.method} {request.url.path}".encode() + body)


class Sent:
    """A site whose answers count once they were sent."""

    def __init__(self, body: bytes) -> None:
        self.counted: list[str] = []
        self._body = body

    async def __call__(self, request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        path = request.url.path

        async def count() -> None:
            await trio.testing.wait_all_tasks_blocked()  # whatever could overtake it has done so
            self.counted.append(path)

        return Response(self._body, background=BackgroundTask(count))


async def talk(port: int, sent: bytes) -> bytes:
    """Send bytes, and read until the server closes."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(sent)
        received = bytearray()
        with trio.fail_after(20):
            async for part in stream:
                received += part
        return bytes(received)


async def test_an_answer_has_its_length() -> None:
    async with client_of(echo) as client:
        answer = await client.get("/a%20b?x=1")
    assert answer.status_code == 200
    assert answer.content == b"GET /a b"
    assert answer.headers["content-length"] == "8"


async def test_one_connection_carries_many_requests_also_pipelined() -> None:
    request = b"GET /%d HTTP/1.1\r\nhost: x\r\n%b\r\n"
    async with listening(echo) as port:
        received = await talk(
            port,
            request % (1, b"") + request % (2, b"") + request % (3, b"connection: close\r\n"),
        )
    assert received.count(b"HTTP/1.1 200 ") == 3
    positions = [received.index(b"GET /%d" % number) for number in (1, 2, 3)]
    assert positions == sorted(positions)


async def test_head_has_the_length_but_no_body() -> None:
    async with client_of(echo) as client:
        head = await client.head("/abc")
    assert (head.headers["content-length"], head.content) == ("9", b"")


async def test_an_answer_counts_before_the_next_request_of_its_connection() -> None:
    """Pipelined requests show the order: the second finds the first one counted."""
    seen: list[int] = []
    sent = Sent(b"12345")

    async def site(request: Request) -> Response:
        seen.append(len(sent.counted))
        return await sent(request)

    request = b"GET /%d HTTP/1.1\r\nhost: x\r\n%b\r\n"
    async with listening(site) as port:
        await talk(port, request % (1, b"") * 9 + request % (2, b"connection: close\r\n"))
    assert seen == list(range(10))


async def test_a_body_with_a_request_is_read_also_after_100_continue() -> None:
    async with listening(echo) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            head = (
                b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n"
            )
            await stream.send_all(head)
            with trio.fail_after(20):
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 100")
                await stream.send_all(b"abc")
                assert (await stream.receive_some()).endswith(b"POST /abc")


async def test_gzip_only_where_it_is_on_and_accepted_and_worth_it() -> None:
    async def site(request: Request) -> Response:
        return Response(b"odds " * 1_000 if request.url.path == "/large" else b"odds")

    accept = {"accept-encoding": "gzip"}
    async with client_of(site, gzip=True) as client:
        async with client.stream("GET", "/large", headers=accept) as compressed:
            raw = b"".join([part async for part in compressed.aiter_raw()])
        small = await client.get("/small", headers=accept)
        plain = await client.get("/large")
    assert compressed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == plain.content == b"odds " * 1_000
    assert "content-encoding" not in small.headers
    assert "content-encoding" not in plain.headers
    async with client_of(site) as client:
        off = await client.get("/large", headers=accept)
    assert "content-encoding" not in off.headers


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x00\x01\x02 garbage\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no host
        (b"GET / HTTP/1.1\r\nhost: x\r\nlong: " + b"a" * 2**17, 431),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 70000\r\n\r\n" + b"a" * 70_000, 413),
        (
            b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
            + b"10000\r\n%b\r\n" % (b"a" * 2**16) * 30
            + b"0\r\n\r\n",
            413,
        ),
        (UPGRADE, 403),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600), 400),  # TLS
    ],
)
async def test_what_is_no_request_gets_a_clean_answer(sent: bytes, status: int) -> None:
    async with listening(echo) as port:
        received = await talk(port, sent)
        assert received.startswith(b"HTTP/1.1 %d " % status)
        again = await talk(port, b"GET /on HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert again.endswith(b"GET /on")


async def test_a_request_that_never_ends_is_cut() -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 70\r\n\r\n"
    async with listening(echo, limits=Limits(request_s=0.05)) as port:
        assert (await talk(port, head + b"half")).startswith(b"HTTP/1.1 408 ")
    async with listening(echo, limits=Limits(idle_s=0.05)) as port:
        assert await talk(port, b"GET / HT") == b""


async def test_more_connections_than_allowed_are_closed() -> None:
    async with listening(echo, limits=Limits(connections=1)) as port:
        first = await trio.open_tcp_stream("127.0.0.1", port)
        async with first:
            await first.send_all(b"GET /one HTTP/1.1\r\nhost: x\r\n\r\n")
            with trio.fail_after(20):
                assert b"200" in await first.receive_some()
            with suppress(trio.BrokenResourceError):  # reset or closed by the server
                assert await talk(port, b"GET /two HTTP/1.1\r\nhost: x\r\n\r\n") == b""


async def test_an_idle_connection_is_closed() -> None:
    async with listening(echo, limits=Limits(idle_s=0.05)) as port:
        assert await talk(port, b"") == b""


async def test_a_reader_that_stalls_is_cut_and_its_answer_does_not_count() -> None:
    sent, ended = Sent(LARGE), trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await (await sent(Request(scope)))(scope, receive, send)
        finally:
            ended.set()

    async with trio.open_nursery() as nursery:
        port = await nursery.start(partial(serve_app, app, limits=Limits(send_s=0.1)))
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(b"GET /stalled HTTP/1.1\r\nhost: x\r\n\r\n")
            with trio.fail_after(20):
                await ended.wait()
                await drained(stream)
        nursery.cancel_scope.cancel()
    assert sent.counted == []


async def drained(stream: trio.SocketStream) -> None:
    """Read to the end of a connection that the server closes or resets."""
    with suppress(trio.BrokenResourceError):
        while await stream.receive_some():
            pass


async def test_an_answer_cut_by_its_client_does_not_count() -> None:
    sent = Sent(LARGE)
    async with listening(sent) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(b"GET /cut HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
        whole = await talk(port, b"GET /whole HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert whole.endswith(b"\r\n\r\n" + LARGE)
    assert sent.counted == ["/whole"]


async def test_a_stop_does_not_wait_for_a_reader_that_stalls() -> None:
    sent = Sent(LARGE)
    with trio.fail_after(15):  # under send_s
        async with listening(sent, limits=Limits(drain_s=0.05)) as port:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            await stream.send_all(b"GET /stalled HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
        await stream.aclose()
    assert sent.counted == []


async def test_an_application_that_fails_is_answered_and_logged_without_the_query() -> None:
    async def app(request: Request) -> Response:
        if request.url.path == "/bad":
            raise RuntimeError("broken")
        return Response(b"well")

    with structlog.testing.capture_logs() as logs:
        async with client_of(app) as client:
            bad = await client.get("/bad?apiKey=secret")
            well = await client.get("/well")
    assert (bad.status_code, well.content) == (500, b"well")
    assert [entry["event"] for entry in logs] == ["http_app_failed"]
    assert "secret" not in str(logs)
    assert "broken" not in bad.text


async def test_many_clients_at_once_get_each_their_own_answer() -> None:
    answers: dict[int, str] = {}

    async def one(client: httpx.AsyncClient, number: int) -> None:
        answers[number] = (await client.get(f"/{number}")).text

    async with client_of(echo) as client:
        async with trio.open_nursery() as nursery:
            for number in range(60):
                nursery.start_soon(one, client, number)
    assert answers == {number: f"GET /{number}" for number in range(60)}


async def test_stop_lets_answers_under_way_finish_and_closes_idle_connections() -> None:
    asked, go_on = trio.Event(), trio.Event()
    scope = trio.CancelScope()
    answers: list[httpx.Response] = []

    async def app(request: Request) -> Response:
        if request.url.path == "/slow":
            asked.set()
            await go_on.wait()
        return Response(b"done")

    async def serve(*, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        with scope:
            await serve_site(app, limits=Limits(drain_s=20.0), task_status=task_status)

    async def ask(port: int) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            answers.append(await client.get(f"http://127.0.0.1:{port}/slow", timeout=15.0))

    with trio.fail_after(15):  # under drain_s: the idle connection must not hold the stop
        async with trio.open_nursery() as nursery:
            port = await nursery.start(serve)
            idle = await trio.open_tcp_stream("127.0.0.1", port)
            async with idle:
                await idle.send_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                assert (await idle.receive_some()).endswith(b"done")
                nursery.start_soon(ask, port)
                await asked.wait()
                scope.cancel()
                assert await idle.receive_some() == b""
            with pytest.raises(OSError, match="all attempts to connect"):
                await trio.open_tcp_stream("127.0.0.1", port)
            go_on.set()
    assert answers[0].content == b"done"


async def test_stop_cuts_what_does_not_finish_in_its_grace() -> None:
    asked = trio.Event()
    scope = trio.CancelScope()

    async def app(request: Request) -> Response:
        asked.set()
        await trio.sleep_forever()
        return Response()

    async def serve(*, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        with scope:
            await serve_site(app, limits=Limits(drain_s=0.05), task_status=task_status)

    with trio.fail_after(15):
        async with trio.open_nursery() as nursery:
            port = await nursery.start(serve)
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            async with stream:
                await stream.send_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                await asked.wait()
                scope.cancel()
                with suppress(trio.BrokenResourceError):  # reset or closed by the server
                    assert await stream.receive_some() == b""
