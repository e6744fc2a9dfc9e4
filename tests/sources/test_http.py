"""Fetching: trouble is retried, failures have names, and everything is bounded."""

import contextlib
import gzip
import json
import logging
import socket
import zlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
import trio
from starlette.responses import Response

from odds_service.errors import SettingsError, SourceError
from odds_service.sources.http import HttpSettings, open_http
from tests.sources.serving import Scripted, answering, head_of, json_of, listening

QUICK: Final = HttpSettings(attempts=1)
SECRET: Final = {"apiKey": "very-secret"}


async def fails(base_url: str, settings: HttpSettings = QUICK) -> SourceError:
    """Return the error of one fetch, which must not contain the key."""
    async with open_http(base_url, settings) as http:
        with pytest.raises(SourceError) as caught:
            await http.get("/odds", SECRET)
    assert "very-secret" not in str(caught.value)
    return caught.value


async def send_all(stream: trio.SocketStream, *parts: bytes) -> None:
    for part in parts:
        await stream.send_all(part)


def answers(*parts: bytes) -> Callable[[trio.SocketStream, bytes], Awaitable[None]]:
    return lambda stream, _head: send_all(stream, *parts)


async def test_an_answer_comes_whole_and_plain() -> None:
    app = Scripted(json_of([1, 2], headers={"X-Requests-Remaining": "7"}))
    async with listening(app) as url, open_http(url, QUICK) as http:
        answer = await http.get("/odds", {"apiKey": "k", "markets": "a,b"})
    assert (answer.status, json.loads(answer.body)) == (200, [1, 2])
    assert answer.headers["x-requests-remaining"] == "7"
    (request,) = app.requests
    assert request.query_params.multi_items() == [("apiKey", "k"), ("markets", "a,b")]
    assert request.headers["user-agent"].startswith("odds-service/")


async def test_a_compressed_answer_is_decompressed() -> None:
    body = [{"n": n} for n in range(300_000)]
    async with listening(Scripted(json_of(body)), gzip=True) as url, open_http(url, QUICK) as http:
        answer = await http.get("/odds", {})
    assert answer.headers["content-encoding"] == "gzip"
    assert json.loads(answer.body) == body


async def test_a_query_can_be_posted() -> None:
    app = Scripted(json_of({}))
    async with listening(app) as url, open_http(url, QUICK, {"x-brand": "b"}) as http:
        await http.post("/events", [{"ids": [1]}])
    (request,) = app.requests
    assert (request.method, json.loads(await request.body())) == ("POST", [{"ids": [1]}])
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-brand"] == "b"


async def test_what_may_pass_is_tried_again() -> None:
    app = Scripted(Response(status_code=503), Response(status_code=502), json_of([]))
    settings = HttpSettings(attempts=3)
    async with listening(app) as url, open_http(url, settings) as http:
        assert (await http.get("/odds", {})).body == b"[]"
    assert len(app.requests) == 3


@pytest.mark.parametrize(
    ("status", "kind", "tries"), [(429, "rate_limited", 2), (500, "server_error", 2)]
)
async def test_what_does_not_pass_is_given_up(status: int, kind: str, tries: int) -> None:
    app = Scripted(Response(status_code=status))
    async with listening(app) as url:
        error = await fails(url, HttpSettings(attempts=2))
    assert error.kind == kind
    assert len(app.requests) == tries


async def test_retry_after_is_obeyed() -> None:
    app = Scripted(Response(status_code=429, headers={"Retry-After": "1"}), json_of([]))
    async with listening(app) as url, open_http(url, HttpSettings(attempts=2)) as http:
        started = trio.current_time()
        await http.get("/odds", {})
    assert trio.current_time() - started >= 1.0


async def test_a_long_retry_after_is_handed_on_and_holds_all_requests() -> None:
    app = Scripted(Response(status_code=429, headers={"Retry-After": "600"}))
    async with listening(app) as url, open_http(url, HttpSettings(attempts=3)) as http:
        for kind in ("rate_limited", "circuit_open"):
            with pytest.raises(SourceError) as caught:
                await http.get("/odds", {})
            assert caught.value.kind == kind
            assert caught.value.retry_after_s == pytest.approx(600, abs=5)
    assert len(app.requests) == 1


async def test_retries_end_with_their_time_however_many_are_allowed() -> None:
    app = Scripted(Response(status_code=503))
    with trio.fail_after(30):
        async with listening(app) as url:
            error = await fails(url, HttpSettings(attempts=1_000, retry_s=1.0))
    assert error.kind == "server_error"
    assert 2 <= len(app.requests) < 20


