"""The check before a start: everything that a start opens is opened, and nothing is changed."""

from collections.abc import Callable

from odds_service.access import check_http
from odds_service.bridge import open_bridge
from odds_service.bus.probing import probe_bus
from odds_service.certificates import Guard
from odds_service.config import ListenSettings, Role, Settings
from odds_service.ports import is_taken
from odds_service.sources.base import Source
from odds_service.sources.registry import check_names, open_source
from odds_service.storage.probing import probe_store


async def check_start(settings: Settings, tell: Callable[[str], None]) -> None:
    """Tell what would run, a line for each part, once that part was found to be in order.

    No source is asked, and a service that runs on the same settings does not notice.

    Args:
        settings: The checked settings.
        tell: Called with each line.

    Raises:
        OddsServiceError: A start would fail; the text is the one that it would end with.
    """
    check_names(settings.sources)
    if settings.role is not Role.ALL:
        tell(f"node: {settings.role}")
    if not settings.sources and settings.role is not Role.READ:
        tell("sources: none; only what is stored would be served")
    for table in settings.sources:
        async with open_source(table) as source:
            tell(f"source {source.name} ({source.kind}): {_pace(source)}")
    url = settings.database.url.get_secret_value()
    async with open_bridge():
        database = settings.database
        found = await probe_store(
            url,
            migrate=database.migrate,
            adopt=database.adopt,
            spill_folder=database.spill_folder,
        )
    tell(f"database {found}")
    if settings.role is not Role.ALL:
        tell(f"bus: {await probe_bus(settings.bus)}")
    check_http(settings.http, settings.server)
    http = settings.server.model_copy(update={"listen": settings.http.listen})
    ports = (("gRPC", settings.server), ("HTTP", http), ("metrics", settings.metrics))
    for name, port in ports:
        if port.listen:
            tell(f"{name} at {_port(port)}")


def _pace(source: Source) -> str:
    tiers = source.pace.tiers
    if len(tiers) == 1:
        return f"every {tiers[0].interval_s:g} s"
    return "every " + ", ".join(f"{tier.interval_s:g} s ({tier.name})" for tier in tiers)


def _port(settings: ListenSettings) -> str:
    guard = Guard(settings)
    tokens = guard.tokens.count
    guards = [*(["TLS"] if guard.certificates else []), *([f"{tokens} tokens"] if tokens else [])]
    guarded = f" ({', '.join(guards)})" if guards else ""
    host, _, port = settings.listen.rpartition(":")
    taken = is_taken(host, int(port))
    busy = "; now in use, by the running service or another program" if taken else ""
    return f"{settings.listen}{guarded}{busy}"
