"""The list of matches in a real browser: rows, filters in the address, search, keys, size."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.board.conftest import Opens
from tests.board.offers import derby, prices, season
from tests.board.rig import BoardRig, Match, wait_for

ROWS_IN_PAGE = 40  # 900 px hold 15 rows and what is kept ready beside them


def row(page: Any, text: str) -> Any:
    return page.locator(".row", has_text=text)


def test_shows_matches_by_start_with_their_best_prices(rig: BoardRig, open_page: Opens) -> None:
    soon = Match("soon", "Early City", "Late Town", 5, {"alfa": prices()})
    running = Match("run", "Now United", "Then Rovers", -20, {"alfa": prices()})
    rig.sites[0].offer([derby(), soon, running])
    page = open_page(rig.address)
    row(page, "Harbour United").locator(".best .price").first.get_by_text("2.10").wait_for()
    assert page.locator(".row .home").all_inner_texts() == [
        "Now United", "Early City", "Harbour United"
    ]  # fmt: skip
    found = row(page, "Harbour United")
    assert found.locator(".best .price").all_inner_texts() == ["2.10", "3.50", "3.95"]
    assert found.locator(".best .by").all_inner_texts() == ["alfa", "bravo", "carol"]
    found.locator(".books", has_text="3").wait_for()
    assert found.locator(".markets").inner_text() == "9"
    assert found.locator(".margin").inner_text() == "1.5 %"
    assert row(page, "Now United").locator(".left").inner_text() == "In play"
    left = row(page, "Early City").locator(".left").inner_text()
    assert left.startswith("4:")
    page.wait_for_function(
        "(text) => [...document.querySelectorAll('.row')].find((row) =>"
        " row.textContent.includes('Early City')).querySelector('.left').textContent !== text",
        arg=left,
    )


# A row may be drawn anew right after its flash, so the flashes are noted when they begin.
NOTE_FLASHES = """() => {
  window.flashes = [];
  const note = (seen) => window.flashes.push(...seen.map((each) => each.target.dataset.flash));
  const filter = ["data-flash"];
  new MutationObserver(note).observe(document.body, { subtree: true, attributeFilter: filter });
}"""


def test_best_prices_follow_changes(rig: BoardRig, open_page: Opens) -> None:
    rig.sites[0].offer([derby()])
    page = open_page(rig.address)
    best = row(page, "Harbour United").locator(".best").first
    best.get_by_text("2.10").wait_for()
    page.evaluate(NOTE_FLASHES)
    rig.sites[0].offer([derby(bravo=prices(2.25, 3.5, 3.7))])
    best.get_by_text("2.25").wait_for()
    assert best.locator(".by").inner_text() == "bravo"
    page.wait_for_function("window.flashes.some((flash) => flash?.startsWith('up'))")


def test_matches_come_and_go(rig: BoardRig, open_page: Opens) -> None:
    rig.sites[0].offer([derby()])
    page = open_page(rig.address)
    row(page, "Harbour United").wait_for()
    rig.sites[0].offer([derby(), Match("new", "New Town", "Old Town", 9, {"alfa": prices()})])
    row(page, "New Town").locator(".price", has_text="2.00").wait_for()
    rig.sites[0].offer([derby()])
    row(page, "New Town").wait_for(state="detached")


def test_filters_are_in_the_address(rig: BoardRig, open_page: Opens) -> None:
    running = Match("run", "Now Únited", "Then Rovers", -20, {"alfa": prices()})
    rig.sites[0].offer([derby(), running])
    page = open_page(rig.address)
    row(page, "Harbour United").wait_for()
    page.get_by_role("button", name="In play").click()
    row(page, "Harbour United").wait_for(state="detached")
    assert "inplay=1" in page.url
    page.go_back()
    row(page, "Harbour United").wait_for()
    page.go_forward()
    row(page, "Harbour United").wait_for(state="detached")
    page.get_by_role("link", name="EPL").click()
    assert "competition=soccer_epl" in page.url
    page.keyboard.press("/")
    page.keyboard.type("now united")
    page.wait_for_function("() => location.search.includes('q=now')")
    shared = open_page(page.url)
    row(shared, "Then Rovers").wait_for()
    assert shared.locator(".row").count() == 1
    assert shared.locator("#search").input_value() == "now united"
    page.locator("#search").fill("nobody")
    page.get_by_text("No match fits").wait_for()


def test_opens_a_match_with_the_keyboard_alone(rig: BoardRig, open_page: Opens) -> None:
    rig.sites[0].offer([derby(), Match("m2", "Second City", "Third Town", 200, {"alfa": prices()})])
    page = open_page(rig.address)
    row(page, "Second City").wait_for()
    page.keyboard.press("/")
    page.keyboard.press("Enter")
    focused = "document.activeElement.querySelector('.home')?.textContent"
    assert page.evaluate(focused) == "Harbour United"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == "Second City"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    page.locator("td.cell").first.wait_for()
    assert "event=toa%3Am2" in page.url
    page.keyboard.press("Escape")
    row(page, "Second City").wait_for()
    assert page.evaluate(focused) == "Second City"  # where it was left


@pytest.fixture
def large_rig(tmp_path: Path) -> Iterator[BoardRig]:
    """Start a service that reads its large site once a second.

    Ten times a second it would do nothing else: it shares this process with the sites.
    """
    running = BoardRig(tmp_path, interval_s=1.0)
    yield running
    running.close()


def test_many_matches_are_few_in_the_page(large_rig: BoardRig, open_page: Opens) -> None:
    rig = large_rig
    rig.sites[0].offer(season(1_300))
    wait_for(lambda: len(rig.running.parts.cache.events) == 1_300, "all matches")
    page = open_page(rig.address)
    page.get_by_text("1300 of 1300").wait_for()
    page.locator(".row .price", has_text="2.00").first.wait_for()
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert painted < 4_000  # 1 s, on a machine four times too busy
    assert page.locator(".row").count() <= ROWS_IN_PAGE
    page.locator(".rows").focus()
    row(page, "Home 0000").focus()
    page.keyboard.press("End")
    row(page, "Home 1299").locator(".price", has_text="2.00").wait_for()
    assert page.locator(".row").count() <= ROWS_IN_PAGE
    shown = (
        "import('/feed.js').then(({feed}) =>"
        " [feed.shown.rows.length, feed.stores.rows.events.size])"
    )
    asked, held = page.evaluate(shown)
    assert 0 < asked <= ROWS_IN_PAGE
    assert held <= ROWS_IN_PAGE
    # Scrolled to rows that were never seen, changes reach them.
    changed = season(1_300)
    changed[1_299].prices["alfa"] = prices(2.22)
    rig.sites[0].offer(changed)
    row(page, "Home 1299").locator(".price", has_text="2.22").wait_for()


def test_fits_a_phone(rig: BoardRig, open_page: Opens) -> None:
    rig.sites[0].offer(season(30))
    phone = {"width": 390, "height": 844}
    page = open_page(rig.address, viewport=phone)
    row(page, "Home 0000").locator(".price", has_text="2.00").wait_for()
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) == 390
    row(page, "Home 0001").click()
    page.locator("td.cell").first.wait_for()
    assert page.evaluate(wide) == 390
    # The names of outcomes stay while the bookmakers scroll.
    before = page.locator("tr.outcome th").first.bounding_box()
    page.locator(".matchbody").evaluate("(node) => node.scrollTo(200, 0)")
    assert page.locator("tr.outcome th").first.bounding_box() == before