async def test_a_server_in_trouble_is_left_alone_and_found_again() -> None:
    app = Scripted(*[Response(status_code=500)] * 3, json_of([]))
    settings = HttpSettings(attempts=1, breaker_failures=3, breaker_cool_s=0.5)
    async with listening(app) as url, open_http(url, settings) as http:
        kinds = []
        for _ in range(6):
            with pytest.raises(SourceError) as caught:
                await http.get("/odds", {})
            kinds.append(caught.value.kind)
        assert kinds == ["server_error"] * 3 + ["circuit_open"] * 3
        assert len(app.requests) == 3  # the rest did not reach it
        assert caught.value.retry_after_s is not None
        await trio.sleep(caught.value.retry_after_s + 0.05)
        assert (await http.get("/odds", {})).body == b"[]"


async def test_a_connection_that_is_not_taken_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        with contextlib.ExitStack() as opened:
            for _ in range(4):  # they fill what the kernel takes of its own accord
                one = opened.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(("127.0.0.1", port))
            with trio.fail_after(20):
                settings = HttpSettings(attempts=1, connect_s=0.3)
                assert (await fails(f"http://127.0.0.1:{port}", settings)).kind == "timeout"


@pytest.mark.parametrize("status", [200, 401, 404, 422])
async def test_other_answers_come_back_at_once(status: int) -> None:
    app = Scripted(json_of({"message": "so"}, status))
    async with listening(app) as url, open_http(url, HttpSettings(attempts=3)) as http:
        answer = await http.get("/odds", {})
    assert answer.status == status
    assert len(app.requests) == 1


async def test_a_redirect_is_not_followed() -> None:
    app = Scripted(
        Response(status_code=302, headers={"Location": "https://login.example/in?key=hidden"})
    )
    async with listening(app) as url:
        error = await fails(url, HttpSettings(attempts=3))
    assert error.kind == "redirect"
    assert "login.example/in" in str(error)
    assert "hidden" not in str(error)
    assert len(app.requests) == 1


LARGE: Final = b"x" * 1_000
SMALL: Final = HttpSettings(
    attempts=1, max_body_bytes=20_000, max_decompressed_bytes=100_000, read_s=0.3, total_s=0.6
)


def bomb(size: int) -> bytes:
    return gzip.compress(b"\0" * size, 9)


def nested_bomb() -> bytes:
    """Return a few hundred bytes that decompress to many megabytes."""
    return zlib.compress(b"[" * 50_000_000, 9)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (answers(head_of(200, length=30_000), LARGE * 30), "too_large"),
        (answers(head_of(200), LARGE * 30), "too_large"),
        (answers(head_of(200, "Content-Encoding: gzip"), bomb(10_000_000)), "too_large"),
        (answers(head_of(200, "Content-Encoding: deflate"), nested_bomb()[:19_000]), "too_large"),
        (answers(head_of(200, "Content-Encoding: gzip"), bomb(10_000)[:-9]), "truncated"),
        (answers(head_of(200, "Content-Encoding: gzip"), b"no gzip at all"), "bad_encoding"),
        (answers(head_of(200, "Content-Encoding: br"), b"\x0b\x02\x80"), "bad_encoding"),
        (answers(head_of(200, length=500), b"[1, 2"), "truncated"),
        (answers(head_of(200, "Transfer-Encoding: chunked"), b"5\r\n[1,2"), "truncated"),
        (answers(b"what is HTTP?\r\n\r\n"), "truncated"),
        (answers(b""), "truncated"),
    ],
)
async def test_a_bad_body_is_refused_by_its_name(answer: Any, kind: str) -> None:
    async with answering(answer) as url:
        assert (await fails(url, SMALL)).kind == kind


async def test_an_error_page_of_any_size_is_not_read() -> None:
    async with answering(answers(head_of(404), LARGE * 200)) as url:
        async with open_http(url, SMALL) as http:
            assert (await http.get("/odds", {})).status == 404


async def drip(stream: trio.SocketStream, _head: bytes) -> None:
    await stream.send_all(head_of(200, length=10_000))
    for _ in range(10_000):
        await stream.send_all(b" ")
        await trio.sleep(0.05)


async def say_nothing(stream: trio.SocketStream, _head: bytes) -> None:
    del stream
    await trio.sleep_forever()


async def reset(stream: trio.SocketStream, _head: bytes) -> None:
    await stream.send_all(head_of(200, length=10_000) + b"[")
    stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


@pytest.mark.parametrize(
    ("answer", "kind"), [(drip, "timeout"), (say_nothing, "timeout"), (reset, "connection")]
)
async def test_a_connection_that_does_not_answer_is_given_up(answer: Any, kind: str) -> None:
    async with answering(answer) as url:
        with trio.fail_after(10):
            assert (await fails(url, SMALL)).kind == kind


