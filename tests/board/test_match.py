"""One match in a real browser: prices, moves, states, margins, formats, times, keys."""

import re
import time
from typing import Any

from tests.board.conftest import Opens
from tests.board.offers import derby, prices
from tests.board.rig import BoardRig, Match, wait_for

H2H = "tbody[data-market='h2h||']"


def cell(page: Any, outcome: str, bookmaker: str, source: str = "site-0") -> Any:
    row = f"{H2H} tr[data-outcome='{outcome}']"
    return page.locator(f"{row} td[data-bookmaker='{bookmaker}|{source}']")


def has_class(found: Any, name: str) -> None:
    """Wait until an element has a class."""
    found.and_(found.page.locator(f".{name}")).wait_for()


def address_of(rig: BoardRig, match: Match) -> str:
    wait_for(lambda: rig.head > 0, "odds in the service")
    return f"{rig.address}/?view=match&event=toa:{match.key}"


def test_shows_bookmakers_across_outcomes_down_and_the_servers_best(
    rig: BoardRig, open_page: Opens
) -> None:
    match = derby()
    rig.sites[0].offer([match])
    page = open_page(address_of(rig, match))
    has_class(cell(page, "home", "alfa"), "is-best")
    has_class(cell(page, "away", "carol"), "is-best")
    has_class(cell(page, "draw", "bravo"), "is-best")
    assert page.locator("thead .book").all_inner_texts() == ["alfa", "bravo", "carol"]
    assert page.locator(f"{H2H} tr.outcome th").all_inner_texts() == ["Home", "Draw", "Away"]
    assert page.locator("td.is-best").count() >= 3
    assert page.locator(f"{H2H} .best .price").first.inner_text() == "2.10"
    # 1/2.1 + 1/3.3 + 1/3.6 − 1, and the best combination; both are the server's.
    margins = page.locator(f"{H2H} tr.market td.margin").all_inner_texts()
    assert margins[:2] == ["1.5 %", "5.7 %"]
    assert page.locator("h1").inner_text() == "Harbour United – Mill Rovers"
    assert "in 1 h" in page.locator(".about").inner_text()


def test_a_long_title_is_readable_as_a_whole(rig: BoardRig, open_page: Opens) -> None:
    player = "Aldo Wolfeschlegelstein-Hausenbergerdorff the Younger"
    shots: dict[str, float | None] = {"over": 1.9, "under": 1.9}
    rig.sites[0].offer([match := derby(alfa=prices() | {f"player_shots 2.5 {player}": shots})])
    page = open_page(address_of(rig, match))
    page.get_by_role("tab", name="Players").click()
    title: Any = page.locator("tr.market th", has_text=player)
    title.wait_for()
    shown = title.locator(".title").inner_text()
    assert title.get_attribute("title").startswith(shown)
    assert title.evaluate(
        "(node) => [node.scrollWidth - node.clientWidth, node.scrollHeight - node.clientHeight]"
    ) == [0, 0]
    assert title.bounding_box()["height"] > 40  # two lines


def test_flashes_a_move_up_and_down(rig: BoardRig, open_page: Opens) -> None:
    rig.sites[0].offer([match := derby()])
    page = open_page(address_of(rig, match))
    cell(page, "home", "bravo").get_by_text("2.00").wait_for()
    rig.sites[0].offer([derby(bravo=prices(2.05, 3.5, 3.6))])
    cell(page, "home", "bravo").get_by_text("2.05").wait_for()
    assert cell(page, "home", "bravo").get_attribute("data-flash").startswith("up")
    assert cell(page, "away", "bravo").get_attribute("data-flash").startswith("down")
    assert cell(page, "draw", "bravo").get_attribute("data-flash") is None
    # The best mark moves with the server's answer.
    rig.sites[0].offer([derby(bravo=prices(2.3, 3.5, 3.6))])
    has_class(cell(page, "home", "bravo"), "is-best")
    assert "is-best" not in cell(page, "home", "alfa").get_attribute("class")


def test_counts_from_a_change_at_the_bookmaker_to_the_text_in_the_cell(
    rig: BoardRig, open_page: Opens
) -> None:
    rig.sites[0].offer([match := derby()])
    page = open_page(address_of(rig, match))
    cell(page, "home", "bravo").get_by_text("2.00").wait_for()
    # Each text that the cell shows is kept by the page, so that none is overlooked.
    page.evaluate(
        """(selector) => {
            const node = document.querySelector(selector);
            window.seen = [];
            new MutationObserver(() => window.seen.push([node.textContent, Date.now()]))
                .observe(node, {childList: true, characterData: true, subtree: true});
        }""",
        f"{H2H} tr[data-outcome='home'] td[data-bookmaker='bravo|site-0'] .price",
    )
    delays = []
    for step in range(1, 11):
        wanted = 2 + step / 100
        began = time.time()
        rig.sites[0].offer([derby(bravo=prices(wanted))])
        page.wait_for_function(f"() => window.seen.some(([text]) => text === '{wanted:.2f}')")
        at = dict(page.evaluate("window.seen"))[f"{wanted:.2f}"] / 1000
        delays.append(at - began)
    assert [text for text, _ in page.evaluate("window.seen")] == [
        f"{2 + step / 100:.2f}" for step in range(1, 11)
    ]
    assert sorted(delays)[5] < 2, delays  # a pull every 0.1 s, on a busy machine


