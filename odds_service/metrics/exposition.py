"""The metrics as text, and the application that answers scrapes and probes."""

from collections.abc import Callable, Iterable
from typing import Final

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
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from odds_service.access import Tokens
from odds_service.metrics.families import Readings, families

PATH: Final = "/metrics"


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


def exposition(registry: CollectorRegistry, accept: str) -> Response:
    """Return a scrape in the format that the Accept header asks for."""
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # the version is not a number
        encode, content_type = generate_latest, CONTENT_TYPE_PLAIN_0_0_4
    return Response(encode(registry), headers={"content-type": content_type})


def application(
    registry: CollectorRegistry, tokens: Tokens, ready: Callable[[], bool]
) -> Starlette:
    """Return the metrics, and the probes, which need no token: they tell one bit each."""

    async def scrape(request: Request) -> Response:
        authorization = request.headers.get("authorization", "")
        if tokens.asked and tokens.holder(authorization) is None:
            asked = {"www-authenticate": "Bearer"}
            return PlainTextResponse("send a bearer token\n", 401, asked)
        return exposition(registry, request.headers.get("accept", ""))

    async def alive(_: Request) -> Response:
        return PlainTextResponse("ok\n")  # a Trio thread that stalls would not answer

    async def is_ready(_: Request) -> Response:
        if ready():
            return PlainTextResponse("ok\n")
        return PlainTextResponse("not serving\n", 503)

    return Starlette(
        routes=[Route(PATH, scrape), Route("/healthz", alive), Route("/readyz", is_ready)]
    )
