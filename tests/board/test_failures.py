"""The board after failures, in a real browser: what it says, and that it goes on exactly.

A gate stands between the browser and the service; it refuses with 503, or holds what the service
sends. Everything else is a real service, restarted or with another database.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.board.conftest import Opens
from tests.board.gate import Gate
from tests.board.offers import derby, prices
from tests.board.rig import BoardRig, Match, wait_for
from tests.board.test_match import cell

TOKEN: Final = "a-made-up-token"
IN_PAGE: Final = "delete window.SharedWorker"  # the streams run in the page, on its clock
SILENCE_MS: Final = 21_000

RECORD: Final = """() => import('/feed.js').then(({feed}) => {
    window.told = []; window.images = 0;
    feed.on('image', ({lane}) => { if (lane === 'match') window.images += 1; });
    feed.on('changes', ({lane, changes}) => {
        const own = changes.filter((each) => lane === 'match' && each.eventId);
        window.told.push(...own.map((each) => Number(each.revision)));
    });
})"""

Gates = Callable[[BoardRig], Gate]


@pytest.fixture
def gate_of() -> Iterator[Gates]:
    """Return a function that opens a gate before a service."""
    gates: list[Gate] = []

    def opened(rig: BoardRig) -> Gate:
        gates.append(Gate(rig.address))
        return gates[-1]

    yield opened
    for each in gates:
        each.close()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[BoardRig]:
    """Start a service that asks for a token."""
    running = BoardRig(tmp_path, tokens=(TOKEN,))
    yield running
    running.close()


def open_match(open_page: Opens, gate: Gate, *scripts: str, timed: bool = False) -> Any:
    """Open the derby through a gate; `timed`: the test moves the page's clock on."""
    page = open_page("about:blank")
    for script in scripts:
        page.add_init_script(script)
    if timed:
        page.clock.install()
    page.goto(f"{gate.address}/?view=match&event=toa:derby")
    return page


def log_in(page: Any, token: str = TOKEN) -> None:
    page.get_by_role("textbox", name="Token").fill(token)
    page.keyboard.press("Enter")
    page.locator("dialog[open]").wait_for(state="hidden")


def live(page: Any) -> None:
    page.locator("[data-part=connected]", has_text="Live").wait_for()


def strip(page: Any, text: str) -> None:
    page.locator("[data-part=missed]", has_text=text).wait_for()


