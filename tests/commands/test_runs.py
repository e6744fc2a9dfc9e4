"""`odds-service runs`: a table, CSV or JSON, and near names of sources."""

import csv

import pytest
from msgspec.structs import replace

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.commands.books import messages
from tests.serving.test_runs import FAILED, GOOD, PARTIAL, THREE, many, store_of
from tests.support.command_line import ran
from tests.support.odds_builders import Bookkeeping, serving
from tests.support.terminal import seen


async def test_runs_are_a_table_newest_first() -> None:
    async with serving(Bookkeeping(), store=store_of(*THREE)) as server:
        shown = await ran("runs", ODDS_SERVER=server.address)
    header, *rows = [line.split("\t") for line in shown.stdout.splitlines()]
    assert header == [
        "began (UTC)", "source", "listing", "took", "outcome", "events", "markets", "changes",
        "skipped, failed",
    ]  # fmt: skip
    assert rows == [
        ["2026-08-04 12:02:00", "ours", "discovery", "unknown", "partial", "4", "9", "2", ""],
        ["2026-08-04 12:01:00", "hidden", "soccer_epl", "10.0 s", "failed", "0", "0", "1",
         "timeout (1): no answer in 10 s"],
        ["2026-08-04 12:00:00", "ours", "soccer_epl", "1.2 s", "complete", "4", "9", "2",
         "bad_price (3)"],
    ]  # fmt: skip
    assert shown.stderr == "3 runs\n"


async def test_runs_are_chosen_by_source_and_time_and_counted_to_a_limit() -> None:
    store = store_of(*THREE, *many(1_100)[1:])
    async with serving(Bookkeeping(), store=store) as server:
        address = server.address
        hidden = await ran("runs", "--source", "hidden", "--no-header", ODDS_SERVER=address)
        span = await ran("runs", "--since", "2026-08-04T12:00:10", "--until",
                         "2026-08-04T12:00:12", "--json", ODDS_SERVER=address)  # fmt: skip
        some = await ran("runs", "--no-header", ODDS_SERVER=address)
        everything = await ran("runs", "--limit", "0", "--csv", ODDS_SERVER=address)
    assert len(hidden.stdout.splitlines()) == 1
    parsed = messages(span.stdout, pb.Run)
    assert [run.started_at.ToSeconds() % 60 for run in parsed] == [11, 10]  # type: ignore[attr-defined]  # of that kind
    assert len(some.stdout.splitlines()) == 50
    assert some.stderr == "50 runs; older ones are kept: see --limit\n"
    rows = list(csv.DictReader(everything.stdout.splitlines()))
    assert len(rows) == 1_102
    assert rows[-1] == {
        "started_at": "2026-08-04T12:00:00+00:00", "source": "ours", "listing": "soccer_epl",
        "duration_s": "1.25", "outcome": "complete", "reason": "", "events": "4", "markets": "9",
        "changes": "2", "problems": "bad_price (3)",
    }  # fmt: skip


@pytest.mark.parametrize("width", [80, 160])
async def test_a_terminal_shows_the_outcome_and_its_reason_at_any_width(width: int) -> None:
    failed = replace(
        FAILED, reason="[bold]GET \x1b[2J/v4/sports/soccer_epl/odds</b>: answered 503",
        problems={"server_error": 1}, listing="a-listing-of-many-characters-without-a-space",
    )  # fmt: skip
    async with serving(Bookkeeping(), store=store_of(GOOD, failed, PARTIAL)) as server:
        shown = await seen("runs", width=width, environment={"ODDS_SERVER": server.address})
    assert max(map(len, shown.lines)) <= width
    words = set(shown.text.split())
    assert {"ours", "hidden", "complete", "failed", "partial", "answered", "503"} <= words
    assert {"discovery", "soccer_epl", "bad_price", "(3)"} <= words
    assert "[bold]GET" in shown.text
    assert ("markets" in words) is (width >= 120)


async def test_nothing_found_says_what_is_unknown_and_near() -> None:
    async with serving(Bookkeeping(), store=store_of(*THREE)) as server:
        for arguments, says in (
            (["--source", "our"], "no source 'our' (near: ours)"),
            (["--source", "ours", "--since", "2099-01-01"], "no run of that span is kept"),
            (["--until", "2001-01-01", "--csv"], "no run of that span is kept"),
        ):
            none = await ran("runs", *arguments, ODDS_SERVER=server.address)
            assert (none.returncode, none.stdout) == (3, "")
            assert says in none.stderr
            assert len(none.stderr.splitlines()) == 1
        both = await ran("runs", "--csv", "--json", ODDS_SERVER=server.address)
        assert both.returncode == 2
    async with serving(Bookkeeping(), store=store_of()) as server:
        none = await ran("runs", ODDS_SERVER=server.address)
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "0 runs\n")
