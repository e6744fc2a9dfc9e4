"""Answers with one body: tags, compression, and HEAD where the body is a stream."""

import httpx
import pytest
import trio
from pydantic import SecretStr

from odds_service.config import HttpSettings, ServerSettings
from odds_service.http.answers import THREAD_BYTES, accepts_gzip
from odds_service.model.market import MarketKey
from tests.support.observations import observe, offered
from tests.support.odds_builders import Bookkeeping, serving
from tests.support.refusals import small_book

LOCAL = HttpSettings(listen="127.0.0.1:0")


def book_of(lines: int) -> Bookkeeping:
    book = Bookkeeping()
    prices = {MarketKey("totals", f"{n}.5"): {"over": 1.5, "under": 2.5} for n in range(lines)}
    book.see(observe(offered({"e": {"b": prices}})))
    return book


@pytest.mark.parametrize("lines", [20, 2_000])
async def test_large_answers_are_compressed_for_those_who_accept_it(lines: int) -> None:
    async with serving(book_of(lines), http=LOCAL) as server, httpx.AsyncClient() as http:
        url = f"http://{server.addresses[1]}/v1/odds"
        plain = await http.get(url, headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert (len(plain.content) > THREAD_BYTES) == (lines == 2_000)
        packed = await http.get(url, headers={"accept-encoding": "br, gzip"})
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.content == plain.content  # httpx has unpacked it
        assert int(packed.headers["content-length"]) < len(plain.content) / 2
        for answer in (plain, packed):
            assert answer.headers["vary"] == "accept-encoding"
            assert answer.headers["etag"] == plain.headers["etag"]


async def test_a_small_answer_is_not_compressed() -> None:
    async with serving(small_book(), http=LOCAL) as server, httpx.AsyncClient() as http:
        answer = await http.get(f"http://{server.addresses[1]}/v1/markets")
        assert len(answer.content) < 1_000
        assert "content-encoding" not in answer.headers


async def test_a_tag_is_known_in_each_form_until_the_odds_change() -> None:
    book = small_book()
    async with serving(book, http=LOCAL) as server, httpx.AsyncClient() as http:
        url = f"http://{server.addresses[1]}/v1/odds"
        tag = (await http.get(url)).headers["etag"]
        for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
            answer = await http.get(url, headers={"if-none-match": known})
            assert (answer.status_code, answer.content) == (304, b""), known
            assert answer.headers["etag"] == tag
        moved = offered({"e": {"b": {MarketKey("h2h"): {"home": 9.5, "away": 2.5}}}})
        book.see(observe(moved))
        changed = await http.get(url, headers={"if-none-match": tag})
        assert changed.status_code == 200
        assert changed.headers["etag"] != tag


def test_gzip_is_for_those_who_accept_it() -> None:
    assert accepts_gzip("br, gzip;q=0.5")
    assert accepts_gzip("*")
    assert not accepts_gzip("gzip;q=0, *")
    assert not accepts_gzip("gzip; q=0.0")
    assert not accepts_gzip("br")
    assert not accepts_gzip("")


async def test_streams_are_neither_compressed_nor_held_back() -> None:
    async with serving(book_of(100), http=LOCAL) as server:
        host, _, port = server.addresses[1].rpartition(":")
        request = "GET /v1/changes HTTP/1.1\r\nhost: localhost\r\naccept-encoding: gzip\r\n\r\n"
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            await stream.send_all(request.encode())
            read = b""
            with trio.fail_after(20):
                while b"event: image_end" not in read:
                    read += await stream.receive_some(2**16)
        assert b"content-encoding" not in read


async def test_head_of_a_stream_is_refused_as_the_stream_would_be() -> None:
    settings = ServerSettings(listen="127.0.0.1:0", tokens=[SecretStr("open-sesame")])
    async with serving(small_book(), settings=settings, http=LOCAL) as server:
        token = {"authorization": "Bearer open-sesame"}
        async with httpx.AsyncClient(base_url=f"http://{server.addresses[1]}") as http:
            for path in ("/v1/changes", "/v1/history"):
                with trio.fail_after(20):
                    assert (await http.head(path)).status_code == 401
                    begun = await http.head(path, headers=token)
                assert (begun.status_code, begun.content) == (200, b"")
            wrong = await http.head("/v1/changes", params={"resume": "nonsense"}, headers=token)
            assert wrong.status_code == 400
        assert server.subscribers == 0
