"""My bookmaker in a real browser: the others are shown against it."""

from typing import Any

from tests.board.conftest import Opens
from tests.board.offers import derby, prices
from tests.board.rig import BoardRig
from tests.board.waiting import wait_for_derby

MORE = prices(1.95, 3.4, 3.95) | {"totals 4.5": {"over": 4.0, "under": 1.2}}


def open_match(rig: BoardRig, open_page: Opens, more: str = "") -> Any:
    rig.sites[0].offer([derby(carol=MORE)])
    wait_for_derby(rig)
    page = open_page(f"{rig.address}/?view=match&event=toa:derby{more}")
    page.locator("td.cell").first.wait_for()
    return page


def choose(page: Any, bookmaker: str) -> None:
    page.locator("[data-tool=reference]").click()
    page.get_by_label("My bookmaker", exact=True).and_(page.locator("select")).select_option(
        bookmaker
    )


def cell(page: Any, outcome: str, bookmaker: str, look: str = "") -> Any:
    row = f"tbody[data-market='h2h||'] tr[data-outcome='{outcome}']"
    return page.locator(f"{row} td[data-bookmaker='{bookmaker}|site-0']{look}")


def test_cells_say_by_how_much_they_are_better_or_worse(rig: BoardRig, open_page: Opens) -> None:
    page = open_match(rig, open_page)
    choose(page, "alfa")
    cell(page, "home", "alfa", ".x-mine").wait_for()
    cell(page, "home", "bravo", ".x-worse").get_by_text("−4.8 %").wait_for()
    cell(page, "draw", "bravo", ".x-better").get_by_text("+6.1 %").wait_for()
    row = page.locator(".refs tr[data-bookmaker=bravo]")
    assert row.locator("td").all_inner_texts()[:4] == ["2", "1", "0", "+1.4 %"]
    row.locator(".margin", has_text="−0.1 %").wait_for()
    only = page.locator("[data-list=only] .plainchip").all_inner_texts()
    assert [name.rpartition(" ")[2] for name in only] == ["4.5"]
    # A move of the reference touches the whole row.
    rig.sites[0].offer([derby(carol=MORE, alfa=prices(1.9, 3.3, 3.6))])
    cell(page, "home", "bravo", ".x-better").get_by_text("+5.3 %").wait_for()


def test_markets_that_it_no_longer_offers_are_listed(rig: BoardRig, open_page: Opens) -> None:
    page = open_match(rig, open_page)
    choose(page, "alfa")
    gone = page.locator("[data-list=gone]")
    gone.get_by_text("No longer offered by alfa: 0").wait_for()
    left = {key: value for key, value in prices(2.1, 3.3, 3.6).items() if key != "totals 3.5"}
    rig.sites[0].offer([derby(carol=MORE, alfa=left)])
    gone.locator(".plainchip", has_text="3.5").wait_for()


def test_the_choice_is_in_the_address_and_remembered(rig: BoardRig, open_page: Opens) -> None:
    page = open_match(rig, open_page)
    choose(page, "bravo")
    cell(page, "home", "bravo", ".x-mine").wait_for()
    assert "ref=bravo" in page.url
    colleague = open_match(rig, open_page, "&tool=reference&ref=bravo")
    cell(colleague, "home", "bravo", ".x-mine").wait_for()
    again = open_page(f"{rig.address}/?view=match&event=toa:derby", context=page.context)
    again.locator("[data-tool=reference]").click()
    cell(again, "home", "bravo", ".x-mine").wait_for()
    again.locator("[data-tool=reference]").click()
    again.locator(".reference").wait_for(state="detached")
    assert again.locator("[class*='x-']").count() == 0


def test_an_address_compares_before_the_odds_have_come(rig: BoardRig, open_page: Opens) -> None:
    """The group that is shown is not known yet when the address names the tool."""
    page = open_match(rig, open_page, "&tool=reference&ref=alfa")
    row = page.locator(".refs tr[data-bookmaker=bravo]")
    row.locator("td.better", has_text="2").wait_for()
    assert row.locator("td").all_inner_texts()[:4] == ["2", "1", "0", "+1.4 %"]
