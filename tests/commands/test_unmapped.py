"""`odds-service unmapped`: names that no table maps, with a sample."""

import csv

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.commands.books import messages
from tests.commands.test_coverage import H2H
from tests.serving.test_unmapped import FOUR, book_of
from tests.support.command_line import ran
from tests.support.observations import observe, observed_event
from tests.support.odds_builders import serving


async def test_names_are_a_table_the_commonest_first() -> None:
    async with serving(book_of(*FOUR)) as server:
        shown = await ran("unmapped", ODDS_SERVER=server.address)
        ours = await ran("unmapped", "--source", "ours", "--sport", "soccer", "--csv",
                         ODDS_SERVER=server.address)  # fmt: skip
        as_json = await ran("unmapped", "--json", ODDS_SERVER=server.address)
    header, first, *_, rare = [line.split("\t") for line in shown.stdout.splitlines()]
    assert header == ["source", "sport", "name", "seen", "last (UTC)", "sample"]
    assert first == [
        "hidden", "soccer", "Corners", "9", "2026-08-04 13:00:00", "Home – Away: 1 / <b>X</b>",
    ]  # fmt: skip
    assert rare == ["ours", "soccer", "Rare", "1", "2026-08-04 12:00:00", ""]
    assert shown.stderr == "4 names\n"
    corners, _ = csv.DictReader(ours.stdout.splitlines())
    assert (corners["name"], corners["count"], corners["event_id"]) == ("Corners", "3", "own-7")
    assert corners["outcomes"] == "1 / <b>X</b>"
    found = messages(as_json.stdout, pb.UnmappedMarket)
    assert [each.count for each in found] == [9, 3, 3, 1]  # type: ignore[attr-defined]  # of that kind


async def test_nothing_found_says_what_is_unknown_and_near() -> None:
    book = book_of()
    book.see(observe([observed_event("e", {"b1": H2H})], source="hidden"))
    async with serving(book) as server:
        for arguments, says in (
            (["--source", "hiden"], "no source 'hiden' (near: hidden)"),
            (["--source", "hidden", "--sport", "tenis"], "no sport 'tenis'"),
            (["--source", "hidden"], "every market of that was mapped"),
        ):
            none = await ran("unmapped", *arguments, ODDS_SERVER=server.address)
            assert (none.returncode, none.stdout) == (3, "")
            assert says in none.stderr
        none = await ran("unmapped", "--no-header", ODDS_SERVER=server.address)
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "0 names\n")
