"""Streams of pages as lines of JSON, and their last line."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import ParseDict

from odds_service.config import HttpSettings
from odds_service.errors import StorageUnavailable
from odds_service.http.lines import Lines
from odds_service.model.market import MarketKey
from odds_service.serving import stored
from odds_service.store import HistoryPage
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.observations import observe, offered
from tests.support.odds_builders import EPOCH, Bookkeeping, connected, serving

LOCAL = HttpSettings(listen="127.0.0.1:0")


def long_book() -> Bookkeeping:
    book = Bookkeeping()
    for number in range(30):
        prices = {"home": 1.5 + number, "away": 2.5}
        book.see(observe(offered({"e": {"b": {MarketKey("h2h"): prices}}})))
    return book


@asynccontextmanager
async def asking(book: Bookkeeping) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    async with (
        serving(book, http=LOCAL) as server,
        httpx.AsyncClient(base_url=f"http://{server.addresses[1]}", timeout=30) as http,
    ):
        yield http, server.address


async def test_history_has_one_change_a_line_and_says_where_it_ends() -> None:
    book = long_book()
    async with asking(book) as (http, address):
        answer = await http.get("/v1/history")
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        *rows, last = [json.loads(line) for line in answer.text.splitlines()]
        changes = [ParseDict(row, pb.Change()) for row in rows]
        with (
            connected(address) as client,
            client.stream("GetHistory", pb.GetHistoryRequest()) as stream,
        ):
            page = await stream.next()
        assert changes == list(page.changes)
        assert last == {
            "end": {
                "cursor": {"epoch": EPOCH, "revision": str(book.feed.head_revision)},
                "durableRevision": str(book.feed.durable_revision),
                "changes": str(len(changes)),
            }
        }
        # From there on there is nothing, which a last line says too.
        cursor = f"{EPOCH}:{book.feed.head_revision}"
        rest = await http.get("/v1/history", params={"fromCursor": cursor})
        assert [json.loads(line) for line in rest.text.splitlines()] == [{"end": {"changes": "0"}}]


async def test_an_error_midway_is_the_last_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    book = long_book()
    whole = book.history_page
    pages = 0

    async def failing(*args: Any, **more: Any) -> HistoryPage:
        nonlocal pages
        pages += 1
        if pages > 1:
            raise StorageUnavailable("the database is gone")
        return await whole(*args, **more)

    monkeypatch.setattr(book, "history_page", failing)
    monkeypatch.setattr(stored, "PAGE_CHANGES", 10)
    async with asking(book) as (http, _):
        answer = await http.get("/v1/history")
    *rows, last = [json.loads(line) for line in answer.text.splitlines()]
    assert answer.status_code == 200
    assert rows
    assert list(last) == ["error"]
    assert last["error"]["code"] == 14


async def test_two_starts_are_refused_by_name() -> None:
    async with asking(long_book()) as (http, _):
        for first, second in (("fromTime", "fromCursor"), ("toCursor", "toTime")):
            given = {
                name: "2026-11-26T20:00:00Z" if name.endswith("Time") else f"{EPOCH}:3"
                for name in (first, second)
            }
            answer = await http.get("/v1/history", params=given)
            assert (answer.status_code, answer.json()["code"]) == (400, 3)
            assert second in answer.json()["message"]
            assert f"is given beside {first}" in answer.json()["message"]


async def test_a_refusal_before_the_first_line_is_a_status() -> None:
    async with asking(long_book()) as (http, _):
        answer = await http.get("/v1/history", params={"fromCursor": "other:3"})
        assert answer.status_code == 400
        assert answer.json()["code"] == 9


def test_closing_odds_end_with_the_number_of_lines() -> None:
    lines = Lines(pb.ClosingOddsPage)
    page = pb.ClosingOddsPage(events=[pb.ClosedEvent(event=pb.Event(id=each)) for each in "ab"])
    text = asyncio.run(lines.encode(page.SerializeToString()))
    assert text == b'{"event":{"id":"a"}}\n{"event":{"id":"b"}}\n'
    assert lines.ended() == b'{"end":{"events":"2"}}\n'
