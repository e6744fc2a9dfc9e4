"""The HTTP server of the metrics, on a separate address."""

from collections.abc import Callable, Iterable
from typing import Final

import structlog
import trio
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder
from prometheus_client.registry import Collector

from odds_service.certificates import Guard
from odds_service.config import MetricsSettings
from odds_service.errors import SettingsError
from odds_service.http_server.message import Request, Response
from odds_service.http_server.server import HttpLimits, serve_http
from odds_service.metrics.families import Readings, families

PATH: Final = "/metrics"
LIMITS: Final = HttpLimits(connections=64, body_bytes=0)
_TEXT: Final = "text/plain; charset=utf-8"

log = structlog.get_logger(__name__)


class ServiceCollector(Collector):
    """A collector that reads the service at each scrape, in the thread of the scrape."""

    def __init__(self, read: Callable[[], Readings]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Return nothing, since registration must not read a service that is not running yet."""
        return ()

    def collect(self) -> Iterable[Metric]:
        return families(self._read())


def registry_of(read: Callable[[], Readings]) -> CollectorRegistry:
    """Return a registry with the metrics of the service, its process and its interpreter."""
    registry = CollectorRegistry()
    registry.register(ServiceCollector(read))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


async def serve_metrics(
    settings: MetricsSettings,
    read: Callable[[], Readings],
    guard: Guard | None = None,
    *,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve metrics until cancelled; started() passes the bound address.

    A failed scrape is logged, and the client gets a 500.

    Args:
        settings: the address, tokens and TLS files.
        read: called in this thread, once per scrape.
        guard: the tokens and certificates, which a reload replaces; None for the settings' own.
        task_status: for nursery.start().

    Raises:
        SettingsError: The settings are invalid, or the address cannot be bound.
    """
    guard = guard or Guard(settings)
    tokens, certificates = guard.tokens, guard.certificates
    tls = None if certificates is None else lambda: certificates.current().context
    host, _, port = settings.listen.rpartition(":")
    registry = registry_of(read)

    async def answer(request: Request) -> Response:  # noqa: ASYNC124  # an App is async
        if tokens.asked and tokens.holder(request.header("authorization")) is None:
            asked = [("www-authenticate", "Bearer")]
            return Response(401, b"send a bearer token\n", asked, content_type=_TEXT)
        if request.path != PATH:
            return Response(404, f"metrics are at {PATH}\n".encode(), content_type=_TEXT)
        if request.method not in {"GET", "HEAD"}:
            return Response(405, b"", [("allow", "GET, HEAD")], content_type=_TEXT)
        try:
            encode, content_type = choose_encoder(request.header("accept"))
        except (TypeError, ValueError):  # the version is not a number
            encode, content_type = generate_latest, CONTENT_TYPE_PLAIN_0_0_4
        return Response(body=encode(registry), content_type=content_type)

    async with trio.open_nursery() as nursery:
        try:
            bound: int = await nursery.start(
                lambda *, task_status: serve_http(
                    answer, host=host.strip("[]"), port=int(port), gzip=True, tls=tls,
                    limits=LIMITS, task_status=task_status,
                )
            )  # fmt: skip
        except OSError as error:
            reason = error.strerror or type(error).__name__
            text = f"metrics.listen: cannot listen on {settings.listen}: {reason}"
            raise SettingsError(text) from None
        address = f"{host}:{bound}"
        log.info("metrics_serving", address=address, path=PATH)
        task_status.started(address)
