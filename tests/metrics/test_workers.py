"""The metrics of worker processes."""

from msgspec.structs import replace

from odds_service.status import WorkerReport
from tests.metrics.scraping import Scrape
from tests.metrics.test_families import READ, shown

WORKERS = [
    WorkerReport(number=1, up=True, sources=3, restarts=0, cpu_s=12.5, memory_bytes=60_000_000),
    WorkerReport(number=2, up=False, sources=1, restarts=4, cpu_s=3.0, memory_bytes=0),
]


def scraped(reports: list[WorkerReport]) -> Scrape:
    return shown(replace(READ, status=replace(READ.status, workers=reports)))


def test_a_service_without_workers_has_none_of_them() -> None:
    assert not {name for name in scraped([]).names if name.startswith("odds_worker_")}


def test_each_worker_is_told_by_its_number() -> None:
    scrape = scraped(WORKERS)
    assert (
        scrape.value("odds_worker_up", worker="1"),
        scrape.value("odds_worker_up", worker="2"),
    ) == (1, 0)
    assert scrape.value("odds_worker_sources", worker="1") == 3
    assert scrape.value("odds_worker_restarts_total", worker="2") == 4
    assert scrape.value("odds_worker_cpu_seconds_total", worker="1") == 12.5
    assert scrape.value("odds_worker_memory_bytes", worker="1") == 60_000_000