def test_greys_suspended_and_unpriced_odds(rig: BoardRig, open_page: Opens) -> None:
    rig.sites[0].offer([match := derby()])
    page = open_page(address_of(rig, match))
    cell(page, "home", "bravo").get_by_text("2.00").wait_for()
    shut: dict[str, dict[str, float | None]] = prices() | {"h2h": {}}
    rig.sites[0].offer([derby(bravo=shut)])
    has_class(cell(page, "home", "bravo"), "suspended")
    page.locator(f"{H2H} tr.market td.margin").nth(2).get_by_text("suspended").wait_for()
    rig.sites[0].offer([derby(carol=prices(draw=None))])
    has_class(cell(page, "draw", "carol"), "suspended")
    left_out = page.locator(f"{H2H} tr.market td.margin.left-out")
    left_out.get_by_text("incomplete").wait_for()
    assert "missing" in str(left_out.first.get_attribute("title"))


def test_strikes_stale_odds_through_with_their_age(two_sites: BoardRig, open_page: Opens) -> None:
    match = derby()
    two_sites.sites[0].offer([match])
    second = derby()
    second.prices = {"delta": prices(2.6, 3.6, 4.0)}
    two_sites.sites[1].offer([second])
    page = open_page(address_of(two_sites, match))
    page.locator("thead .book", has_text="delta").wait_for()
    has_class(cell(page, "home", "delta", "site-1"), "is-best")
    two_sites.sites[1].down = True
    stale = cell(page, "home", "delta", "site-1")
    has_class(stale, "stale")
    assert re.fullmatch(r"\d+ s", stale.locator(".cellnote").inner_text())
    line = stale.locator(".price").evaluate("(node) => getComputedStyle(node).textDecorationLine")
    assert line == "line-through"
    page.locator(f"{H2H} tr.market td.margin.left-out", has_text="stale").wait_for()
    has_class(cell(page, "home", "alfa"), "is-best")
    assert "is-best" not in stale.get_attribute("class")
    assert "stale" in page.locator("thead th", has_text="delta").inner_text()
    page.locator("[data-part=sources]", has_text="1 of 2 up").wait_for()
    two_sites.sites[1].down = False
    cell(page, "home", "delta", "site-1").and_(page.locator(":not(.stale)")).wait_for()


def test_groups_of_markets_are_tabs(rig: BoardRig, open_page: Opens) -> None:
    rig.sites[0].offer([match := derby()])
    page = open_page(address_of(rig, match))
    page.get_by_role("tab", name="Totals").click()
    totals = page.locator("tbody[data-market='totals|2.5|']")
    # As in soccer: the same type counts games in tennis, and points in basketball.
    totals.locator(".title", has_text="Goals over or under").wait_for()
    assert page.locator(H2H).count() == 0
    assert "group=" in page.url
    page.get_by_role("tab", name="Totals").press("ArrowLeft")
    page.locator(H2H).wait_for()
    page.go_back()
    page.locator("tbody[data-market='totals|3.5|']").wait_for()


def test_formats_and_times_are_kept(rig: BoardRig, open_page: Opens) -> None:
    rig.sites[0].offer([match := derby()])
    page = open_page(address_of(rig, match), timezone_id="Asia/Tokyo")
    home = cell(page, "home", "alfa").locator(".price")
    home.get_by_text("2.10").wait_for()
    page.get_by_label("Odds format").select_option("american")
    home.get_by_text("+110").wait_for()
    page.get_by_label("Odds format").select_option("fractional")
    home.get_by_text("11/10").wait_for()
    local = page.locator(".about").inner_text()
    page.get_by_label("Time zone").select_option("utc")
    page.locator(".about", has_text="UTC").wait_for()
    assert f"{match.start:%H:%M} UTC" in page.locator(".about").inner_text()
    assert f"{match.start:%H:%M}" not in local
    page.get_by_label("Colours").select_option("dark")
    page.reload()
    home.get_by_text("11/10").wait_for()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"


def test_moves_with_the_keyboard(rig: BoardRig, open_page: Opens) -> None:
    rig.sites[0].offer([match := derby()])
    page = open_page(address_of(rig, match))
    cell(page, "home", "alfa").click()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    focused = (
        "document.activeElement.dataset.bookmaker + ' '"
        " + document.activeElement.closest('tr').dataset.outcome"
    )
    assert page.evaluate(focused) == "bravo|site-0 draw"
    assert page.locator("td.cell[tabindex='0']").count() == 1
    page.keyboard.press("End")
    assert page.evaluate(focused) == "carol|site-0 draw"


def test_text_of_bookmakers_is_never_markup(rig: BoardRig, open_page: Opens) -> None:
    name = "<img src=x onerror=document.title='taken'>"
    match = Match("odd", name, "<b>Away</b>", 60, {"<i>alfa</i>": prices()})
    rig.sites[0].offer([match])
    page = open_page(address_of(rig, match))
    page.locator(H2H).wait_for()
    assert page.locator("main img, main b, main i").count() == 0
    assert name in page.locator("h1").inner_text()
    assert page.locator("thead .book").all_inner_texts() == ["<i>alfa</i>"]


def test_a_match_that_ends_says_so(rig: BoardRig, open_page: Opens) -> None:
    match = derby()
    other = Match("other", "A", "B", 60, {"alfa": prices()})
    rig.sites[0].offer([match, other])
    page = open_page(address_of(rig, match))
    cell(page, "home", "alfa").wait_for()
    rig.sites[0].offer([other])
    page.get_by_text("This match is over").wait_for()
    assert page.locator("td.cell").count() == 0
