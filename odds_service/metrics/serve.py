"""The HTTP server of the metrics and probes, on a separate address."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
import trio

from odds_service.certificates import Guard
from odds_service.config import MetricsSettings
from odds_service.errors import SettingsError

if TYPE_CHECKING:
    from odds_service.metrics.families import Readings

CONNECTIONS: Final = 64

log = structlog.get_logger(__name__)


async def serve_metrics(
    settings: MetricsSettings,
    read: "Callable[[], Readings]",
    guard: Guard | None = None,
    *,
    ready: Callable[[], bool] = lambda: True,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve metrics and probes until cancelled; started() passes the bound address.

    It returns at once, with an empty address, if they are off. A failed scrape is logged, and the
    client gets a 500.

    Args:
        settings: the address, tokens and TLS files.
        read: called in this thread, once per scrape.
        guard: the tokens and certificates, which a reload replaces; None for the settings' own.
        ready: returns whether the service takes calls.
        task_status: for nursery.start().

    Raises:
        SettingsError: The settings are invalid, or the address cannot be bound.
    """
    if not settings.listen:
        task_status.started("")
        return
    # A service without metrics is spared the libraries.
    from odds_service.asgi import Limits, serve_app
    from odds_service.metrics.exposition import PATH, application, registry_of

    guard = guard or Guard(settings)
    certificates = guard.certificates
    tls = None if certificates is None else lambda: certificates.current().context
    host, _, port = settings.listen.rpartition(":")
    serve = partial(
        serve_app,
        application(registry_of(read), guard.tokens, ready),
        host=host.strip("[]"),
        port=int(port),
        gzip=True,
        tls=tls,
        limits=Limits(connections=CONNECTIONS, body_bytes=0),
    )
    async with trio.open_nursery() as nursery:
        try:
            bound: int = await nursery.start(serve)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            text = f"metrics.listen: cannot listen on {settings.listen}: {reason}"
            raise SettingsError(text) from None
        address = f"{host}:{bound}"
        log.info("metrics_serving", address=address, path=PATH)
        task_status.started(address)
