"""`odds-service refresh`: a running service fetches an event now."""

from pathlib import Path

from google.protobuf.json_format import Parse

from odds_service.model.text import counted
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.e2e.test_life import BUSY, bookmaker
from tests.support.command_line import ran
from tests.support.serving import service, settings_for, wait_until


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
