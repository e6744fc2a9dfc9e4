"""The board in headless Chromium, and scripts that note in the page when something is painted."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

PATIENT_MS: Final = 60_000
VIEW: Final = {"width": 1440, "height": 900}

# A task that a frame's script posts runs after that frame has been painted.
_AFTER: Final = """
  const told = new MessageChannel(), due = [];
  told.port1.onmessage = () => { for (const fn of due.splice(0)) fn(performance.now()); };
  const painted = (fn) => { if (due.push(fn) === 1) told.port2.postMessage(0); };
"""
# Sets `data-listed`, ms since the navigation: the rows have prices (a few are out of sight).
LISTED: Final = f"""(() => {{ {_AFTER}
  const watch = new MutationObserver(() => {{
    const rows = [...document.querySelectorAll(".row")];
    const hasPrice = (row) => /[0-9]/.test(row.querySelector(".best .price").textContent);
    const priced = rows.filter(hasPrice);
    if (!rows.length || priced.length < 0.7 * rows.length) return;
    watch.disconnect();
    painted((at) => {{ document.documentElement.dataset.listed = at; }});
  }});
  watch.observe(document, {{ subtree: true, childList: true, characterData: true }});
}})()"""
# Collects `seen`, [text of a price cell, ms since 1970], once it is painted.
_CELLS: Final = f"""() => {{ {_AFTER}
  window.seen = [];
  new MutationObserver((changes) => {{
    const texts = changes.filter(({{ target }}) => target.matches?.("td.cell > .price"))
      .map(({{ target }}) => target.textContent);
    const note = (at) => {{
      for (const text of texts) window.seen.push([text, performance.timeOrigin + at]);
    }};
    if (texts.length) painted(note);
  }}).observe(document.querySelector("table.odds"), {{ subtree: true, childList: true }});
}}"""
_TAKE: Final = "() => window.seen.splice(0)"
_LISTED: Final = "document.documentElement.dataset.listed"
_FIRST: Final = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


@contextmanager
def visitor(browser: "Browser", script: str = LISTED) -> Iterator["BrowserContext"]:
    """Return a new visitor: nothing cached, no worker."""
    options: Any = {"viewport": VIEW, "timezone_id": "UTC"}
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENT_MS)
    context.add_init_script(script)
    yield context
    context.close()


def open_list(context: "BrowserContext", address: str) -> tuple["Page", float, float]:
    """Open the list; return the page, and the ms to its first paint and to the rows' prices."""
    page = context.new_page()
    page.goto(f"http://{address}/")
    page.locator("html[data-listed]").wait_for(state="attached")
    return page, float(page.evaluate(_FIRST)), float(page.evaluate(_LISTED))


def open_match(page: "Page", event: str) -> None:
    """Choose a match, show all of its markets, and begin to note prices."""
    page.locator(f".row[data-event='{event}']").click()
    page.locator("td.cell .price").first.wait_for()
    every = page.locator("[data-group=all]")
    if every.count():
        every.click()
    page.evaluate(_CELLS)


def events_of(page: "Page") -> list[str]:
    """Return the ids of the events in the rows on the screen."""
    rows: list[str] = page.evaluate(
        "[...document.querySelectorAll('.row')].map((r) => r.dataset.event)"
    )
    return rows


def prices_seen(page: "Page") -> list[tuple[int, float]]:
    """Return prices in thousandths, and when they were painted, in seconds since 1970."""
    seen: list[tuple[str, float]] = page.evaluate(_TAKE)
    return [
        (round(float(text) * 1_000), at_ms / 1_000)
        for text, at_ms in seen
        if text.replace(".", "").isdigit()
    ]


def streams_of(browser: "Browser", address: str) -> list[str]:
    """Return the paths of the streams that a page opens: of the list, then of its first match.

    The page gets no SharedWorker, whose requests Playwright does not see, and reads them itself.
    """
    paths: list[str] = []
    script = f"delete window.SharedWorker; {LISTED}"
    with visitor(browser, script) as context:
        page = context.new_page()
        page.on("request", lambda asked: paths.append(asked.url.partition(address)[2]))
        page.goto(f"http://{address}/")
        page.locator("html[data-listed]").wait_for(state="attached")
        open_match(page, events_of(page)[0])
    return [path for path in paths if path.startswith("/v1/changes?")]
