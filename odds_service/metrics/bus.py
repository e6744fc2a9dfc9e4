"""The metrics of a node's side of the bus; a process without a bus has none of them."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric

from odds_service.metrics.building import Values, counter, gauge
from odds_service.status import BusReport

STATES: Final = {
    "ingest": ("standby", "taking_over", "sending", "retrying"),
    "read": ("starting", "following", "catching_up", "rebuilding", "away"),
}


def bus_families(report: BusReport | None) -> Iterator[Metric]:
    """Yield the metrics of the bus; families of the other role have no samples."""
    if report is None:
        return
    states = [
        ((report.role, state), state == report.state) for state in STATES.get(report.role, ())
    ]
    yield gauge("odds_bus_state", "1 for the current state.", states, "role", "state")
    messages = "Messages of the log stored (ingest) or applied (read)."
    yield counter("odds_bus_messages", messages, report.messages)
    sequence = "Place of the last message stored or applied; meaningless after the log lost some."
    yield gauge("odds_bus_sequence", sequence, report.sequence)
    yield from _ingest(report) if report.role == "ingest" else _read(report)


def _ingest(report: BusReport) -> Iterator[Metric]:
    pending = "Changes that the bus has not acknowledged."
    yield gauge("odds_bus_outbox_changes", pending, report.pending_changes)
    capacity = "Changes in the outbox from which scraping holds."
    yield gauge("odds_bus_outbox_capacity", capacity, report.capacity)
    yield counter("odds_bus_acknowledged", "Appends that were acknowledged.", report.acknowledged)
    delay = "Total time from an append to its acknowledgement."
    yield counter("odds_bus_acknowledged_seconds", delay, report.ack_total_s)
    tails = "Times that the bus had lost acknowledged messages, which were written again."
    yield counter("odds_bus_tails_rewritten", tails, report.tails_rewritten)
    fenced = "1 once another node has taken the log over; this one ends."
    yield gauge("odds_bus_fenced", fenced, report.fenced)


def _read(report: BusReport) -> Iterator[Metric]:
    behind = "Messages of the log that this node has not applied."
    yield gauge("odds_bus_lag_messages", behind, report.sequence_lag)
    age = "Age of the newest message applied; one comes each second at least."
    yield gauge("odds_bus_lag_seconds", age, _known(report.lag_s))
    ahead = "This node's clock less that of the ingest node, as the promptest message tells."
    yield gauge("odds_bus_clock_ahead_seconds", ahead, _known(report.clock_ahead_s))
    rebuilds = "Times that the odds were loaded from the database again."
    yield counter("odds_bus_rebuilds", rebuilds, report.rebuilds)
    upstream = "Time since the active ingest node was last heard of; absent if never."
    yield gauge("odds_bus_upstream_age_seconds", upstream, _known(report.upstream_age_s))


def _known(value: float | None) -> Values:
    return [] if value is None else [((), value)]
