"""Metric families, made of one reading of the service."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, generate_latest

from odds_service.metrics.exposition import ServiceCollector
from odds_service.metrics.families import MAX_PROBLEMS, Readings
from odds_service.model.source import SourceState, SourceStatus
from odds_service.status import (
    DELAY_BUCKETS_S,
    LATENCY_BUCKETS_S,
    ChannelFill,
    DelayReport,
    Disk,
    RpcReport,
    ServiceStatus,
    SourceReport,
    StorageReport,
    SubscriberReport,
    TierFreshness,
    WriterReport,
)
from tests.metrics.scraping import Scrape

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SOURCE = SourceReport(
    state=SourceState(
        source="toa",
        interval_s=60.0,
        status=SourceStatus.DOWN,
        last_success_at=NOON - timedelta(seconds=90),
        consecutive_failures=5,
        reason="text of somebody else",
    ),
    kind="the-odds-api",
    next_due_at=None,
    pulls=9,
    failures=5,
    problems={"timeout": 4, "html": 1},
    latency_s=None,
    success_age_s=90.0,
)
NEWCOMER = replace(
    SOURCE,
    state=SourceState(source="new", interval_s=5.0, quota_left=0),
    success_age_s=None,
)
READ = Readings(
    status=ServiceStatus(
        version="1.2.3",
        started_at=NOON,
        now=NOON,
        sources=[SOURCE, NEWCOMER],
        channels=[ChannelFill("write", 7, 100, "changes")],
        writer=WriterReport(
            state="retrying", reason="text of somebody else", lag_s=3.0, pending_changes=7,
            retries=2, dead_letters=1, bridged_s=None, runs_dropped=5,
        ),
        events=3,
        markets=4,
    ),
    head_revision=107,
    durable_revision=100,
    oldest_revision=50,
    bookmakers=2,
    source_events={"toa": 3},
    rpc=RpcReport([], [], 0),
    asyncio_faults=0,
)  # fmt: skip


def shown(read: Readings) -> Scrape:
    registry = CollectorRegistry()
    registry.register(ServiceCollector(lambda: read))
    return Scrape(generate_latest(registry).decode())


def test_states_are_one_of_several() -> None:
    scrape = shown(READ)
    states = {s: scrape.value("odds_source_state", source="toa", state=s)
              for s in ("up", "stale", "down")}  # fmt: skip
    assert states == {"up": 0, "stale": 0, "down": 1}
    assert scrape.value("odds_source_state", source="new", state="stale") == 1
    assert scrape.value("odds_writer_state", state="retrying") == 1
    assert scrape.value("odds_writer_state", state="idle") == 0


def test_dropped_records_of_fetches_are_counted() -> None:
    assert shown(READ).value("odds_writer_runs_dropped_total") == 5


def test_what_is_not_known_is_absent_and_not_0() -> None:
    scrape = shown(READ)
    assert scrape.value("odds_source_last_success_age_seconds", source="toa") == 90
    assert scrape.value("odds_source_quota_left", source="new") == 0
    for name, source in (
        ("odds_source_last_success_age_seconds", "new"),
        ("odds_source_quota_left", "toa"),
        ("odds_source_last_pull_seconds", "toa"),
    ):
        assert (name, frozenset({("source", source)})) not in scrape.samples
    assert "odds_writer_bridged_seconds" not in scrape.names
    assert "odds_storage_wal_bytes" not in scrape.names
    assert shown(replace(READ, wal_bytes=0)).value("odds_storage_wal_bytes") == 0


def test_no_text_of_others_and_no_peer_is_shown() -> None:
    assert "somebody else" not in shown(READ).text


@pytest.mark.parametrize("kinds", [MAX_PROBLEMS, MAX_PROBLEMS + 1, 1_000])
def test_kinds_of_problem_are_bounded_and_none_is_lost(kinds: int) -> None:
    problems = {f"p{number}": number + 1 for number in range(kinds)} | {"other": 5}
    status = replace(READ.status, sources=[replace(SOURCE, problems=problems)])
    scrape = shown(replace(READ, status=status))
    counted = {k: v for k, v in scrape.samples.items() if k[0] == "odds_source_problems_total"}
    assert len(counted) <= MAX_PROBLEMS + 1
    assert sum(counted.values()) == sum(problems.values())


def test_markets_are_told_by_result_and_never_by_name() -> None:
    source = replace(SOURCE, mapped=40, unmapped=7, unmapped_names={"somebody else's": 7})
    scrape = shown(replace(READ, status=replace(READ.status, sources=[source])))
    told = [
        scrape.value("odds_source_markets_total", source="toa", result=result)
        for result in ("mapped", "unmapped")
    ]
    assert told == [40, 7]
    assert "somebody else" not in scrape.text


def test_freshness_is_told_by_tier() -> None:
    tier = TierFreshness(tier="soon", target_s=30.0, pulls=8, fresh=7, in_time=100, late=3)
    status = replace(READ.status, sources=[replace(SOURCE, freshness=[tier]), NEWCOMER])
    scrape = shown(replace(READ, status=status))
    told = {
        name: scrape.value(f"odds_source_tier_{name}", source="toa", tier="soon")
        for name in ("target_seconds", "pulls", "fresh_pulls", "in_time_total", "late_total")
    }
    assert list(told.values()) == [30, 8, 7, 100, 3]


def test_what_is_no_name_is_no_label() -> None:
    problems = {"timeout": 1, "a key of somebody": 2, "x" * 41: 3, "": 4}
    status = replace(READ.status, sources=[replace(SOURCE, problems=problems)])
    scrape = shown(replace(READ, status=status))
    assert scrape.value("odds_source_problems_total", problem="timeout") == 1
    assert scrape.value("odds_source_problems_total", problem="other") == 9


def test_lag_is_a_distribution_of_all_streams_and_a_maximum() -> None:
    subscribers = [
        SubscriberReport(0, 0.0, False),
        SubscriberReport(0, 0.0, False),
        SubscriberReport(50, 0.5, False),
        SubscriberReport(200_000, 1_000.0, True),
    ]
    scrape = shown(replace(READ, rpc=RpcReport([], subscribers, 0)))
    assert scrape.value("odds_subscribers") == 4
    assert scrape.value("odds_subscribers_replaying") == 1
    assert scrape.value("odds_subscriber_lag_max_changes") == 200_000
    assert scrape.value("odds_subscriber_lag_max_seconds") == 1_000
    for name, bound, count in (
        ("changes", "0.0", 2), ("changes", "100.0", 3), ("changes", "100000.0", 3),
        ("changes", "+Inf", 4), ("seconds", "0.1", 2), ("seconds", "1.0", 3),
        ("seconds", "900.0", 3), ("seconds", "+Inf", 4),
    ):  # fmt: skip
        assert scrape.value(f"odds_subscriber_lag_{name}_bucket", le=bound) == count


def test_latency_buckets_ascend() -> None:
    assert list(LATENCY_BUCKETS_S) == sorted(set(LATENCY_BUCKETS_S))


def test_delays_are_cumulative_histograms_by_tier_and_stage() -> None:
    buckets = [0] * (len(DELAY_BUCKETS_S) + 1)
    buckets[0], buckets[2], buckets[-1] = 5, 3, 1
    delay = DelayReport("observed_sent", buckets, 90_000.0, [0] * len(buckets))
    tier = TierFreshness(
        tier="hour", target_s=60.0, pulls=1, fresh=1, in_time=1, late=0, delays=[delay]
    )
    source = replace(SOURCE, freshness=[tier], clock_ahead=7)
    scrape = shown(replace(READ, status=replace(READ.status, sources=[source, NEWCOMER])))
    where = {"source": "toa", "tier": "hour", "stage": "observed_sent"}
    name = "odds_delay_seconds"
    assert scrape.value(f"{name}_bucket", le=str(DELAY_BUCKETS_S[0]), **where) == 5
    assert scrape.value(f"{name}_bucket", le=str(DELAY_BUCKETS_S[-1]), **where) == 8
    assert scrape.value(f"{name}_bucket", le="+Inf", **where) == 9
    assert scrape.value(f"{name}_count", **where) == 9
    assert scrape.value(f"{name}_sum", **where) == 90_000
    assert not any(
        key[0].startswith(name) and ("source", "new") in key[1] for key in scrape.samples
    )
    foreign = "odds_delay_foreign_clock_total"
    assert scrape.value(foreign, source="toa", clock="ahead") == 7


def test_a_size_that_is_not_known_is_absent() -> None:
    names = shown(READ).names
    assert not {name for name in names if name.startswith(("odds_storage", "odds_disk"))}
    storage = StorageReport(
        measured_at=NOON, parts={"database": 7, "wal": 0}, disks=[Disk("spill", 3, 9)]
    )
    scrape = shown(replace(READ, status=replace(READ.status, storage=storage)))
    assert scrape.value("odds_storage_bytes", part="database") == 7
    assert scrape.value("odds_storage_bytes", part="wal") == 0
    assert scrape.value("odds_disk_free_bytes", place="spill") == 3
    assert scrape.value("odds_disk_size_bytes", place="spill") == 9
    assert "odds_storage_growth_bytes_per_day" not in scrape.names
