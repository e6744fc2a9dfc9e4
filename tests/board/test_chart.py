"""The chart of a cell in a real browser, over a series whose every point the test knows."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.board.conftest import Opens
from tests.board.offers import derby, prices
from tests.board.recorded_calls import HOSTILE, recorded_calls
from tests.board.rig import BoardRig
from tests.board.waiting import wait_for_derby

HOME = "tbody[data-market='h2h||'] tr[data-outcome='home'] td[data-bookmaker='alfa|site-0']"
PRICES = ".stage svg:first-of-type"


@pytest.fixture
def match_address(rig: BoardRig) -> Iterator[str]:
    """Yield the address of a match before whose service a server tells series."""
    rig.sites[0].offer([derby()])
    wait_for_derby(rig)
    with recorded_calls(rig.address, "/v1/series") as address:
        yield f"{address}/?view=match&event=toa:derby"


def opened(page: Any) -> Any:
    page.locator(HOME).click()
    page.locator(f"{PRICES} g.line").nth(2).wait_for(state="attached")
    return page


def names(page: Any) -> list[str]:
    lines = page.locator(f"{PRICES} g.line").all()
    return [line.get_attribute("data-name") for line in lines]


def test_a_cell_opens_the_price_and_margin_of_all_bookmakers(
    match_address: str, open_page: Opens
) -> None:
    page = opened(open_page(match_address))
    assert names(page) == ["alfa", "bravo", HOSTILE]
    assert page.locator(".stage svg").count() == 2
    # Dashed where it is not offered: alfa left for a while, the others did not.
    assert page.locator("g[data-name=alfa] path.dashed").count() == 2
    assert page.locator("g[data-name=bravo] path.dashed").count() == 0
    assert page.locator(f"{PRICES} .mark.start").count() == 1
    assert page.locator(f"{PRICES} circle.closing").count() == 2
    note = page.locator(".chartnote").inner_text()
    assert "changes that were not kept" in note
    assert "Thinned" in note
    # A bookmaker's name is text, whatever it contains.
    assert page.locator(".chart img").count() == 0
    page.locator(".legend").get_by_text(HOSTILE).wait_for()


def test_the_legend_hides_a_bookmaker_and_shows_it_again(
    match_address: str, open_page: Opens
) -> None:
    page = opened(open_page(match_address))
    alfa = page.locator(".legend button").first
    alfa.click()
    assert alfa.get_attribute("aria-pressed") == "false"
    assert names(page) == ["bravo", HOSTILE]
    assert page.locator(".readout tr").count() == 2
    alfa.press("Enter")  # the focus has stayed on it
    assert names(page) == ["alfa", "bravo", HOSTILE]


def test_keys_and_the_pointer_read_a_point(match_address: str, open_page: Opens) -> None:
    page = opened(open_page(match_address))
    stage = page.locator(".stage")
    stage.focus()
    stage.press("Home")
    rows = page.locator(".readout tr")
    assert rows.nth(0).locator("td").all_inner_texts()[:2] == ["1.80", "5.0 %"]
    assert rows.nth(2).locator("td").all_inner_texts()[:2] == ["–", "not yet"]
    stage.press("ArrowRight")  # the next point of any bookmaker
    assert rows.nth(0).locator("td").all_inner_texts()[0] == "1.90"
    assert rows.nth(0).locator("td").all_inner_texts()[2] == "closing"
    stage.press("ArrowRight")
    stage.press("ArrowRight")  # alfa is away: the last price, marked as such
    assert rows.nth(0).locator("td").all_inner_texts()[:2] == ["1.90", "not offered"]
    stage.press("End")
    assert page.locator(".when").inner_text() == "Now"
    stage.hover(position={"x": 60, "y": 60})
    assert page.locator(".when").inner_text() != "Now"
    assert rows.nth(0).locator("td").all_inner_texts()[0] == "1.80"


def test_the_points_are_in_a_table_too(match_address: str, open_page: Opens) -> None:
    page = opened(open_page(match_address))
    page.locator(".astable summary").press("Enter")
    rows = page.locator(".astable tbody tr")
    rows.first.wait_for()  # the element tells of its opening a moment later
    assert rows.count() == 7
    assert rows.first.locator("td").all_inner_texts()[1:3] == [HOSTILE, "2.50"]
    assert page.locator(".astable tbody").get_by_text("no", exact=True).count() == 1


def test_another_outcome_and_escape_change_the_address(
    match_address: str, open_page: Opens
) -> None:
    page = opened(open_page(match_address))
    page.locator(".chartoutcomes [data-outcome=away]").click()
    page.locator(".chartoutcomes [data-outcome=away][aria-pressed=true]").wait_for()
    assert quote(json.dumps(["h2h", None, "", "away"], separators=(",", ":"))) in page.url
    colleague = open_page(page.url)
    colleague.locator(".chartoutcomes [data-outcome=away][aria-pressed=true]").wait_for()
    page.locator(".stage").press("Escape")
    page.locator(".chart").wait_for(state="detached")
    assert "cell=" not in page.url
    assert page.evaluate("document.activeElement.dataset.bookmaker") == "alfa|site-0"


def test_a_change_extends_the_right_edge(
    rig: BoardRig, match_address: str, open_page: Opens
) -> None:
    page = opened(open_page(match_address))
    alfa = page.locator(".readout tr").first
    assert alfa.locator("td").first.inner_text() == "2.10"
    rig.sites[0].offer([derby(alfa=prices(2.6, 3.3, 3.6))])
    alfa.get_by_text("2.60").wait_for()
    page.locator(".astable summary").click()
    page.locator(".astable tbody tr").nth(7).wait_for()  # seven told, and the change
    # The next reading of the series, which does not have it yet, does not take it away.
    with page.expect_response("**/v1/series?*"):
        pass
    page.locator(".astable tbody").get_by_text("2.60").wait_for()
    assert alfa.locator("td").first.inner_text() == "2.60"


def test_the_services_own_series_is_drawn(rig: BoardRig, open_page: Opens) -> None:
    rig.sites[0].offer([derby()])
    wait_for_derby(rig)
    rig.sites[0].offer([derby(alfa=prices(2.4, 3.3, 3.6))])
    wait_for_derby(rig, 2.4)
    page = opened(open_page(f"{rig.address}/?view=match&event=toa:derby"))
    assert names(page) == ["alfa", "bravo", "carol"]
    page.locator(".stage").press("Home")
    cells = page.locator(".readout tr").first.locator("td")
    assert cells.all_inner_texts()[:2] == ["2.10", "5.7 %"]
    page.locator(".stage").press("End")
    # 1/2.4 + 1/3.3 + 1/3.6 - 1, told by the service; live points get it with the next reading.
    cells.nth(1).get_by_text("−0.3 %").wait_for()
    assert cells.first.inner_text() == "2.40"


def test_an_address_that_names_no_cell_opens_nothing(match_address: str, open_page: Opens) -> None:
    page = open_page(f"{match_address}&cell=%5B1%5D")
    page.locator(HOME).wait_for()
    assert page.locator(".chart").count() == 0
