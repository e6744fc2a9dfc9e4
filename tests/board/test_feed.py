"""The board's feed in a real browser: one worker for all tabs, cuts, restarts, tokens, size."""

import json
from typing import Any

from tests.board.conftest import Opens
from tests.board.offers import derby, prices, season
from tests.board.rig import BoardRig, Match, wait_for
from tests.board.test_match import address_of, cell

STREAMS = 3  # of a browser at most: all matches, rows of lists, open matches


def test_strip_tells_the_state(rig: BoardRig, open_page: Opens) -> None:
    rig.sites[0].offer([match := derby()])
    page = open_page(address_of(rig, match))
    strip = page.locator("#proof")
    strip.get_by_text("Live", exact=True).wait_for()
    strip.get_by_text("Nothing missed").wait_for()
    strip.get_by_text("1 of 1 up").wait_for()
    page.wait_for_function(
        "(head) => document.querySelector('[data-part=revision] b').textContent === String(head)",
        arg=rig.head,
    )
    rig.sites[0].offer([derby(bravo=prices(2.04))])
    page.locator("[data-part=delay]", has_text="ms").wait_for()
    page.get_by_text("Queue").wait_for()
    page.get_by_role("button", name="Details").click()
    page.locator(".details", has_text="Streams of this browser").wait_for()
    assert "site-0" in page.locator(".details").inner_text()


def test_eight_tabs_share_the_streams_and_stay_live(rig: BoardRig, open_page: Opens) -> None:
    other = Match("other", "Other City", "Else Town", 50, {"bravo": prices(1.5)})
    rig.sites[0].offer([derby(bravo=prices()), other])
    first = open_page(address_of(rig, derby()))
    tabs = [first]
    for number in range(7):
        match = [derby(), other][number % 2]
        address = rig.address if number < 3 else address_of(rig, match)
        tabs.append(open_page(address, context=first.context))
    for tab in tabs:
        tab.locator(".price", has_text="3.90").first.wait_for()
    assert rig.streams <= STREAMS + 1  # one more while a stream is widened
    wait_for(lambda: rig.streams <= STREAMS, "as many streams as kinds of views")
    other.prices["bravo"] = prices(1.77, away=5.5)
    rig.sites[0].offer([derby(bravo=prices(2.77, away=5.5)), other])
    for tab in tabs:
        tab.locator(".price", has_text="5.50").first.wait_for()
    rig.stop()
    for tab in tabs:
        tab.get_by_text("Not connected").wait_for()
        assert "offline" in str(tab.locator("body").get_attribute("class"))
    other.prices["bravo"] = prices(1.77, away=6.5)
    rig.sites[0].offer([derby(bravo=prices(2.77, away=6.5)), other])
    rig.start()
    for tab in tabs:
        tab.locator(".price", has_text="6.50").first.wait_for()
        tab.get_by_text("Live", exact=True).wait_for()
        assert tab.get_by_text("Nothing missed").count() == 1
    for tab in tabs[1:]:
        tab.close()
    first.goto("about:blank")
    wait_for(lambda: rig.streams == 0, "no stream without a tab")


def test_resumes_after_a_restart_without_a_new_image(rig: BoardRig, open_page: Opens) -> None:
    rig.sites[0].offer([derby()])
    page = open_page(address_of(rig, derby()))
    cell(page, "home", "bravo").get_by_text("2.00").wait_for()
    page.evaluate(
        """() => import('/feed.js').then(({feed}) => {
            window.images = 0;
            feed.on('image', ({lane}) => { if (lane === 'match') window.images += 1; });
        })"""
    )
    rig.stop()
    page.get_by_text("Not live").wait_for()
    rig.sites[0].offer([derby(bravo=prices(2.5))])
    rig.start()
    cell(page, "home", "bravo").get_by_text("2.50").wait_for()
    assert page.evaluate("window.images") == 0
    assert page.get_by_text("Nothing missed").count() == 1


def test_asks_for_a_token(tmp_path: Any, open_page: Opens) -> None:
    rig = BoardRig(tmp_path, tokens=("a-made-up-token",))
    try:
        rig.sites[0].offer([derby()])
        page = open_page(rig.address)
        page.get_by_role("heading", name="A token is wanted").wait_for()
        assert page.locator(".row").count() == 0
        page.get_by_role("textbox", name="Token").fill("wrong")
        page.keyboard.press("Enter")
        page.get_by_text("not accepted").wait_for()
        page.get_by_role("textbox", name="Token").fill("a-made-up-token")
        page.keyboard.press("Enter")
        page.locator(".row .price", has_text="2.10").wait_for()
        assert page.locator("dialog[open]").count() == 0
        # Other tabs have the cookie too, and no script can read it.
        second = open_page(rig.address, context=page.context)
        second.locator(".row .price", has_text="2.10").wait_for()
        assert "made-up" not in second.evaluate("document.cookie + JSON.stringify(localStorage)")
        assert not any("made-up" in cookie["value"] for cookie in page.context.cookies())
        # In between, the service is away. Sessions outlive it.
        rig.stop()
        page.get_by_text("Not connected").wait_for()
        rig.start()
        for tab in (page, second):
            tab.get_by_text("Live", exact=True).wait_for()
            assert tab.locator("dialog[open]").count() == 0
    finally:
        rig.close()


