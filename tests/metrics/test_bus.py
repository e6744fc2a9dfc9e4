"""The metrics of the bus, by role."""

import pytest
from msgspec.structs import replace

from odds_service.metrics.bus import STATES
from odds_service.status import BusReport
from tests.metrics.scraping import Scrape
from tests.metrics.test_families import READ, shown

INGEST = BusReport(
    role="ingest", state="sending", messages=12, pending_changes=5, capacity=100,
    acknowledged=12, ack_total_s=0.6, tails_rewritten=1, sequence=40, upstream="text of others",
)  # fmt: skip
FOLLOWER = BusReport(
    role="read", state="following", messages=30, sequence=39, sequence_lag=1, lag_s=0.25,
    clock_ahead_s=-1.5, rebuilds=2, upstream="text of others", upstream_age_s=0.5,
    reason="text of others",
)  # fmt: skip


def scraped(report: BusReport | None) -> Scrape:
    return shown(replace(READ, status=replace(READ.status, bus=report)))


def named(scrape: Scrape) -> set[str]:
    return {name for name in scrape.names if name.startswith("odds_bus_")}


def test_a_process_without_a_bus_has_none_of_them() -> None:
    assert named(scraped(None)) == set()


@pytest.mark.parametrize(
    ("role", "state"), [(role, state) for role, states in STATES.items() for state in states]
)
def test_exactly_one_state_is_the_present_one(role: str, state: str) -> None:
    scrape = scraped(BusReport(role=role, state=state))
    told = {s: scrape.value("odds_bus_state", role=role, state=s) for s in STATES[role]}
    assert told == {each: float(each == state) for each in STATES[role]}


def test_an_ingest_node_tells_of_its_outbox() -> None:
    scrape = scraped(INGEST)
    assert {name: scrape.value(name) for name in named(scrape) - {"odds_bus_state"}} == {
        "odds_bus_messages_total": 12,
        "odds_bus_sequence": 40,
        "odds_bus_outbox_changes": 5,
        "odds_bus_outbox_capacity": 100,
        "odds_bus_acknowledged_total": 12,
        "odds_bus_acknowledged_seconds_total": 0.6,
        "odds_bus_tails_rewritten_total": 1,
        "odds_bus_fenced": 0,
    }
    assert scraped(replace(INGEST, fenced=True)).value("odds_bus_fenced") == 1


def test_a_read_node_tells_how_far_behind_it_is() -> None:
    scrape = scraped(FOLLOWER)
    assert {name: scrape.value(name) for name in named(scrape) - {"odds_bus_state"}} == {
        "odds_bus_messages_total": 30,
        "odds_bus_sequence": 39,
        "odds_bus_lag_messages": 1,
        "odds_bus_lag_seconds": 0.25,
        "odds_bus_clock_ahead_seconds": -1.5,
        "odds_bus_rebuilds_total": 2,
        "odds_bus_upstream_age_seconds": 0.5,
    }


def test_what_is_not_known_is_absent_and_no_text_is_a_label() -> None:
    scrape = scraped(replace(FOLLOWER, lag_s=None, clock_ahead_s=None, upstream_age_s=None))
    absent = {"odds_bus_lag_seconds", "odds_bus_clock_ahead_seconds",
              "odds_bus_upstream_age_seconds"}  # fmt: skip
    assert named(scrape) == named(scraped(FOLLOWER)) - absent
    assert "text of others" not in scraped(FOLLOWER).text + scraped(INGEST).text
