"""Two settings files, one after the other, on one database: the second one applies."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odds_service.config import Settings
from odds_service.demo import names
from odds_service.demo.bookmaker import SimulatedBookmaker
from odds_service.demo.settings import SimulationSettings
from odds_service.service import Running
from tests.e2e.test_life import bookmaker
from tests.support.serving import service, settings_for, wait_until

STILL = SimulationSettings(
    sports=2, events=4, bookmakers=3, markets_per_bookmaker=6, pace="clock", step_s=1e9
)
OFFER = SimulatedBookmaker(STILL)
BY_RUN = {"epochs", "scrape_runs", "feed_state"}  # they change at each start, not with odds


def some(keys: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(sorted(keys)), min_size=1, unique=True)


tables = st.fixed_dictionaries(
    {"sports": some(OFFER.sport_keys), "markets": some(list(OFFER.market_keys)),
     "name": st.sampled_from(["first", "second"])},
    optional={"bookmakers": some([key for key, _title in names.bookmakers(STILL.bookmakers)])},
)  # fmt: skip
files = st.lists(tables, max_size=2, unique_by=lambda table: str(table["name"]))


def rows_of(path: Path) -> dict[str, int]:
    """Count the rows of each table."""
    with closing(sqlite3.connect(path)) as database:
        kept = [
            name
            for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if name not in BY_RUN
        ]
        return {
            name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # noqa: S608  # a table's own name
            for name in kept
        }


def settings_of(folder: Path, port: int, wanted: list[dict[str, Any]]) -> Settings:
    base = settings_for(folder, port, ["none"], interval_s=0.05, regions=list(STILL.regions))
    return base.model_copy(update={"sources": [base.sources[0] | table for table in wanted]})


async def scraped(running: Running) -> None:
    """Wait until each source was read completely and all its odds are stored."""
    for name, scraper in running.parts.scrapers.items():
        sports = len(running.parts.asks[name].listings or ())
        wanted = scraper.counts.pulls + 2 * sports + 1
        await wait_until(lambda s=scraper, w=wanted: s.counts.pulls >= w, "pulls")  # type: ignore[misc]  # bound now
    feed = running.parts.feed
    await wait_until(lambda: feed.durable_revision == feed.head_revision, "stored")


async def run_twice(
    folder: Path, first: list[dict[str, Any]], second: list[dict[str, Any]]
) -> None:
    async with bookmaker(STILL) as (port, _table):
        async with service(settings_of(folder, port, first)) as running:
            await scraped(running)
            wanted = len(running.parts.scrapers)
            await wait_until(
                lambda: rows_of(folder / "odds.db")["source_asks"] == wanted, "asks stored"
            )
            held = {name: entry.bookmakers for name, entry in running.parts.cache.events.items()}
        before = rows_of(folder / "odds.db")
        async with service(settings_of(folder, port, second)) as running:
            await scraped(running)
            asked = running.parts.asks
            for entry in running.parts.cache.events.values():
                for (source, name), odds in entry.bookmakers.items():
                    if not second:
                        assert (
                            odds.markets.keys() == held[entry.event.id][source, name].markets.keys()
                        )
                        continue
                    asks = asked[source]
                    assert entry.sources[source].listing in (asks.listings or ())
                    assert asks.bookmakers is None or name in asks.bookmakers
                    shown = {key.market.removesuffix("_lay") for key in odds.markets}
                    assert shown <= (asks.markets or set())
                    assert not odds.doubted
        if sorted(first, key=str) == sorted(second, key=str):
            assert rows_of(folder / "odds.db") == before


@given(first=files, second=files)
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_two_settings_files(
    tmp_path_factory: pytest.TempPathFactory,
    first: list[dict[str, Any]],
    second: list[dict[str, Any]],
) -> None:
    trio.run(run_twice, tmp_path_factory.mktemp("settings"), first, second)


@pytest.mark.long
@given(first=files, second=files)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_two_settings_files_long(
    tmp_path_factory: pytest.TempPathFactory,
    first: list[dict[str, Any]],
    second: list[dict[str, Any]],
) -> None:
    trio.run(run_twice, tmp_path_factory.mktemp("settings"), first, second)


async def test_equal_settings_write_no_row(tmp_path: Path) -> None:
    wanted = [{"sports": OFFER.sport_keys, "markets": ["h2h", "totals"], "name": "first"}]
    await run_twice(tmp_path, wanted, wanted)


async def test_narrowed_types_and_sports_go_with_their_reason(tmp_path: Path) -> None:
    wide = [{"sports": OFFER.sport_keys, "markets": ["h2h", "totals"], "name": "first"}]
    await run_twice(
        tmp_path, wide, [wide[0] | {"sports": OFFER.sport_keys[:1], "markets": ["h2h"]}]
    )
    with closing(sqlite3.connect(tmp_path / "odds.db")) as database:
        reasons = dict(
            database.execute(
                "SELECT kind, count(*) FROM odds_history WHERE reason = 'no_longer_asked'"
                " GROUP BY kind"
            ).fetchall()
        )
    assert len(reasons) == 2  # events that ended, and markets that went
    assert min(reasons.values()) >= 2
