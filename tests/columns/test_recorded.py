"""Files of recorded series answer what analysts ask, read with pandas and polars alone.

The answers are compared with a fold of the bodies that shares no code with the service.
"""

import json
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import pandas as pd
import polars as pl
import pyarrow.compute as pc
import pyarrow.parquet as parquet
import pytest
import trio

from odds_service.columns.exporting import export_file, export_folder
from odds_service.columns.files import ParquetWriter
from odds_service.columns.schema import PRICES
from odds_service.filters.selection import EVERYTHING
from odds_service.store import WriteGroup, unreported
from tests.support.databases import SqlitePlace
from tests.support.oracle import is_american, markets_of
from tests.support.recorded import ODDS_API, needs_recorded
from tests.support.recorded_log import recorded_commits, timed_bodies

pytestmark = needs_recorded

SERIES: Final = ODDS_API / "nfl_week1_20250910-15.zip"

Prices = dict[str, float]  # outcome -> price
Place = tuple[str, str, str, float | None]  # event, bookmaker, market, line


class Polls:
    """The bodies, folded: at each poll, each event's start and each market's prices."""

    def __init__(self) -> None:
        self.polls: list[tuple[datetime, dict[str, datetime], dict[Place, Prices]]] = []
        for at, body in timed_bodies(SERIES):
            events = json.loads(body)
            american = is_american(events)
            held: dict[Place, Prices] = {}
            for event in events:
                for key, outcomes in markets_of(event, american).items():
                    line = None if key.line is None else float(key.line)
                    place = (key.event, key.bookmaker, key.market, line)
                    held[place] = {name: float(p) for name, p in outcomes if p is not None}
            starts = {e["id"]: datetime.fromisoformat(e["commence_time"]) for e in events}
            self.polls.append((at, starts, held))

    def events(self) -> list[str]:
        """Return the events that every poll has until their start, and that have started."""
        starts = {event: at for _, listed, _ in self.polls for event, at in listed.items()}
        last = self.polls[-1][0]
        return sorted(
            event
            for event, start in starts.items()
            if start < last and all(event in listed for at, listed, _ in self.polls if at < start)
        )

    def first_moves(self, event: str) -> set[tuple[datetime, str]]:
        """Return the first poll that changed prices of a standing h2h, and the bookmakers."""
        for (_, _, before), (at, _, after) in pairwise(self.polls):
            places = [place for place in after if (place[0], place[2]) == (event, "h2h")]
            moved = {p[1] for p in places if p in before and before[p] != after[p]}
            if moved:
                return {(at, bookmaker) for bookmaker in moved}
        return set()

    def margins(self, event: str) -> dict[tuple[str, int], float]:
        """Return the last new margin of h2h by bookmaker and whole hours to the start."""
        found: dict[tuple[str, int], float] = {}
        before: dict[Place, Prices] = {}
        for at, starts, held in self.polls:
            for place, prices in held.items():
                if (place[0], place[2]) == (event, "h2h") and before.get(place) != prices:
                    hours = int((starts[event] - at).total_seconds() // 3600)
                    found[place[1], hours] = sum(1 / price for price in prices.values()) - 1
            before = held
        return found

    def closing(self, event: str) -> dict[tuple[str, str, float | None, str], float]:
        """Return the prices at the last poll before the start."""
        _, _, held = [poll for poll in self.polls if poll[0] < poll[1].get(event, poll[0])][-1]
        return {
            (bookmaker, market, line, outcome): price
            for (of, bookmaker, market, line), prices in held.items()
            if of == event
            for outcome, price in prices.items()
        }


@pytest.fixture(scope="module")
def polls() -> Polls:
    return Polls()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with two exports of the series: `all`, a folder, and `one.parquet`."""
    folder = tmp_path_factory.mktemp("recorded")

    async def export() -> None:
        async with SqlitePlace(folder).begun() as (store, _):
            await store.write(WriteGroup(recorded_commits(SERIES)))
            await export_folder(store, folder / "all", EVERYTHING, {}, unreported)
            await export_file(
                store, folder / "one.parquet", partial(ParquetWriter, table=PRICES),
                EVERYTHING, {}, unreported,
            )  # fmt: skip

    trio.run(export)
    return folder


def test_pyarrow_tells_who_moved_first(exported: Path, polls: Polls) -> None:
    table = parquet.read_table(exported / "one.parquet")
    before, after = table["price_before"], table["price_after"]
    moved = table.filter(pc.and_(pc.equal(table["market"], "h2h"), pc.not_equal(before, after)))
    events = polls.events()
    assert len(events) > 5
    found = 0
    for event in events:
        rows = moved.filter(pc.equal(moved["event_id"], event))
        first = rows.filter(pc.equal(rows["observed_at"], pc.min(rows["observed_at"])))
        told = {(row["observed_at"], row["bookmaker"]) for row in first.to_pylist()}
        assert told == polls.first_moves(event)
        found += len(told)
    assert found > len(events)


def test_pandas_tells_margins_by_hour_to_the_start(exported: Path, polls: Polls) -> None:
    prices = pd.read_parquet(exported / "one.parquet")
    h2h = prices[(prices["market"] == "h2h") & prices["price_after"].notna()]
    h2h = h2h.assign(share=1 / h2h["price_after"], hours=h2h["seconds_to_start"] // 3600)
    keys = ["event_id", "bookmaker", "hours", "revision"]
    margins = h2h.groupby(keys)["share"].sum() - 1
    last = margins.groupby(["event_id", "bookmaker", "hours"]).last()
    for event in polls.events():
        expected = polls.margins(event)
        assert last[event].to_dict() == pytest.approx(expected, abs=1e-12)
        assert expected


def test_polars_tells_the_closing_line(exported: Path, polls: Polls) -> None:
    keys = ["bookmaker", "market", "line", "outcome"]
    prices = pl.scan_parquet(exported / "all" / "prices", hive_partitioning=True)
    last = (
        prices.filter(pl.col("seconds_to_start") > 0)
        .sort("revision", maintain_order=True)
        .group_by("event_id", *keys)
        .last()
        .filter(pl.col("price_after").is_not_null())
        .collect()
    )
    told = pl.read_parquet(exported / "all" / "closing.parquet")
    compared = 0
    for event in polls.events():
        expected = polls.closing(event)
        rows = last.filter(pl.col("event_id") == event)
        assert {row[:4]: row[4] for row in rows.select(*keys, "price_after").rows()} == expected
        # The recording has no record of fetches: what no later look found gone is what stood.
        found_last = pl.col("looked_at") == pl.col("confirmed_at")
        stood = told.filter((pl.col("event_id") == event) & found_last)
        assert {row[:4]: row[4] for row in stood.select(*keys, "price").rows()} == expected
        compared += len(expected)
    assert compared > 100


def test_a_row_of_prices_takes_less_than_eight_bytes(exported: Path) -> None:
    path = exported / "one.parquet"
    assert path.stat().st_size / parquet.read_metadata(path).num_rows < 8
