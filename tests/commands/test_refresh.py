"""`odds-service refresh`: a running service fetches an event now."""

from pathlib import Path
from typing import Final

import trio
from google.protobuf.json_format import Parse

from odds_service.model.refresh import FetchOutcome, RefreshOutcome
from odds_service.model.text import counted
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.commands.books import book_of
from tests.e2e.test_life import BUSY, bookmaker
from tests.support.command_line import ran
from tests.support.odds_builders import serving
from tests.support.serving import service, settings_for, wait_until
from tests.support.terminal import seen


async def test_it_says_what_changed_and_that_it_is_stored(tmp_path: Path) -> None:
    async with bookmaker(BUSY) as (port, table):
        table["interval_s"] = 3_600.0  # one pull for each sport; the test refreshes the rest
        settings = settings_for(tmp_path, port, **table)  # type: ignore[arg-type]  # a table
        async with service(settings) as running:
            feed, address = running.parts.feed, running.address
            await wait_until(lambda: len(running.parts.cache.events) >= 6, "some odds")
            event_id = min(running.parts.cache.events)
            told = await ran("refresh", event_id, "--server", address)
            reply = await ran("refresh", event_id, "--json", "--server", address)
            unknown = await ran("refresh", "nowhere", "--server", address)
            head = feed.head_revision
    assert told.returncode == 0, told.stderr
    *changes, source, last = told.stdout.splitlines()
    assert source == "the-odds-api: fetched"
    assert last.startswith(counted(len(changes), "change") + " at revision ")
    (line,) = reply.stdout.splitlines()
    parsed = Parse(line, pb.RefreshEventResponse())
    assert parsed.snapshots
    assert all(0 < each.snapshot_id <= parsed.durable_revision <= head for each in parsed.snapshots)
    assert (unknown.returncode, unknown.stdout) == (3, "")
    assert "no such event: nowhere" in unknown.stderr


REASON: Final = "GET /v4/sports/soccer_epl/events answered 503 in place of odds: closed for repairs"


async def test_a_source_that_failed_is_told_with_its_reason_and_exit_code_1() -> None:
    book = book_of()
    event_id = min(book.cache.events)

    async def refresh(event_id: str, deadline_s: float) -> RefreshOutcome:
        await trio.lowlevel.checkpoint()
        good, bad = FetchOutcome("a", "", "", 0.1), FetchOutcome("b", "http_503", REASON, 0.1)
        return RefreshOutcome(1, [], {}, [good, bad])

    async with serving(book, refresh=refresh) as server:
        address = {"ODDS_SERVER": server.address}
        told = await ran("refresh", event_id, **address)
        as_json = await ran("refresh", event_id, "--json", **address)
        shown = await seen("refresh", event_id, width=60, environment=address)
    assert (told.returncode, as_json.returncode, shown.code) == (1, 1, 1)
    assert f"b: failed: http_503: {REASON}" in told.stdout.splitlines()
    assert "a: fetched" in told.stdout.splitlines()
    assert Parse(as_json.stdout, pb.RefreshEventResponse()).sources[1].error_message == REASON
    assert set(REASON.split()) <= set(shown.text.split())  # broken between words
