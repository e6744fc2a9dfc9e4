"""The coverage view in a real browser: gaps, markets without a name, runs, storage."""

from collections.abc import Iterator

import pytest

from tests.board.conftest import Opens
from tests.board.offers import derby
from tests.board.recorded_calls import HOSTILE, recorded_calls
from tests.board.rig import BoardRig
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


def test_runs_tell_length_end_and_what_was_skipped(coverage_address: str, open_page: Opens) -> None:
    page = open_page(f"{coverage_address}/?view=coverage")
    rows = page.get_by_role("table", name="Runs", exact=True).locator("tbody tr")
    rows.first.wait_for()
    good, bad = rows.all()
    assert good.locator("td").all_inner_texts()[3:] == [
        "1.3 s",
        "success",
        "4",
        "9",
        "2",
        "nothing",
    ]
    assert bad.locator("td").all_inner_texts()[4] == "failed status 503"
    assert bad.locator("td").last.inner_text() == "bad_price 2"
    page.locator(".chips").get_by_role("button", name="other").click()
    page.locator(".chips button[aria-pressed=true]").wait_for()
    rows.first.get_by_text("other").wait_for()
    assert rows.count() == 1
    assert "source=other" in page.url


def test_storage_has_size_and_growth(coverage_address: str, open_page: Opens) -> None:
    page = open_page(f"{coverage_address}/?view=coverage")
    facts = page.locator(".facts dd")
    facts.first.wait_for()
    assert facts.first.inner_text().endswith("B")
    assert facts.nth(1).inner_text() == "not known in the first hour"
    assert page.get_by_role("table", name="Parts of the storage").locator("tr").count() >= 2


def test_a_call_that_the_service_lacks_leaves_the_rest(rig: BoardRig, open_page: Opens) -> None:
    rig.sites[0].offer([derby()])
    with recorded_calls(rig.address, "/v1/coverage", lacking=("/v1/runs",)) as address:
        page = open_page(f"{address}/?view=coverage")
        page.get_by_role("table", name="Coverage").wait_for()
        page.locator(".facts dd").first.wait_for()
        page.get_by_text("This service has no such call.").wait_for()
        assert page.locator(".coverage section").count() == 4
