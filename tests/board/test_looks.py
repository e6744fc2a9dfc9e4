"""Looks and keys in a real browser: contrast, motion, focus, a phone, the keyboard alone."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from tests.board.conftest import Opens
from tests.board.offers import derby, prices
from tests.board.rig import BoardRig, wait_for
from tests.board.test_match import cell
from tests.board.waiting import wait_for_derby

LEAST_CONTRAST: Final = 4.5  # WCAG 2.1, level AA
# Classes of the page while its stream is down, and while replies are late.
WEAKER: Final = (["offline"], ["late"], ["offline", "late"])

FAINT: Final = (Path(__file__).parent / "faint.js").read_text("utf-8")


# Every other node moves up; nothing takes the marks away before the page is looked at.
FLASH_ALL: Final = """async (shown) => {
  const { flash } = await import("/flash.js");
  [...document.querySelectorAll(shown)].forEach((node, at) => flash(node, at % 2 === 0));
}"""


def offer(rig: BoardRig) -> str:
    """Offer the derby, with a market that is suspended; return its address."""
    shut = prices() | {"h2h": {}}
    rig.sites[0].offer([derby()])
    wait_for_derby(rig)
    before = rig.head
    rig.sites[0].offer([derby(bravo=shut)])
    wait_for(lambda: rig.head > before, "a suspended market")
    return f"{rig.address}/?view=match&event=toa:derby"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_over_a_flash_has_enough_contrast(
    rig: BoardRig, open_page: Opens, scheme: str
) -> None:
    address = offer(rig)
    page = open_page(address, color_scheme=scheme)
    for place, shown in ((address, "td.cell"), (rig.address, ".best")):
        page.goto(place)
        page.locator(f"{shown} .price").first.wait_for()
        page.evaluate(FLASH_ALL, shown)
        ground = "(node) => getComputedStyle(node).backgroundColor"
        lit = {page.locator(shown).nth(at).evaluate(ground) for at in range(2)}
        assert len(lit) == 2  # up and down
        assert page.evaluate(FAINT, LEAST_CONTRAST) == [], place


def test_a_flash_is_no_animation_and_ends(rig: BoardRig, open_page: Opens) -> None:
    """Animated, 75 moves a second cost three quarters of the page's thread."""
    page = open_page(offer(rig))
    page.locator("td.cell .price").first.wait_for()
    page.evaluate(FLASH_ALL, "td.cell")
    assert page.locator("td.cell[data-lit]").count() > 0
    assert page.evaluate("document.getAnimations().length") == 0
    page.wait_for_function("() => !document.querySelector('[data-lit]')")
    assert page.locator("td.cell[data-flash]").count() > 0  # the arrow stays for longer
    page.wait_for_function("() => !document.querySelector('[data-flash]')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_enough_contrast(rig: BoardRig, open_page: Opens, scheme: str) -> None:
    address = offer(rig)
    # Flashes of moves last a second; without motion there are none.
    page = open_page(rig.address, color_scheme=scheme, reduced_motion="reduce")
    ready = {
        "": ".row .price", "?view=coverage": ".coverage td", address: "td.cell .price",
        f"{address}&tool=reference&ref=alfa": ".refs td",
        f"{address}&tool=asof": ".asof[data-shown]",
        f"{address}&cell=%5B%22h2h%22%2Cnull%2C%22%22%2C%22home%22%5D": ".stage svg",
    }  # fmt: skip
    for place, shown in ready.items():
        page.goto(place if place.startswith("http") else f"{rig.address}/{place}")
        page.locator(shown).first.wait_for()
        assert page.evaluate(FAINT, LEAST_CONTRAST) == [], place
        for state in WEAKER:
            page.evaluate("(state) => document.body.classList.add(...state)", state)
            assert page.evaluate(FAINT, LEAST_CONTRAST) == [], f"{place} {state}"
            page.evaluate("(state) => document.body.classList.remove(...state)", state)


def beside(one: Any, other: Any, start: str, size: str) -> bool:
    """Return whether two boxes share nothing along an axis."""
    first, second = sorted((one, other), key=lambda box: box[start])
    return bool(first[start] + first[size] <= second[start])


def test_the_head_of_a_phone_does_not_overlap(rig: BoardRig, open_page: Opens) -> None:
    rig.sites[0].offer([derby()])
    page = open_page(rig.address, viewport={"width": 390, "height": 844})
    page.locator(".row").wait_for()
    parts = page.locator(".brand, #nav a, #search, #tools select")
    boxes: list[Any] = [each.bounding_box() for each in parts.all()]
    assert len(boxes) == 7
    for at, one in enumerate(boxes):
        assert one["x"] >= 0
        assert one["x"] + one["width"] <= 390
        for other in boxes[at + 1 :]:
            assert beside(one, other, "x", "width") or beside(one, other, "y", "height")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_reduced_motion_has_no_flash_and_keeps_the_arrow(rig: BoardRig, open_page: Opens) -> None:
    rig.sites[0].offer([derby()])
    wait_for_derby(rig)
    page = open_page(f"{rig.address}/?view=match&event=toa:derby", reduced_motion="reduce")
    home = cell(page, "home", "bravo")
    home.get_by_text("2.00").wait_for()
    rig.sites[0].offer([derby(bravo=prices(2.05))])
    home.get_by_text("2.05").wait_for()
    assert home.get_attribute("data-flash").startswith("up")
    style = "(node, part) => getComputedStyle(node, part)"
    assert home.evaluate(f"(node) => ({style})(node, null).animationName") == "none"
    assert home.evaluate(f"(node) => ({style})(node, '::after').content") == '"▲"'
    ground = "(node) => getComputedStyle(node).backgroundColor"
    assert home.evaluate(ground) == cell(page, "draw", "alfa").evaluate(ground)


def test_the_past_is_not_called_live_and_the_way_back_is_no_move(
    rig: BoardRig, open_page: Opens
) -> None:
    rig.sites[0].offer([derby()])
    wait_for_derby(rig)
    feed = rig.running.parts.feed
    wait_for(lambda: feed.durable_revision == rig.head, "stored odds")
    moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    rig.sites[0].offer([derby(alfa=prices(2.6, 3.3, 3.6))])
    wait_for_derby(rig, 2.6)
    page = open_page(f"{rig.address}/?view=match&event=toa:derby")
    home = cell(page, "home", "alfa")
    home.get_by_text("2.60").wait_for()
    connected = page.locator("[data-part=connected] b")
    connected.get_by_text("Live", exact=True).wait_for()
    page.goto(f"{rig.address}/?view=match&event=toa:derby&tool=asof&at={moment}")
    home.get_by_text("2.10").wait_for()
    connected.get_by_text("Past", exact=True).wait_for()
    page.keyboard.press("Escape")
    home.get_by_text("2.60").wait_for()
    connected.get_by_text("Live", exact=True).wait_for()
    assert page.locator("[data-flash]").count() == 0


def tab_to(page: Any, selector: str) -> None:
    """Press Tab until an element has the focus; each on the way shows a ring."""
    for _ in range(40):
        page.keyboard.press("Tab")
        ring = "getComputedStyle(document.activeElement)"
        if page.evaluate("document.activeElement !== document.body"):
            assert page.evaluate(f"{ring}.outlineStyle + {ring}.outlineWidth") == "solid2px"
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def test_chart_and_slider_work_with_the_keyboard_alone(rig: BoardRig, open_page: Opens) -> None:
    rig.sites[0].offer([derby()])
    wait_for_derby(rig)
    page = open_page(rig.address)
    page.locator(".row .price").first.wait_for()
    tab_to(page, ".row")
    page.keyboard.press("Enter")
    cell(page, "home", "alfa").locator(".price").wait_for()
    tab_to(page, "td.cell")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator(".chart .stage svg").first.wait_for()
    # The chart is beside the table: Tab goes on into it, Escape leads back from either.
    tab_to(page, ".chart .stage")
    page.keyboard.press("ArrowLeft")
    page.locator(".readout .when", has_not_text="Now").wait_for()
    page.keyboard.press("Escape")
    page.locator(".chart").wait_for(state="detached")
    focused = "document.activeElement.dataset.bookmaker"
    assert page.evaluate(focused) == "bravo|site-0"
    page.keyboard.press("Enter")
    page.locator(".chart .stage svg").first.wait_for()
    page.keyboard.press("Escape")
    page.locator(".chart").wait_for(state="detached")
    assert page.evaluate(focused) == "bravo|site-0"
    page.locator("[data-tool=asof]").focus()
    page.keyboard.press("Enter")
    page.locator(".asof input:enabled").wait_for()
    tab_to(page, ".asof input")
    page.keyboard.press("ArrowLeft")
    assert "at=" in page.url
    page.locator("[data-part=connected]", has_text="Past").wait_for()
    page.keyboard.press("Escape")
    page.locator("[data-part=connected]", has_text="Live").wait_for()
    assert page.evaluate("document.activeElement.dataset.tool") == "asof"
