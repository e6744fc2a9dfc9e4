"""A page that is left open does not grow, nor does the worker behind it, however much changes.

Sizes are those of what JavaScript still holds after a collection of garbage.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from tests.board.conftest import Opens
from tests.board.offers import derby
from tests.board.rig import INTERVAL_S, BoardRig, Match, Prices
from tests.board.test_match import address_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession, Page

LINES: Final = 34  # three bookmakers' prices of so many lines, ten times a second: 1,000 changes/s
# 1.5 MiB: code that is compiled late, pools. An hour has 3,600,000 changes.
GROWTH_BYTES: Final = 3 * 2**19
# Hovering tips, and nodes that wait for a collection of Chromium's own: six minutes saw 430 of them
# come and go. A node that is kept for each change makes thousands within the short form's seconds.
GROWTH_NODES: Final = 1_000
_COUNT: Final = """() => import('/feed.js').then(({feed}) => {
    window.came = 0;
    feed.on('changes', ({changes}) => { window.came += changes.length; });
})"""


class Sizes(NamedTuple):
    """The sizes of a page and its worker."""

    page_bytes: int
    worker_bytes: int
    nodes: int
    listeners: int
    changes: int  # that have come to the page


class Inspector:
    """Reads sizes by the protocol of Chromium's developer tools."""

    def __init__(self, browser: "Browser", page: "Page") -> None:
        self._page = page
        self._of_page: CDPSession = page.context.new_cdp_session(page)
        self._of_page.send("Performance.enable")
        self._of_browser: CDPSession = browser.new_browser_cdp_session()
        self._answers: dict[int, dict[str, Any]] = {}
        self._of_browser.on("Target.receivedMessageFromTarget", self._answered)
        targets = self._of_browser.send("Target.getTargets")["targetInfos"]
        (worker,) = [each for each in targets if each["type"] == "shared_worker"]
        asked = {"targetId": worker["targetId"], "flatten": False}
        self._worker = self._of_browser.send("Target.attachToTarget", asked)["sessionId"]

    def look(self) -> Sizes:
        """Collect garbage and return the sizes of what is left."""
        for _ in range(2):  # the first one may find what the second frees
            self._of_page.send("HeapProfiler.collectGarbage")
            self._ask_worker("HeapProfiler.collectGarbage")
        found = {
            each["name"]: int(each["value"])
            for each in self._of_page.send("Performance.getMetrics")["metrics"]
        }
        return Sizes(
            page_bytes=found["JSHeapUsedSize"],
            worker_bytes=int(self._ask_worker("Runtime.getHeapUsage")["usedSize"]),
            nodes=found["Nodes"],
            listeners=found["JSEventListeners"],
            changes=int(self._page.evaluate("window.came")),
        )

    def _answered(self, message: dict[str, Any]) -> None:
        answer = json.loads(message["message"])
        if "id" in answer:
            self._answers[answer["id"]] = answer

    def _ask_worker(self, method: str) -> dict[str, Any]:
        number = len(self._answers) + 1
        text = json.dumps({"id": number, "method": method})
        asked = {"sessionId": self._worker, "message": text}
        self._of_browser.send("Target.sendMessageToTarget", asked)
        until = time.monotonic() + 60
        while number not in self._answers:
            assert time.monotonic() < until, f"the worker does not answer {method}"
            self._page.wait_for_timeout(10)
        found: dict[str, Any] = self._answers[number]["result"]
        return found


def busy(turn: int) -> Match:
    """Return a match whose every price differs from that of the turn before."""
    bookmakers: Prices = {}
    for number, name in enumerate(("alfa", "bravo", "carol")):
        markets = bookmakers[name] = {}
        for line in range(LINES):
            price = 1.5 + (turn * 7 + line + number) % 97 / 100
            markets[f"totals {line}.5"] = {"over": price, "under": 3.6 - price}
    return Match("derby", "Harbour United", "Mill Rovers", 90, bookmakers)


@contextmanager
def moving(rig: BoardRig) -> Iterator[None]:
    """Let every price move ten times a second."""
    stop = threading.Event()

    def move() -> None:
        turn = 0
        while not stop.wait(INTERVAL_S):
            turn += 1
            rig.sites[0].offer([busy(turn)])

    thread = threading.Thread(target=move, name="mover")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def watched(
    rig: BoardRig, browser: "Browser", open_page: Opens, warm_s: float, pause_s: float, looks: int
) -> list[Sizes]:
    """Open a match that moves, wait until everything has run in, and look at times."""
    rig.sites[0].offer([busy(0)])
    page = open_page(address_of(rig, derby()))
    page.locator("td.cell .price").first.wait_for()
    page.evaluate(_COUNT)
    inspector = Inspector(browser, page)
    sizes = []
    with moving(rig):
        page.wait_for_timeout(warm_s * 1_000)
        for look in range(looks):
            if look:
                page.wait_for_timeout(pause_s * 1_000)
            sizes.append(inspector.look())
    return sizes


def check(first: Sizes, last: Sizes) -> None:
    assert last.changes > first.changes
    assert last.page_bytes - first.page_bytes < GROWTH_BYTES, (first, last)
    assert last.worker_bytes - first.worker_bytes < GROWTH_BYTES, (first, last)
    assert last.nodes - first.nodes < GROWTH_NODES, (first, last)
    assert last.listeners == first.listeners, (first, last)


def test_a_page_and_its_worker_do_not_grow(
    rig: BoardRig, browser: "Browser", open_page: Opens
) -> None:
    first, last = watched(rig, browser, open_page, warm_s=4, pause_s=6, looks=2)
    check(first, last)


@pytest.mark.long
def test_a_page_left_open_for_an_hour_does_not_grow(
    rig: BoardRig,
    browser: "Browser",
    open_page: Opens,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """BOARD_MINUTES sets the time, 60 unless given; the figures are in docs/reliability.md."""
    minutes = int(os.environ.get("BOARD_MINUTES", "60"))
    sizes = watched(rig, browser, open_page, warm_s=30, pause_s=60, looks=minutes + 1)
    with capsys.disabled():
        for minute, each in enumerate(sizes):
            sys.stdout.write(f"{minute} min: {each}\n")
    check(sizes[0], sizes[-1])
