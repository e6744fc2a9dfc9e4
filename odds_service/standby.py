"""The metrics and probes of an ingest node that stands by: no other door is open then."""

from collections.abc import Callable
from datetime import datetime

import trio

from odds_service import __version__
from odds_service.config import Role, Settings
from odds_service.line_queue import lost_prints
from odds_service.metrics.families import Readings
from odds_service.metrics.serve import serve_metrics
from odds_service.status import IDLE_WRITER, BusReport, RpcReport, ServiceStatus


class Standing:
    """The open door of a standby; its port is free again after close()."""

    def __init__(self) -> None:
        self._scope = trio.CancelScope()
        self._ended = trio.Event()

    async def run(
        self,
        settings: Settings,
        now: Callable[[], datetime],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until closed or cancelled; without a bus, or without metrics, do nothing.

        `/healthz` answers 200 and `/readyz` 503, as this node takes no calls.

        Args:
            settings: The settings of the node.
            now: Returns the wall clock.
            task_status: Told once the door is open.

        Raises:
            SettingsError: The address cannot be bound.
        """
        started_at = now()
        try:
            if settings.role is Role.INGEST and settings.metrics.listen:
                with self._scope:
                    async with trio.open_nursery() as nursery:
                        await nursery.start(
                            lambda *, task_status: serve_metrics(
                                settings.metrics,
                                lambda: standby_readings(started_at, now()),
                                ready=lambda: False,
                                task_status=task_status,
                            )
                        )
                        task_status.started()
            else:
                task_status.started()
        finally:
            self._ended.set()

    async def close(self) -> None:
        """Close the door, and wait until its port is free."""
        self._scope.cancel()
        await self._ended.wait()


def standby_readings(started_at: datetime, now: datetime) -> Readings:
    """Return the readings of a node that stands by: it has nothing but its state."""
    return Readings(
        status=ServiceStatus(
            version=__version__,
            started_at=started_at,
            now=now,
            sources=[],
            channels=[],
            writer=IDLE_WRITER,
            events=0,
            markets=0,
            log_lines_lost=lost_prints(),
            bus=BusReport(role=Role.INGEST.value, state="standby"),
        ),
        head_revision=0,
        durable_revision=0,
        oldest_revision=0,
        bookmakers=0,
        source_events={},
        rpc=RpcReport([], [], 0),
        asyncio_faults=0,
    )  # fmt: skip