def revisions(rig: BoardRig, after: int) -> list[int]:
    """Return the revisions of the derby's changes, from the service's history."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=rig.address, headers=headers) as client:
        lines = client.get("/v1/history", params={"eventIds": "toa:derby"}).raise_for_status()
    changes = [each for each in map(json.loads, lines.text.splitlines()) if "revision" in each]
    return [found for each in changes if (found := int(each["revision"])) > after]


def test_eight_tabs_with_a_token_go_on_exactly_after_503(
    guarded: BoardRig, gate_of: Gates, open_page: Opens
) -> None:
    gate = gate_of(guarded)
    other = Match("other", "Other City", "Else Town", 50, {"bravo": prices(1.5)})
    guarded.sites[0].offer([derby(bravo=prices()), other])
    first = open_match(open_page, gate)
    log_in(first)
    tabs = [first]
    for number in range(7):
        shown = f"/?view=match&event=toa:{['derby', 'other'][number % 2]}" if number > 2 else "/"
        tabs.append(open_page(gate.address + shown, context=first.context))
    for tab in tabs:
        tab.locator(".price", has_text="3.90").first.wait_for()
    first.evaluate(RECORD)
    begun = guarded.head
    gate.refuse()
    for tab in tabs:
        tab.get_by_text("Not connected").wait_for()
    wait_for(lambda: gate.refused > 1, "requests that are refused")
    for away in (5.5, 6.0, 6.5):
        before = guarded.head
        other.prices["bravo"] = prices(1.77, away=away)
        guarded.sites[0].offer([derby(bravo=prices(2.77, away=away)), other])
        wait_for(lambda before=before: guarded.head >= before + 2, "a move")  # type: ignore[misc]
    gate.admit()
    for tab in tabs:
        tab.locator(".price", has_text="6.50").first.wait_for()
        live(tab)
        strip(tab, "Nothing missed")
    assert first.evaluate("window.images") == 0
    feed = guarded.running.parts.feed
    wait_for(lambda: feed.durable_revision == feed.head_revision, "stored changes")
    told = revisions(guarded, begun)
    assert len(told) >= 3
    assert first.evaluate("window.told") == told


def test_a_new_database_gives_a_new_image_and_the_strip_says_so(
    rig: BoardRig, gate_of: Gates, open_page: Opens, tmp_path: Path
) -> None:
    rig.sites[0].offer([derby()])
    page = open_match(open_page, gate_of(rig))
    cell(page, "home", "bravo").get_by_text("2.00").wait_for()
    strip(page, "Nothing missed")
    rig.stop()
    for file in tmp_path.glob("odds.db*"):
        file.unlink()
    rig.sites[0].offer([derby(bravo=prices(2.5))])
    rig.start()
    cell(page, "home", "bravo").get_by_text("2.50").wait_for()
    strip(page, "Read anew: the service has a new database")
    live(page)


def test_a_reader_that_lagged_gets_a_new_image_and_the_strip_says_so(
    rig: BoardRig, gate_of: Gates, open_page: Opens
) -> None:
    gate = gate_of(rig)
    lines = 1_000
    rig.sites[0].offer([wide(lines, 1.5)])
    page = open_page("about:blank")
    page.add_init_script(IN_PAGE)
    # The board reads everything that is kept; under this policy it loses what has left the memory.
    page.route(
        "**/v1/changes?*", lambda route: route.continue_(url=f"{route.request.url}&policy=latest")
    )
    # The stream must not be taken for silent, however long the changes below take.
    page.route("**/stream.js", patient)
    page.goto(f"{gate.address}/?view=match&event=toa:derby")
    cell(page, "home", "bravo").get_by_text("1.50").wait_for()
    live(page)
    rig.running.parts.feed.capacity = 20
    gate.hold()
    price = 1.5
    # The buffers of two sockets take megabytes before the stream stands.
    while rig.most_behind() < 4 * lines:  # those in hand, and some that have left the memory
        before, price = rig.head, price + 0.01
        rig.sites[0].offer([wide(lines, price)])
        wait_for(lambda before=before: rig.head >= before + lines, "moves")  # type: ignore[misc]
    gate.release()
    strip(page, "Read anew: this browser fell too far behind")
    cell(page, "home", "bravo").get_by_text(f"{price:.2f}").wait_for()
    live(page)


def test_a_silent_stream_is_cut_and_opened_anew(
    rig: BoardRig, gate_of: Gates, open_page: Opens
) -> None:
    gate = gate_of(rig)
    rig.sites[0].offer([derby()])
    page = open_match(open_page, gate, IN_PAGE, timed=True)
    cell(page, "home", "bravo").get_by_text("2.00").wait_for()
    live(page)
    gate.hold()
    before = len(gate.asked("/v1/changes"))
    rig.sites[0].offer([derby(bravo=prices(2.5))])
    page.clock.fast_forward(SILENCE_MS)
    page.get_by_text("Not live: nothing came for 20 s").wait_for()
    wait_for(lambda: len(gate.asked("/v1/changes")) > before, "another stream")
    gate.release()
    cell(page, "home", "bravo").get_by_text("2.50").wait_for()
    live(page)
    strip(page, "Nothing missed")


def test_a_revoked_token_asks_for_another_and_sends_no_more_requests(
    guarded: BoardRig, gate_of: Gates, open_page: Opens
) -> None:
    gate = gate_of(guarded)
    guarded.sites[0].offer([derby()])
    page = open_match(open_page, gate, IN_PAGE, timed=True)
    log_in(page)
    cell(page, "home", "bravo").get_by_text("2.00").wait_for()
    guarded.stop()
    guarded.ask_for("another-made-up-token")
    guarded.start()
    page.get_by_role("heading", name="Your token is no longer accepted").wait_for()
    page.locator("[data-part=connected]", has_text="No access").wait_for()

    def settled() -> int:
        """Return the number of requests so far, when those under way have come."""
        page.evaluate("fetch('/healthz').then((answer) => answer.text())")
        return len(gate.asked())

    refused = "Object.values(feed.state.lanes).every((lane) => lane.refused || !lane.used)"
    page.wait_for_function(f"() => import('/feed.js').then(({{feed}}) => {refused})")
    first = settled()
    # One that was sent before the first refusal may come late, by another connection.
    for _ in range(10):
        page.wait_for_timeout(100)
        first = settled()
    page.clock.fast_forward(60_000)  # every timer of the page is due
    page.clock.fast_forward(60_000)
    assert settled() == first
    log_in(page, "another-made-up-token")
    guarded.sites[0].offer([derby(bravo=prices(2.5))])
    cell(page, "home", "bravo").get_by_text("2.50").wait_for()
    live(page)


def test_a_refusal_that_comes_after_the_token_does_not_ask_for_it_again(
    guarded: BoardRig, open_page: Opens
) -> None:
    guarded.sites[0].offer([derby()])
    page = open_page("about:blank")
    page.add_init_script(IN_PAGE)
    held: list[Any] = []

    def hold(route: Any) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)  # the stream of the match, sent before there was a token

    def holds() -> bool:
        page.wait_for_timeout(50)
        return bool(held)

    page.route("**/v1/changes?eventIds=*", hold)
    page.goto(f"{guarded.address}/?view=match&event=toa:derby")
    wait_for(holds, "the stream of the match")
    log_in(page)
    held[0].fulfill(status=401, json={"code": 16, "message": "a token is wanted"})
    cell(page, "home", "bravo").get_by_text("2.00").wait_for()
    live(page)
    assert page.locator("dialog[open]").count() == 0


def test_a_worker_that_dies_is_opened_anew(rig: BoardRig, gate_of: Gates, open_page: Opens) -> None:
    gate = gate_of(rig)
    rig.sites[0].offer([derby()])
    page = open_match(open_page, gate, timed=True)
    cell(page, "home", "bravo").get_by_text("2.00").wait_for()
    live(page)
    end_worker(page)
    wait_for(lambda: rig.streams == 0, "streams that end with their worker")

    def reopened() -> bool:
        page.clock.fast_forward(5_000)
        return bool(page.evaluate("import('/feed.js').then(({feed}) => feed.state.lost > 0)"))

    wait_for(reopened, "another worker")
    rig.sites[0].offer([derby(bravo=prices(2.5))])
    cell(page, "home", "bravo").get_by_text("2.50").wait_for()
    live(page)
    strip(page, "Read anew: the browser had ended the board's worker")


@pytest.mark.parametrize("missing", ["list.js", "chart.js"])  # of the first part, of the second
def test_a_board_that_is_not_loaded_says_so_and_starts_once_the_service_is_back(
    rig: BoardRig, open_page: Opens, missing: str
) -> None:
    rig.sites[0].offer([derby()])
    page = open_page("about:blank")
    # What a browser reports of the missing module is no error of the board's.
    page.add_init_script("addEventListener('error', (event) => event.preventDefault())")
    away, looks = True, 0

    def answer(route: Any) -> None:
        nonlocal looks
        looking = route.request.resource_type == "fetch" and "boot.js" in route.request.url
        looks += looking
        if away and (looking or route.request.url.endswith(missing)):
            route.abort()
        else:
            route.continue_()

    page.route("**/*", answer)
    page.goto(rig.address)
    page.get_by_role("alert").get_by_text("could not be loaded").wait_for()

    def looked() -> bool:
        page.wait_for_timeout(50)
        return looks > 1

    wait_for(looked, "a second look at the service")
    assert page.get_by_role("button", name="Try now").is_visible()
    away = False
    page.locator(".price").first.wait_for()
    live(page)
    assert page.evaluate("Object.values(sessionStorage).join()") == "0"


def patient(route: Any) -> None:
    """Answer with the board's file, whose streams then wait ten minutes for a heartbeat."""
    file = route.fetch()
    told = "const SILENCE_MS = 4 * HEARTBEAT_S * 1000;"
    assert told in file.text()
    route.fulfill(response=file, body=file.text().replace(told, "const SILENCE_MS = 600_000;"))


def wide(lines: int, price: float) -> Match:
    """Return the derby with many totals of one bookmaker."""
    totals: dict[str, dict[str, float | None]] = {
        f"totals {number}.5": {"over": price, "under": 1.95} for number in range(lines)
    }
    return derby(bravo=prices(price) | totals)


def end_worker(page: Any) -> None:
    """Let the SharedWorker of a page end itself."""
    devtools = page.context.browser.new_browser_cdp_session()
    filters = {"filter": [{"type": "shared_worker"}]}
    (found,) = devtools.send("Target.getTargets", filters)["targetInfos"]
    asked = {"targetId": found["targetId"], "flatten": False}
    session = devtools.send("Target.attachToTarget", asked)["sessionId"]
    text = '{"id": 1, "method": "Runtime.evaluate", "params": {"expression": "self.close()"}}'
    devtools.send("Target.sendMessageToTarget", {"sessionId": session, "message": text})
    wait_for(lambda: not devtools.send("Target.getTargets", filters)["targetInfos"], "its end")
    devtools.detach()  # the next worker would wait for a debugger
