"""The HTTP server: complete answers, limits, hostile clients, and its stop."""

import gzip
from contextlib import suppress

import httpx
import pytest
import structlog.testing
import trio
from typing_extensions import override

from odds_service.http_server.message import Request, Response
from odds_service.http_server.server import HttpLimits, accepts_gzip, serve_http
from tests.demo.serving import client_of, listening

# More than the socket buffers of both ends hold, so it is not sent unless it is read.
LARGE = b"x" * 2**25


async def echo(request: Request) -> Response:  # noqa: ASYNC124  # an App is async
    return Response(body=[request.method.encode(), b" ", request.path.encode(), request.body])


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


async def test_body_in_pieces_is_one_body_with_its_length() -> None:
    async with client_of(echo) as client:
        answer = await client.get("/a%20b?x=1")
    assert answer.status_code == 200
    assert answer.content == b"GET /a b"
    assert answer.headers["content-length"] == "8"
    assert answer.reason_phrase == "OK"


async def test_one_connection_carries_many_requests_also_pipelined() -> None:
    request = b"GET /%d HTTP/1.1\r\nhost: x\r\n%b\r\n"
    async with listening(echo) as port:
        received = await talk(
            port,
            request % (1, b"") + request % (2, b"") + request % (3, b"connection: close\r\n"),
        )
    assert received.count(b"HTTP/1.1 200 OK") == 3
    positions = [received.index(b"GET /%d" % number) for number in (1, 2, 3)]
    assert positions == sorted(positions)


async def test_head_has_the_length_but_no_body_and_is_not_sent() -> None:
    sent: list[str] = []

    async def app(request: Request) -> Response:  # noqa: ASYNC124  # an App is async
        return Response(body=b"12345", on_sent=lambda: sent.append(request.method))

    async with client_of(app) as client:
        head = await client.head("/")
        assert (head.headers["content-length"], head.content) == ("5", b"")
        await client.get("/")
    assert sent == ["GET"]


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


@pytest.mark.parametrize(
    ("accept", "accepted"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("br", False),
    ],
)
def test_accept_encoding(accept: str, accepted: bool) -> None:
    assert accepts_gzip(accept) is accepted


async def test_gzip_only_where_it_is_on_and_accepted_and_worth_it() -> None:
    async def app(request: Request) -> Response:  # noqa: ASYNC124  # an App is async
        return Response(body=[b"odds " * 1_000, b"end"] if request.path == "/large" else b"odds")

    accept = {"accept-encoding": "gzip"}
    async with client_of(app, gzip=True) as client:
        async with client.stream("GET", "/large", headers=accept) as compressed:
            raw = b"".join([part async for part in compressed.aiter_raw()])
        small = await client.get("/small", headers=accept)
        plain = await client.get("/large")
    assert compressed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == plain.content == b"odds " * 1_000 + b"end"
    assert "content-encoding" not in small.headers
    assert "content-encoding" not in plain.headers
    async with client_of(app) as client:
        off = await client.get("/large", headers=accept)
    assert "content-encoding" not in off.headers


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x00\x01\x02 garbage\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no host
        (b"GET http://[::1 HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        (b"GET /?" + b"a&" * 2_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 400),  # 2,000 parameters
        (b"GET / HTTP/1.1\r\nhost: x\r\nlong: " + b"a" * 2**17, 431),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 70000\r\n\r\n" + b"a" * 70_000, 413),
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
    async with listening(echo, limits=HttpLimits(request_s=0.05)) as port:
        assert (await talk(port, b"GET / HT")).startswith(b"HTTP/1.1 408 ")


async def test_an_idle_connection_is_closed() -> None:
    async with listening(echo, limits=HttpLimits(idle_s=0.05)) as port:
        assert await talk(port, b"") == b""


class ConnectionEnds(trio.abc.Instrument):
    """An instrument that notices the end of the server's connection task."""

    def __init__(self) -> None:
        self.one = trio.Event()

    @override
    def task_exited(self, task: trio.lowlevel.Task) -> None:
        if task.name.endswith("_run_handler"):
            self.one.set()


async def test_a_reader_that_stalls_is_cut_and_its_answer_does_not_count() -> None:
    sent: list[str] = []

    async def app(request: Request) -> Response:  # noqa: ASYNC124  # an App is async
        return Response(body=LARGE, on_sent=lambda: sent.append(request.path))

    ends = ConnectionEnds()
    trio.lowlevel.add_instrument(ends)
    try:
        async with listening(app, limits=HttpLimits(send_s=0.1)) as port:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            async with stream:
                await stream.send_all(b"GET /stalled HTTP/1.1\r\nhost: x\r\n\r\n")
                with trio.fail_after(20):
                    await ends.one.wait()
    finally:
        trio.lowlevel.remove_instrument(ends)
    assert sent == []


async def test_an_answer_cut_by_its_client_does_not_count() -> None:
    sent: list[str] = []

    async def app(request: Request) -> Response:  # noqa: ASYNC124  # an App is async
        return Response(body=LARGE, on_sent=lambda: sent.append(request.path))

    async with listening(app) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(b"GET /cut HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
        whole = await talk(port, b"GET /whole HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert whole.endswith(b"\r\n\r\n" + LARGE)
    assert sent == ["/whole"]


async def test_an_application_that_fails_is_answered_and_logged_without_the_query() -> None:
    async def app(request: Request) -> Response:  # noqa: ASYNC124  # an App is async
        if request.path == "/bad":
            raise RuntimeError("broken")
        return Response(body=b"well")

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
        if request.path == "/slow":
            asked.set()
            await go_on.wait()
        return Response(body=b"done")

    async def serve(*, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        with scope:
            await serve_http(app, limits=HttpLimits(drain_s=20.0), task_status=task_status)

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
    assert answers[0].headers["connection"] == "close"


async def test_stop_cuts_what_does_not_finish_in_its_grace() -> None:
    asked = trio.Event()
    scope = trio.CancelScope()

    async def app(request: Request) -> Response:
        asked.set()
        await trio.sleep_forever()
        return Response()

    async def serve(*, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        with scope:
            await serve_http(app, limits=HttpLimits(drain_s=0.05), task_status=task_status)

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
