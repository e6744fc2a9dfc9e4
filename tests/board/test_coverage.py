"""The coverage view in a real browser: gaps, markets without a name, runs, storage."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.board.conftest import Opens
from tests.board.offers import derby
from tests.board.recorded_calls import HOSTILE, recorded_calls
from tests.board.rig import WAIT_S, BoardRig, wait_for
from tests.board.waiting import wait_for_derby


@pytest.fixture
def coverage_address(rig: BoardRig) -> Iterator[str]:
    """Yield the address of a board whose coverage, unmapped markets and runs are known."""
    rig.sites[0].offer([derby()])
    wait_for_derby(rig)
    with recorded_calls(rig.address) as address:
        yield address


def test_competitions_by_bookmakers_show_gaps(coverage_address: str, open_page: Opens) -> None:
    page = open_page(coverage_address)
    page.get_by_role("link", name="Coverage").click()
    table = page.get_by_role("table", name="Coverage")
    table.wait_for()
    assert table.locator("thead th").all_inner_texts() == [
        "Competition",
        "Matches",
        "alpha",
        "beta",
    ]
    first, second = table.locator("tbody tr").all()
    assert first.locator("td").all_inner_texts() == ["4", "4 · 7", "2 · 7 1 stale"]
    assert second.locator("td.gap").all_inner_texts() == ["gap"]
    page.get_by_text("2 competitions, 2 bookmakers, 1 gap.").wait_for()
    second.get_by_role("link").click()
    page.locator(".view-list .matches").wait_for()
    assert "competition=soccer_second" in page.url


def test_the_services_own_coverage_is_shown(rig: BoardRig, open_page: Opens) -> None:
    rig.sites[0].offer([derby()])
    wait_for_derby(rig)
    page = open_page(f"{rig.address}/?view=coverage")
    table = page.get_by_role("table", name="Coverage")
    table.wait_for()
    assert table.locator("thead th").all_inner_texts()[2:] == ["alfa", "bravo", "carol"]
    assert table.locator("tbody td").all_inner_texts() == ["1", *["1 · 3"] * 3]
    page.get_by_text("Every market that came has a name here.").wait_for()


def test_unmapped_markets_have_a_sample(coverage_address: str, open_page: Opens) -> None:
    page = open_page(f"{coverage_address}/?view=coverage")
    rows = page.get_by_role("table", name="Unmapped markets").locator("tbody tr")
    rows.first.wait_for()
    # The most frequent come first; names of sources are text.
    assert [row.locator("th").inner_text() for row in rows.all()] == [HOSTILE, "Seldom"]
    assert rows.first.locator("td").last.inner_text() == f"A v B yes / {HOSTILE}"
    assert page.locator(".coverage img").count() == 0


def test_runs_tell_length_outcome_and_what_was_skipped(
    coverage_address: str, open_page: Opens
) -> None:
    page = open_page(f"{coverage_address}/?view=coverage")
    table = page.get_by_role("table", name="Runs", exact=True)
    rows = table.locator("tbody tr")
    rows.first.wait_for()
    good, bad, half, new = (row.locator("td").all_inner_texts() for row in rows.all())
    assert good[3:] == ["1.3 s", "complete", "4", "9", "2", "nothing"]
    assert bad[4] == f"failed status 503 {HOSTILE}"
    assert bad[8] == f"server_error 1, {HOSTILE} 2"
    assert half[3:] == ["unknown", "partial", "0", "0", "0", "nothing"]
    assert (new[4], new[8]) == ("unknown", "bad_price 1\u2009234")
    assert rows.nth(1).get_attribute("class") == "down"
    assert rows.first.get_attribute("class") == ""
    assert "seen" in (rows.nth(2).locator("td").nth(4).get_attribute("title") or "")
    page.get_by_text("The newest 4 runs; older ones are kept.").wait_for()
    assert page.locator(".coverage img").count() == 0
    page.locator(".chips").get_by_role("button", name="other").click()
    page.locator(".chips button[aria-pressed=true]").wait_for()
    page.get_by_text("The newest 1 run;").wait_for()
    assert rows.first.locator("td").first.inner_text() == "other"
    assert "source=other" in page.url


def test_the_services_own_runs_are_shown(two_sites: BoardRig, open_page: Opens) -> None:
    first, second = two_sites.sites
    first.offer([derby()])
    wait_for_run(two_sites, "site-0", lambda run: run.get("events") == 1)
    second.down = True
    wait_for_run(two_sites, "site-1", lambda run: "server_error" in run.get("problems", {}))
    page = open_page(f"{two_sites.address}/?view=coverage")
    rows = page.get_by_role("table", name="Runs", exact=True).locator("tbody tr")

    def runs_of(source: str, with_text: str) -> list[str]:
        """Choose a source; return the cells of its newest run with a text."""
        page.locator(".chips").get_by_role("button", name=source).click()
        page.locator(".chips button[aria-pressed=true]").get_by_text(source).wait_for()
        chosen = rows.filter(has_text=with_text).first
        chosen.wait_for()
        assert set(rows.locator("td:first-child").all_inner_texts()) == {source}
        return chosen.locator("td").all_inner_texts()

    complete = runs_of("site-0", "complete")
    assert complete[1] == "soccer_epl"
    assert (complete[5], complete[6], complete[8]) == ("1", "9", "nothing")
    failed = runs_of("site-1", "server_error 1")
    assert failed[4].startswith("failed")
    assert "503" in failed[4]
    assert failed[5:7] == ["0", "0"]


def wait_for_run(rig: BoardRig, source: str, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until one of the newest stored runs of a source is as wanted."""
    asked = {"sources": source, "pageSize": "50"}

    def stored() -> bool:
        reply = httpx.get(f"{rig.address}/v1/runs", params=asked, timeout=WAIT_S)
        return any(map(wanted, reply.raise_for_status().json().get("runs", [])))

    wait_for(stored, f"a run of {source}")


def test_storage_has_size_and_growth(coverage_address: str, open_page: Opens) -> None:
    page = open_page(f"{coverage_address}/?view=coverage")
    facts = page.locator(".facts dd")
    facts.first.wait_for()
    assert facts.first.inner_text().endswith("B")
    assert facts.nth(1).inner_text() == "not known in the first hour"
    assert page.get_by_role("table", name="Parts of the storage").locator("tr").count() >= 2


def test_a_call_that_fails_leaves_the_rest(rig: BoardRig, open_page: Opens) -> None:
    rig.sites[0].offer([derby()])
    with recorded_calls(rig.address, "/v1/coverage", lacking=("/v1/runs",)) as address:
        page = open_page(f"{address}/?view=coverage")
        page.get_by_role("table", name="Coverage").wait_for()
        page.locator(".facts dd").first.wait_for()
        page.get_by_text("Not read: HTTP 404").wait_for()
        assert page.locator(".coverage section").count() == 4