def test_stays_live_while_streams_are_refused(tmp_path: Any, open_page: Opens) -> None:
    """The server has no room for a third stream: 429 with Retry-After until one is free."""
    rig = BoardRig(tmp_path, max_streams=2)
    try:
        rig.sites[0].offer([derby()])
        page = open_page(rig.address)
        page.locator(".row .price", has_text="2.10").wait_for()
        page.locator(".row").click()
        # The streams of the list end after a while without a list, which frees the place.
        cell(page, "home", "bravo").get_by_text("2.00").wait_for()
        rig.sites[0].offer([derby(bravo=prices(2.5))])
        cell(page, "home", "bravo").get_by_text("2.50").wait_for()
        page.get_by_text("Live", exact=True).wait_for()
    finally:
        rig.close()


def test_an_open_page_does_not_grow(rig: BoardRig, open_page: Opens) -> None:
    matches = season(20)
    rig.sites[0].offer(matches)
    page = open_page(address_of(rig, matches[0]))
    page.locator("td.cell").first.wait_for()
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")

    def sizes() -> dict[str, float]:
        devtools.send("HeapProfiler.collectGarbage")
        found = devtools.send("Performance.getMetrics")["metrics"]
        return {each["name"]: each["value"] for each in found}

    def change(rounds: int) -> None:
        for step in range(rounds):
            for match in matches:
                match.prices["alfa"] = prices(1.5 + (rig.head % 200) / 100, away=2 + step / 100)
            before = rig.head
            rig.sites[0].offer(matches)
            wait_for(lambda before=before: rig.head >= before + 20, "changes")  # type: ignore[misc]
        shown = f"{2 + (rounds - 1) / 100:.2f}"
        page.locator("tr[data-outcome='away'] td.cell", has_text=shown).first.wait_for()

    # Back and forth between views too, which is where listeners are left behind.
    def wander() -> None:
        page.keyboard.press("Escape")
        page.locator(".row").first.click()
        page.locator("td.cell").first.wait_for()

    change(5)
    wander()
    before = sizes()
    change(25)
    for _ in range(5):
        wander()
    after = sizes()
    assert after["JSEventListeners"] <= before["JSEventListeners"] + 5
    assert after["Nodes"] <= before["Nodes"] + 200
    assert after["JSHeapUsedSize"] <= before["JSHeapUsedSize"] + 2_000_000, json.dumps(after)


def test_a_browser_without_shared_workers_has_the_streams_in_the_page(
    rig: BoardRig, open_page: Opens
) -> None:
    rig.sites[0].offer([derby()])
    page = open_page("about:blank")
    page.add_init_script("delete window.SharedWorker")
    page.goto(address_of(rig, derby()))
    cell(page, "home", "bravo").get_by_text("2.00").wait_for()
    rig.sites[0].offer([derby(bravo=prices(2.5))])
    cell(page, "home", "bravo").get_by_text("2.50").wait_for()
    page.goto("about:blank")
    wait_for(lambda: rig.streams == 0, "no stream without a page")


def test_a_tab_that_shows_another_match_widens_the_stream(rig: BoardRig, open_page: Opens) -> None:
    """The odds of the first tab stay live meanwhile."""
    other = Match("other", "Other City", "Else Town", 50, {"bravo": prices(1.5)})
    rig.sites[0].offer([derby(), other])
    first = open_page(address_of(rig, derby()))
    cell(first, "home", "bravo").get_by_text("2.00").wait_for()
    first.evaluate(
        """() => import('/feed.js').then(({feed}) => {
            window.dead = 0;
            feed.on('state', () => { if (!feed.live('match')) window.dead += 1; });
        })"""
    )
    second = open_page(address_of(rig, other), context=first.context)
    cell(second, "home", "bravo").get_by_text("1.50").wait_for()
    rig.sites[0].offer([derby(bravo=prices(2.5)), other])
    cell(first, "home", "bravo").get_by_text("2.50").wait_for()
    assert cell(second, "home", "bravo").locator(".price").inner_text() == "1.50"
    assert first.evaluate("window.dead") == 0
