"""The as-of slider in a real browser: a moment of the past, clearly marked, and the way back."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.board.conftest import Opens
from tests.board.offers import derby, prices
from tests.board.rig import BoardRig, wait_for
from tests.board.waiting import wait_for_derby

HOME = "tbody[data-market='h2h||'] tr[data-outcome='home'] td[data-bookmaker='alfa|site-0'] .price"


def price_is(page: Any, text: str) -> None:
    page.locator(HOME).get_by_text(text, exact=True).wait_for()


def moved(rig: BoardRig, home: float) -> None:
    """Change a price, and wait until the service has it."""
    rig.sites[0].offer([derby(alfa=prices(home, 3.3, 3.6))])
    wait_for_derby(rig, home)


def before_and_after(rig: BoardRig) -> tuple[str, str]:
    """Return the live address of a match, and a moment at which alfa's home price was 2.1."""
    rig.sites[0].offer([derby()])
    wait_for_derby(rig)
    wait_for(lambda: rig.running.parts.feed.durable_revision == rig.head, "stored odds")
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    moved(rig, 2.6)
    return f"{rig.address}/?view=match&event=toa:derby", moment


def query(page: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def test_an_address_shows_the_match_at_its_moment_and_escape_leads_back(
    rig: BoardRig, open_page: Opens
) -> None:
    address, moment = before_and_after(rig)
    page = open_page(f"{address}&tool=asof&at={moment}")
    price_is(page, "2.10")
    assert page.locator(".match.past .pastmark").inner_text().lower() == "past"
    assert page.locator(".match .note").inner_text() == "These are odds of the past."
    # The server's best prices of then come with it; nothing of now gets in.
    assert page.locator("tr[data-outcome=home] .best .price").first.inner_text() == "2.10"
    moved(rig, 2.7)
    page.wait_for_function("document.querySelector('#proof').textContent.length > 0")
    price_is(page, "2.10")
    page.keyboard.press("Escape")
    price_is(page, "2.70")
    assert page.locator(".past").count() == 0
    assert query(page).keys() == {"view", "event"}


def test_the_slider_reaches_the_beginning_and_a_click_leads_back(
    rig: BoardRig, open_page: Opens
) -> None:
    address, _ = before_and_after(rig)
    page = open_page(address)
    price_is(page, "2.60")
    page.locator("[data-tool=asof]").click()
    slider = page.get_by_label("Moment", exact=True)
    page.locator(".asof input:enabled").wait_for()
    slider.press("Home")
    page.locator(".match .note", has_text="No bookmaker priced this match then.").wait_for()
    (first,) = query(page)["at"]
    page.locator(f".asof[data-shown='{first}']").wait_for()
    page.get_by_label("10 seconds later").click()
    (later,) = query(page)["at"]
    gone = datetime.fromisoformat(later) - datetime.fromisoformat(first)
    assert gone.total_seconds() == 10
    assert slider.input_value() == str(int(datetime.fromisoformat(later).timestamp()))
    page.get_by_role("button", name="Back to live").click()
    price_is(page, "2.60")
    assert query(page).keys() == {"view", "event"}


def test_a_moment_that_cannot_be_shown_says_why_and_shows_no_odds(
    rig: BoardRig, open_page: Opens
) -> None:
    address, moment = before_and_after(rig)
    page = open_page(f"{address}&tool=asof&at={moment}")
    price_is(page, "2.10")
    rig.stop()
    page.get_by_label("1 seconds earlier").click()
    page.locator(".match .note", has_text="cannot be shown: the service does not ans").wait_for()
    assert page.locator(HOME).count() == 0
    rig.start()


def test_a_moment_before_the_match_was_known_shows_no_odds(rig: BoardRig, open_page: Opens) -> None:
    address, _ = before_and_after(rig)
    page = open_page(f"{address}&tool=asof&at=2001-01-01T00:00:00Z")
    page.locator(".match .note", has_text="No bookmaker priced this match then.").wait_for()
    assert page.locator(HOME).count() == 0
