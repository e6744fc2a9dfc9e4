"""The metrics of worker processes; a service without workers has none of them."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import Metric

from odds_service.metrics.building import counter, gauge
from odds_service.status import WorkerReport


def worker_families(reports: Sequence[WorkerReport]) -> Iterator[Metric]:
    """Yield the metrics of the workers, with their numbers as labels."""
    if not reports:
        return

    def each(name: str) -> list[tuple[tuple[str, ...], float]]:
        return [((str(report.number),), getattr(report, name)) for report in reports]

    yield gauge("odds_worker_up", "1 while its process runs.", each("up"), "worker")
    yield gauge("odds_worker_sources", "Sources that it fetches.", each("sources"), "worker")
    restarts = "Times that it was started again, since it had ended or did not answer."
    yield counter("odds_worker_restarts", restarts, each("restarts"), "worker")
    cpu = "Processor time of all its processes."
    yield counter("odds_worker_cpu_seconds", cpu, each("cpu_s"), "worker")
    memory = "The most resident memory that its present process has had."
    yield gauge("odds_worker_memory_bytes", memory, each("memory_bytes"), "worker")
