"""`odds-service coverage`: counts by competition and bookmaker, and gaps."""

import csv

from msgspec.structs import replace

from odds_service.model.market import MarketKey
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.commands.books import messages
from tests.support.command_line import ran
from tests.support.observations import Prices, observe, observed_event
from tests.support.odds_builders import Bookkeeping, serving

H2H: dict[MarketKey, Prices] = {MarketKey("h2h"): {"home": 2.0, "away": 1.8}}
TWO: dict[MarketKey, Prices] = {**H2H, MarketKey("totals", "2.5"): {"over": 1.9, "under": 1.9}}


def gappy() -> Bookkeeping:
    """Return two competitions; b2 lacks an event of the first, and all of the second."""
    book = Bookkeeping()
    events = [
        observed_event("e1", {"b1": TWO, "b2": H2H}),
        observed_event("e2", {"b1": H2H}, home="C", away="D"),
        replace(observed_event("e3", {"b1": H2H}, home="E", away="F"), competition="soccer_other"),
    ]
    book.see(observe(events))
    return book


async def test_coverage_is_a_row_for_each_competition_and_bookmaker() -> None:
    async with serving(gappy()) as server:
        shown = await ran("coverage", ODDS_SERVER=server.address)
        gaps = await ran("coverage", "--gaps", "--no-header", ODDS_SERVER=server.address)
        only = await ran("coverage", "--bookmaker", "b2", "--csv", ODDS_SERVER=server.address)
        as_json = await ran("coverage", "--json", ODDS_SERVER=server.address)
    assert [line.split("\t") for line in shown.stdout.splitlines()] == [
        ["competition", "bookmaker", "source", "events", "markets", "stale"],
        ["soccer_epl", "b1", "toa", "2 of 2", "3", "0"],
        ["soccer_epl", "b2", "toa", "1 of 2", "1", "0"],
        ["soccer_other", "b1", "toa", "1 of 1", "1", "0"],
    ]
    assert shown.stderr == "2 competitions\n"
    assert [line.split("\t") for line in gaps.stdout.splitlines()] == [
        ["soccer_epl", "b2", "toa", "1 of 2", "1", "0"],
        ["soccer_other", "b2", "toa", "0 of 1", "0", "0"],
    ]
    assert gaps.stderr == "2 gaps in 2 competitions\n"
    (row,) = csv.DictReader(only.stdout.splitlines())
    assert (row["competition"], row["competition_events"], row["events"]) == (
        "soccer_epl",
        "2",
        "1",
    )
    assert row["stale_events"] == "0"
    found = messages(as_json.stdout, pb.Coverage)
    assert [each.events for each in found] == [2, 1]  # type: ignore[attr-defined]  # of that kind


async def test_nothing_found_says_what_is_unknown_and_near() -> None:
    async with serving(gappy()) as server:
        for arguments, says in (
            (["--sport", "socer"], "no sport 'socer' (near: soccer)"),
            (["--bookmaker", "b3", "--gaps"], "no bookmaker 'b3' (near: b"),
        ):
            none = await ran("coverage", *arguments, ODDS_SERVER=server.address)
            assert (none.returncode, none.stdout) == (3, "")
            assert says in none.stderr
        wrong = await ran("coverage", "--gaps", "--json", ODDS_SERVER=server.address)
        assert wrong.returncode == 2
    async with serving(Bookkeeping()) as server:
        none = await ran("coverage", ODDS_SERVER=server.address)
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "0 competitions\n")
