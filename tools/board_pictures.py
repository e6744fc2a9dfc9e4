"""Pictures of the board for the README and docs/board.md, made from the demo with Chromium.

tools/pictures.py starts the demo and calls make_pictures(). WebP, which Chromium itself encodes:
each picture is below MOST_BYTES, so that a clone stays small.
"""

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tools.chromium import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MOST_BYTES: Final = 150_000
QUALITY: Final = 80  # per cent; lower ones blur small digits
WAIT_MS: Final = 60_000
DESK: Final = (1440, 900)
PHONE: Final = (390, 844)
CHART: Final = "%5B%22h2h%22%2Cnull%2C%22%22%2C%22home%22%5D"  # the cell in the address


class Shot(NamedTuple):
    """A picture: its name, the address of its view, and what is there when the view is complete."""

    name: str
    query: str
    shown: str
    size: tuple[int, int] = DESK
    scheme: str = "light"


def shots(event: str) -> list[Shot]:
    """Return the pictures, with `event` as the match."""
    match = f"?view=match&event={event}"
    return [
        Shot("board-light", "", ".row .best:not(.none)"),
        Shot("board-dark", "", ".row .best:not(.none)", scheme="dark"),
        Shot("board-phone", "", ".row .best:not(.none)", size=PHONE),
        Shot("board-match", f"{match}&group=all", "td.is-best"),
        Shot("board-chart", f"{match}&group=all&cell={CHART}", ".stage svg", scheme="dark"),
    ]


def make_pictures(address: str, event: str, folder: Path) -> None:
    """Make all pictures of the board.

    Args:
        address: The address that the board is served at.
        event: The id of an event with many markets.
        folder: Where the pictures go, as NAME.webp.

    Raises:
        SystemExit: A picture is larger than MOST_BYTES.
        RuntimeError: Chromium is not there.
    """
    with chromium() as browser:
        for shot in shots(event):
            picture = taken(browser, address, shot)
            if len(picture) > MOST_BYTES:
                raise SystemExit(f"{shot.name}: {len(picture):,} bytes are over {MOST_BYTES:,}")
            (folder / f"{shot.name}.webp").write_bytes(picture)


def taken(browser: "Browser", address: str, shot: Shot) -> bytes:
    """Return a view of the board as WebP, once it is live."""
    width, height = shot.size
    scheme: Any = shot.scheme  # one of the words that Playwright knows
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, timezone_id="UTC"
    )
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{address}/{shot.query}")
    page.locator(shot.shown).first.wait_for()
    page.locator("[data-part=connected]", has_text="Live").wait_for()
    page.locator("[data-part=delay]", has_text="ms").wait_for()
    picture = _webp(page)
    context.close()
    return picture


def _webp(page: "Page") -> bytes:
    session = page.context.new_cdp_session(page)
    asked = {"format": "webp", "quality": QUALITY}
    return base64.b64decode(session.send("Page.captureScreenshot", asked)["data"])
