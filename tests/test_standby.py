"""The door of an ingest node that stands by: its state and probes, at a port that it gives back."""

from datetime import UTC, datetime
from functools import partial

import httpx
import pytest
import trio

from odds_service.config import MetricsSettings, Role, Settings
from odds_service.errors import SettingsError
from odds_service.standby import Standing
from tests.metrics.scraping import Scrape
from tests.support.ports import free_port

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def settings(role: Role = Role.INGEST, listen: str = "") -> Settings:
    listen = listen or f"127.0.0.1:{free_port()}"
    return Settings().model_copy(update={"role": role, "metrics": MetricsSettings(listen=listen)})


async def got(given: Settings, path: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(f"http://{given.metrics.listen}{path}", timeout=30)


async def test_it_tells_that_it_stands_by_and_takes_no_calls() -> None:
    given, standing = settings(), Standing()
    async with trio.open_nursery() as nursery:
        await nursery.start(standing.run, given, lambda: NOON)
        scrape = Scrape((await got(given, "/metrics")).text)
        assert scrape.value("odds_bus_state", role="ingest", state="standby") == 1
        assert scrape.value("odds_bus_state", role="ingest", state="sending") == 0
        assert scrape.value("odds_bus_fenced") == 0
        assert (await got(given, "/healthz")).status_code == 200
        assert (await got(given, "/readyz")).status_code == 503
        await standing.close()
        again = Standing()  # as the owner's own metrics take the port
        await nursery.start(again.run, given, lambda: NOON)
        await again.close()


@pytest.mark.parametrize("role", [Role.ALL, Role.READ])
async def test_other_roles_have_no_such_door(role: Role) -> None:
    given, standing = settings(role), Standing()
    async with trio.open_nursery() as nursery:
        await nursery.start(standing.run, given, lambda: NOON)
        with pytest.raises(httpx.ConnectError):
            await got(given, "/healthz")
        await standing.close()


async def test_without_metrics_there_is_no_door() -> None:
    standing = Standing()
    given = Settings().model_copy(update={"role": Role.INGEST})
    async with trio.open_nursery() as nursery:
        await nursery.start(standing.run, given, lambda: NOON)
        await standing.close()


async def test_a_port_that_is_taken_ends_the_start() -> None:
    first, given = Standing(), settings()
    async with trio.open_nursery() as nursery:
        await nursery.start(first.run, given, lambda: NOON)
        with pytest.RaisesGroup(
            pytest.RaisesExc(SettingsError, match="metrics.listen: cannot listen"),
            flatten_subgroups=True,
        ):
            async with trio.open_nursery() as other:
                await other.start(partial(Standing().run, given), lambda: NOON)
        await first.close()
