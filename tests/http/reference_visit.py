"""A visit of /docs in a real browser, as a program: prints, as JSON, what it saw there.

A process of its own, since the tests' own has trio-asyncio, whose loops Playwright does not stand.
"""

import json
import sys
from typing import Any

from playwright.sync_api import Page, Route, sync_playwright

CHROMIUM = "/usr/bin/chromium"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self';"
    " base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
)


def with_policy(route: Route) -> None:
    answer = route.fetch()
    route.fulfill(response=answer, headers=answer.headers | {"content-security-policy": POLICY})


def visit(page: Page, address: str) -> dict[str, Any]:
    """Read the page, send a GET by the keyboard, and begin and stop a stream."""
    faults: list[str] = []
    hosts: set[str] = set()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if "Policy" in line.text else None)
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    page.route("**/docs", with_policy)
    page.goto(f"{address}/docs")
    page.wait_for_selector("#schemas")
    links = page.locator("#contents a").all_text_contents()

    odds = page.locator("#call-GetOdds")
    odds.locator("summary", has_text="Try it").press("Enter")
    odds.get_by_label("markets", exact=True).fill("h2h, totals")
    odds.get_by_label("includeBest").select_option("true")
    page.locator("#token").fill("a secret")
    curl = odds.locator("pre code").first.text_content()
    page.locator("#token").fill("")
    odds.get_by_label("markets", exact=True).press("Enter")
    odds.locator("form pre", has_text='"best"').wait_for()
    answer = odds.locator("form pre").text_content() or ""

    changes = page.locator("#call-WatchChanges")
    changes.locator("summary", has_text="Try it").click()
    changes.get_by_label("conflate").fill("soon")
    changes.get_by_role("button", name="Send").click()
    changes.locator("form pre", has_text="conflate").wait_for()
    refused = changes.locator("form pre").text_content() or ""
    changes.get_by_label("conflate").fill("")
    changes.get_by_label("eventIds").fill("none")
    changes.get_by_role("button", name="Send").click()
    changes.locator("form pre", has_text="opened").wait_for()
    changes.get_by_role("button", name="Stop").click()
    changes.locator("form pre", has_text="stopped").wait_for()
    return {
        "links": links,
        "curl": curl,
        "answer": answer[:30],
        "refused": refused[:400],
        "faults": faults,
        "hosts": sorted(hosts),
        "wide": page.evaluate("document.documentElement.scrollWidth > innerWidth"),
        "page": page.evaluate("getComputedStyle(document.body).backgroundColor"),
    }


def main(address: str) -> None:
    """Visit by a wide light and a narrow dark browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        wide = browser.new_page(viewport={"width": 1200, "height": 900})
        phone = browser.new_page(color_scheme="dark", viewport={"width": 360, "height": 740})
        seen = [visit(wide, address), visit(phone, address)]
        browser.close()
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main(sys.argv[1])