async def test_nobody_listens() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    assert (await fails(f"http://127.0.0.1:{port}")).kind == "connection"


async def test_no_more_requests_than_allowed_at_once() -> None:
    under_way = most = 0

    async def app(_request: object) -> Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await trio.sleep(0.01)
        under_way -= 1
        return json_of([])

    async with listening(app) as url, open_http(url, HttpSettings(concurrency=3)) as http:
        async with trio.open_nursery() as nursery:
            for _ in range(12):
                nursery.start_soon(http.get, "/odds", {})
    assert most == 3


async def test_requests_keep_their_pace() -> None:
    app = Scripted(json_of([]))
    settings = HttpSettings(concurrency=4, requests_per_s=20)
    async with listening(app) as url, open_http(url, settings) as http:
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(7):
                nursery.start_soon(http.get, "/odds", {})
        assert trio.current_time() - started >= 6 / 20


async def test_many_cancelled_requests_leave_the_client_usable() -> None:
    asked = trio.Event()

    async def app(request: Any) -> Response:
        if request.url.path == "/never":
            asked.set()
            await trio.sleep_forever()
        return json_of([])

    async with listening(app) as url, open_http(url, HttpSettings(concurrency=2)) as http:
        for _ in range(5):
            asked = trio.Event()
            async with trio.open_nursery() as nursery:
                for _ in range(6):
                    nursery.start_soon(http.get, "/never", {})
                await asked.wait()
                nursery.cancel_scope.cancel()
        with trio.fail_after(30):
            assert (await http.get("/odds", {})).body == b"[]"


async def test_a_body_that_did_not_change_is_not_sent_again() -> None:
    def app_of(tag: str) -> Any:
        async def app(request: Any) -> Response:
            await trio.lowlevel.checkpoint()
            if request.headers.get("if-none-match") == tag:
                return Response(status_code=304, headers={"ETag": tag})
            return json_of([request.url.path] * 200, headers={"ETag": tag})

        return app

    async with listening(app_of('"v1"'), gzip=True) as url, open_http(url, QUICK) as http:
        first, again = [await http.get("/a", {}) for _ in range(2)]
        other = await http.get("/b", {})
    assert first.status == again.status == 200
    assert first.body == again.body != other.body


async def test_kept_bodies_are_bounded() -> None:
    app = Scripted(json_of(["x" * 600], headers={"Last-Modified": "Tue, 04 Aug 2026 10:00:00 GMT"}))
    async with listening(app) as url, open_http(url, HttpSettings(kept_bytes=2_000)) as http:
        for n in range(10):
            await http.get(f"/{n}", {})
        assert http.kept_bytes <= 2_000
        await http.get("/9", {})
        await http.get("/0", {})
    assert app.requests[-2].headers["if-modified-since"] == "Tue, 04 Aug 2026 10:00:00 GMT"
    assert not app.requests[-1].headers.get("if-modified-since")


async def test_the_key_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        app = Scripted(json_of([]))
        async with listening(app) as url, open_http(url, QUICK) as http:
            await http.get("/odds", SECRET)
    assert "very-secret" not in caplog.text


async def test_an_address_may_have_a_path_a_name_and_odd_letters() -> None:
    app = Scripted(json_of({}))
    async with listening(app) as url:
        address = url.replace("http://", "http://me:p%40ss@") + "/base/"
        async with open_http(address, QUICK) as http:
            await http.get("/a b/é", {"q": "x&y=1 é", "key": "+"})
    (request,) = app.requests
    assert request.url.path == "/base/a b/é"
    assert request.query_params.multi_items() == [("q", "x&y=1 é"), ("key", "+")]
    assert request.headers["authorization"] == "Basic bWU6cEBzcw=="
    assert request.headers["host"] == url.removeprefix("http://")


@pytest.mark.parametrize(
    "address",
    ["", "example.org", "ftp://x", "http://", "http://x:port", "http://x?y=1", "http://["],
)
async def test_a_wrong_address_is_named_before_anything_is_asked(address: str) -> None:
    with pytest.raises(SettingsError, match="url"):
        async with open_http(address, QUICK):
            pass


async def test_a_header_that_http_does_not_know_is_named() -> None:
    with pytest.raises(SettingsError, match="headers"):
        async with open_http("http://x", QUICK, {"x-name": "日本"}):
            pass


async def test_no_cookie_is_kept() -> None:
    app = Scripted(json_of({}, headers={"Set-Cookie": "who=me"}))
    async with listening(app) as url, open_http(url, QUICK) as http:
        for _ in range(2):
            await http.get("/", {})
    assert not app.requests[1].headers.get("cookie")
