"""Scrapes of a running service, as Prometheus makes them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from odds_service.config import MetricsSettings
from odds_service.service import Running
from tests.e2e.test_life import bookmaker
from tests.support.serving import service, settings_for, wait_until

LOCAL = MetricsSettings(listen="127.0.0.1:0")


class Scrape:
    """A parsed answer of `/metrics`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        self.names = {name for name, _ in self.samples}

    def value(self, name: str, **labels: str) -> float:
        """Return the only sample that has these labels, among others."""
        wanted = set(labels.items())
        (value,) = (v for (n, has), v in self.samples.items() if n == name and wanted <= has)
        return value

    def labels(self, label: str) -> set[str]:
        """Return all values of a label."""
        return {value for _, has in self.samples for name, value in has if name == label}


async def scrape(running: Running) -> Scrape:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://{running.metrics}/metrics", timeout=30)
    assert answer.status_code == 200, answer.text
    return Scrape(answer.text)


@asynccontextmanager
async def measured(
    folder: Path, simulation: Any, *, metrics: MetricsSettings = LOCAL, **table: Any
) -> AsyncIterator[Running]:
    """Yield a service with metrics over a simulated bookmaker, once it has stored some odds."""
    async with bookmaker(simulation) as (port, offered):
        settings = settings_for(folder, port, **(offered | table))  # type: ignore[arg-type]  # a table
        async with service(settings.model_copy(update={"metrics": metrics})) as running:
            feed = running.parts.feed
            await wait_until(lambda: 0 < feed.head_revision == feed.durable_revision, "odds")
            yield running
