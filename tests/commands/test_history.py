"""`odds-service history`: exports, charts and closing odds."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import trio

from odds_service.bridge import open_bridge
from odds_service.client import (
    ChangeKind,
    HistoricalChange,
    UnknownChange,
    open_client,
)
from odds_service.commands import exporting
from odds_service.commands.chart_png import draw, points
from odds_service.commands.chart_text import chart_lines
from odds_service.commands.exporting import COLUMNS, export, rows
from odds_service.commands.price_series import Collector, PriceHistory
from odds_service.errors import OddsServiceError
from odds_service.model.market import MarketKey
from odds_service.storage import open_store
from odds_service.store import WriteGroup
from tests.support.command_line import ENVIRONMENT, WITHIN_S, complaint, ran
from tests.support.observations import NOON, Prices, observe, observed_event
from tests.support.odds_builders import Bookkeeping, serving

H2H = MarketKey("h2h")
TOTALS = MarketKey("totals", "2.5")


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def moving() -> Bookkeeping:
    """One event: a bookmaker that moves and is suspended for a while, one that stands still."""
    book = Bookkeeping(keeps_past=True)
    for minute, home in enumerate([2.0, 2.2, None, 2.4]):
        offer: dict[str, dict[MarketKey, Prices]] = {
            "b1": {H2H: {"home": home, "away": home and 1.8}, TOTALS: {"over": 1.9, "under": None}},
            "b2": {H2H: {"home": 2.1, "away": 1.7}},
        }
        book.see(observe([observed_event("e", offer, home="Reds", away="Blues")], 10 * minute))
    return book


async def changes_of(book: Bookkeeping) -> list[HistoricalChange]:
    async with serving(book) as server, open_client(server.address) as client:
        return [change async for change in client.history()]


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


async def test_both_exports_hold_every_change(tmp_path: Path) -> None:
    book = moving()
    book.refused = {3}
    as_csv, as_parquet = tmp_path / "odds.csv", tmp_path / "odds.parquet"
    async with serving(book) as server:
        for path in (as_csv, as_parquet):
            done = await ran("history", "--export", str(path), "--server", server.address)
            assert done.returncode == 0, done.stderr
    table = parquet.read_table(as_parquet)
    assert table.column_names == list(COLUMNS)
    assert set(table["revision"].to_pylist()) == {change.revision for change in book.log}
    listed = table.to_pylist()
    (unknown,) = [row for row in listed if row["kind"] == "unstored"]
    assert (unknown["revision"], unknown["event_id"]) == (3, None)
    moved = [row for row in listed if row["kind"] == "prices" and row["outcome"] == "home"]
    assert [(row["price_before"], row["price"], row["active"]) for row in moved] == [
        (2.0, 2.2, True)
    ]
    assert moved[0]["detected_at"] == at(10)
    (added,) = [row for row in listed if row["kind"] == "event_added"]
    assert (added["event"], added["event_id"], added["outcome"]) == ("Reds – Blues", "e", None)
    suspended = [row for row in listed if row["kind"] == "suspended"]
    assert [(row["outcome"], row["price"], row["active"]) for row in suspended] == [
        ("home", None, False), ("away", None, False)
    ]  # fmt: skip
    told = list(csv.DictReader(io.StringIO(as_csv.read_text("utf-8"))))
    assert len(told) == len(listed)
    for row, same in zip(told, listed, strict=True):
        assert row["price"] == ("" if same["price"] is None else str(same["price"]))
        assert row["revision"] == str(same["revision"])
        seen = same["observed_at"]
        assert row["observed_at"] == ("" if seen is None else seen.isoformat())


async def test_rows_have_all_columns_whatever_the_change() -> None:
    kinds = set()
    for change in await changes_of(moving()):
        for row in rows(change):
            assert len(row) == len(COLUMNS)
            kinds.add(type(change))
    assert len(kinds) == 2
    (row,) = rows(UnknownChange(revision=1, kind=ChangeKind.UNSTORED))
    assert len(row) == len(COLUMNS)


async def test_parquet_holds_few_rows_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "BATCH_ROWS", 4)
    changes = await changes_of(moving())
    written = export(changes, tmp_path / "odds.parquet")
    assert parquet.ParquetFile(tmp_path / "odds.parquet").num_row_groups == -(-written // 4)


async def test_an_export_is_whole_or_not_there_and_replaces_nothing(tmp_path: Path) -> None:
    changes = await changes_of(moving())
    path = tmp_path / "odds.csv"

    def broken() -> Iterator[HistoricalChange]:
        yield from changes
        raise OSError(28, "No space left on device")

    with pytest.raises(OddsServiceError, match="No space left"):
        export(broken(), path)
    assert names(tmp_path) == []
    export(changes, path)
    before = path.read_bytes()
    with pytest.raises(OddsServiceError, match="exists; it is not overwritten"):
        export(changes, path)

    def overtaken() -> Iterator[HistoricalChange]:
        yield from changes
        (tmp_path / "new.csv").write_bytes(b"another's")

    with pytest.raises(OddsServiceError, match="exists by now"):
        export(overtaken(), tmp_path / "new.csv")
    assert path.read_bytes() == before
    assert (tmp_path / "new.csv").read_bytes() == b"another's"
    assert names(tmp_path) == ["new.csv", "odds.csv"]
    with pytest.raises(OddsServiceError, match="cannot be written: No such file"):
        export(changes, tmp_path / "no" / "odds.csv")


@pytest.mark.parametrize(
    ("library", "arguments", "extra"),
    [
        ("pyarrow", ["--export", "x.parquet"], "odds-service[parquet]"),
        ("matplotlib", ["--chart", "x.png", "--event", "e", "--market", "h2h"], "[plots]"),
    ],
)
async def test_without_its_extra_it_says_which(
    library: str, arguments: list[str], extra: str, tmp_path: Path
) -> None:
    script = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "from odds_service.cli import main; main()"
    )  # fmt: skip

    def run(address: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", script, "history", *arguments, "--server", address],
            capture_output=True, text=True, check=False, timeout=WITHIN_S, env=ENVIRONMENT,
            cwd=tmp_path,
        )  # fmt: skip

    async with serving(moving()) as server:
        ended = await trio.to_thread.run_sync(run, server.address)
    assert extra in complaint(ended)
    assert names(tmp_path) == []


def shown_by(
    changes: list[HistoricalChange], market: str, end: datetime | None, line: str | None = None
) -> PriceHistory:
    collector = Collector(market, line, None)
    collector.take(changes)
    return collector.history(end)


async def test_a_price_holds_until_it_changes_and_a_suspension_is_a_gap() -> None:
    history = shown_by(await changes_of(moving()), "h2h", at(40))
    assert history.title == "Reds – Blues · h2h"
    assert history.steps["home"] == {
        "b1": [(at(0), 2.0), (at(10), 2.2), (at(20), None), (at(30), 2.4)],
        "b2": [(at(0), 2.1)],
    }
    assert (history.begin, history.end) == (at(0), at(40))
    times, prices = points(history.steps["home"]["b1"], history)
    assert times[-1] == at(40)
    assert prices[-2:] == [2.4, 2.4]
    assert prices[2] != prices[2]  # NaN


async def test_an_ended_event_ends_its_lines() -> None:
    book = moving()
    for minute in (50, 60):
        book.see(observe([], minute))
    history = shown_by(await changes_of(book), "h2h", None)
    assert history.end == at(60)
    assert [steps[-1] for steps in history.steps["home"].values()] == 2 * [(at(60), None)]


async def test_the_terminal_shows_steps_gaps_and_times() -> None:
    history = shown_by(await changes_of(moving()), "h2h", at(40))
    text = list(chart_lines(history, 50))
    assert max(map(len, text)) <= 50
    home = text[text.index("home") + 1 : text.index("home") + 13]
    assert home[0].startswith("   2.40 ┤")
    assert home[0].rstrip().endswith("aaaaaaaaaa")
    assert home[-1].strip().startswith("2.00 ┤aaaaaaaaaa")
    columns = [line[9:].ljust(40) for line in home]
    suspended = {line[25] for line in columns}
    assert suspended == {" ", "b"}
    assert all(sum(line[column] == "b" for line in columns) == 1 for column in (0, 5, 15, 25, 39))
    assert text[-2:] == ["a b1   b b2", "* several   blank: suspended or not offered"]
    assert text[0] == "Reds – Blues · h2h · times in UTC"
    assert any("12:00:00" in line for line in text)


async def test_more_lines_than_one_have_to_be_chosen_from() -> None:
    book = Bookkeeping()
    offer: dict[str, dict[MarketKey, Prices]] = {
        "b": {MarketKey("totals", line): {"over": 1.9, "under": 1.9} for line in ("2.5", "3")}
    }
    book.see(observe([observed_event("e", offer)]))
    changes = await changes_of(book)
    with pytest.raises(OddsServiceError, match="2 markets are of this type"):
        shown_by(changes, "totals", None)
    assert list(shown_by(changes, "totals", None, "3").steps) == ["over", "under"]
    with pytest.raises(OddsServiceError, match="nothing to draw"):
        shown_by(changes, "btts", None)


async def test_an_image_is_drawn(tmp_path: Path) -> None:
    history = shown_by(await changes_of(moving()), "h2h", at(40))
    with (tmp_path / "chart.png").open("wb") as file:
        draw(history, file)
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


async def test_charts_and_closing_odds_on_the_command_line(tmp_path: Path) -> None:
    book = moving()
    image = tmp_path / "chart.png"
    of_market = ["history", "--event", "e", "--market", "h2h", "--server"]
    async with serving(book) as server:
        drawn = await ran(*of_market, server.address, "--chart", str(image))
        again = await ran(*of_market, server.address, "--chart", str(image))
        since = (at(5)).isoformat()
        text = await ran(*of_market, server.address, "--chart", "-", "--since", since)
        one = await ran(*of_market, server.address, "--chart", "-", "--outcome", "away")
    assert drawn.returncode == 0, drawn.stderr
    assert image.read_bytes().startswith(b"\x89PNG")
    assert "exists; it is not overwritten" in complaint(again)
    assert "Reds – Blues · h2h" in text.stdout
    assert "a b1   b b2" in text.stdout  # b2 never moved since: it stood at the start
    assert "\nhome\n" not in one.stdout
    assert "\naway\n" in one.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--closing", "--chart", "-"], "give one of"),
        (["--chart", "-", "--event", "e"], "one market"),
        (["--chart", "x.jpg", "--event", "e", "--market", "h2h"], "does not end in .png"),
        (["--export", "odds.xls"], "ends neither in .csv nor in .parquet"),
        (["--since", "yesterday"], "neither a time (ISO 8601) nor EPOCH:REVISION"),
        (["--closing", "--since", "2026-01-01"], "--start-from"),
    ],
)
async def test_wrong_usage_is_told(arguments: list[str], says: str) -> None:
    ended = await ran("history", *arguments)
    assert ended.returncode == 2
    assert says in " ".join(ended.stderr.replace("│", " ").split())


async def test_a_span_between_cursors_and_as_json() -> None:
    book = moving()
    async with serving(book) as server:
        span = ["history", "--since", "e1:2", "--until", "e1:4", "--server", server.address]
        told = await ran(*span)
        as_json = await ran(*span, "--json")
        by_time = await ran("history", "--since", "2026-08-04T12:05Z", "--server", server.address)
        nothing = await ran("history", "--event", "other", "--server", server.address)
    assert len(told.stdout.splitlines()) == 2
    assert all(line.startswith("2026-08-04 12:00:00  ") for line in told.stdout.splitlines())
    assert all("  Reds – Blues  b" in line for line in told.stdout.splitlines())
    changes = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert [change["revision"] for change in changes] == ["3", "4"]
    expected = sum(change.detected_at >= at(5) for change in book.log)
    assert len(by_time.stdout.splitlines()) == expected > 0
    assert (nothing.stdout, nothing.stderr) == ("", "no stored changes\n")


async def test_closing_odds_are_printed_with_their_age(tmp_path: Path) -> None:
    book = Bookkeeping()
    for minute, home in ((0, 2.0), (8, 2.1), (11, 9.0)):
        offer: dict[str, dict[MarketKey, Prices]] = {"b1": {H2H: {"home": home, "away": 1.8}}}
        event = observed_event("e", offer, start_time=at(10), home="Reds", away="Blues")
        book.see(observe([event], minute))
    book.now = at(60)
    async with open_bridge(), open_store(f"sqlite:///{tmp_path / 'odds.db'}") as store:
        await store.begin()
        await store.write(WriteGroup(book.batches))
        async with serving(book, store=store) as server:
            closing = ["history", "--closing", "--server", server.address]
            told = await ran(*closing)
            as_json = await ran(*closing, "--json", "--event", "e")
            nothing = await ran(*closing, "--sport", "chess")
    assert told.stdout.startswith("Reds – Blues · soccer_epl · 2026-08-04 12:10 UTC · e\n")
    (line,) = [line for line in told.stdout.splitlines() if "h2h" in line]
    assert " ".join(line.split()) == "h2h b1 home 2.1 away 1.8 2 min"
    (entry,) = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert entry["odds"][0]["age"] == "120s"
    assert nothing.stdout == ""
    assert nothing.stderr == "no closing odds: no event that is selected has started\n"
