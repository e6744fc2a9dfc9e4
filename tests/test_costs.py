"""The cost of one market, counted without a clock: calls, kept objects and SQL statements."""

import gc
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from odds_service.bridge import open_bridge
from odds_service.model.change import Commit
from odds_service.model.difference import compare_markets
from odds_service.model.market import MarketKey
from odds_service.model.observation import Observation
from odds_service.sources.odds_api_body import BodyReader, PriceFormat
from odds_service.sources.sportybet_body import read_event
from odds_service.storage import open_store
from odds_service.storage.letters import selecting
from odds_service.storage.letters.letters import Letter, read_letter
from odds_service.storage.letters.spill import write_spill
from odds_service.store import WriteGroup
from tests.sources.bodies import sportybet, sportybet_market
from tests.support.databases import SqlitePlace
from tests.support.observations import Book, Prices, observe, offered

FEW, MANY = 100, 400


def calls_of(work: Callable[[], object]) -> Counter[str]:
    """Count the functions called, of Python and of C."""
    counted: Counter[str] = Counter()

    def count(_frame: FrameType, what: str, _argument: Any) -> None:
        counted[what] += 1

    gc.disable()  # its calls are not the work's
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return counted


def shown(markets: int, minute: float, price: float = 1.9) -> Observation:
    prices: Prices = {"over": price, "under": 1.8}
    lines = {MarketKey("totals", f"{line}.5"): prices for line in range(markets)}
    return observe(offered({"e1": {"b": lines}}), minute)


def test_an_unchanged_market_costs_one_lookup_and_keeps_nothing() -> None:
    calls = {}
    for markets in (FEW, MANY):
        book = Book()
        book.see(shown(markets, 0))
        (odds,) = book.events["e1"].bookmakers.values()
        again = shown(markets, 1)
        (seen,) = again.events[0].bookmakers
        compare_markets(odds.markets, seen)
        calls[markets] = calls_of(lambda odds=odds, seen=seen: compare_markets(odds.markets, seen))  # type: ignore[misc]  # bound now
        book.see(again)
        # All polls share one mapping and its values: an unchanged market leaves no object behind.
        (after,) = book.events["e1"].bookmakers.values()
        assert after.markets is odds.markets
    assert calls[MANY]["call"] == calls[FEW]["call"]
    assert calls[MANY]["c_call"] - calls[FEW]["c_call"] == MANY - FEW


def test_a_known_price_is_read_without_a_call_of_python() -> None:
    calls = {}
    for markets in (FEW, MANY):
        outcomes = [
            {"name": name, "price": price, "point": line + 0.5}
            for line in range(markets)
            for name, price in (("Over", 1.9), ("Under", 1.8))
        ]
        body = {
            "id": "e1",
            "sport_key": "soccer_epl",
            "commence_time": "2026-08-04T12:00:00Z",
            "bookmakers": [{"key": "b", "markets": [{"key": "totals", "outcomes": outcomes}]}],
        }
        raw = msgspec.Raw(json.dumps(body).encode())
        reader = BodyReader()

        def read(reader: BodyReader = reader, raw: msgspec.Raw = raw) -> object:
            return reader.read_event(raw, PriceFormat.DECIMAL, Counter(), set())

        read()
        calls[markets] = calls_of(read)
    assert calls[MANY]["call"] == calls[FEW]["call"]


def test_a_known_price_of_sportybet_is_read_without_a_call_of_python() -> None:
    calls = {}
    for prices in (FEW, MANY):
        players = {f"p{n}": "2.5" for n in range(prices)}
        names = {f"p{n}": f"Player, No{n} (Reds) 1+" for n in range(prices)}
        polls = [  # the time moves with the price of another
            sportybet(sportybet_market("776", players, "variant=x", names, lastOddsChangeTime=time))
            for time in (1_778_052_961_313, 1_778_052_961_314)
        ]
        for body in (polls[0], *polls):
            read_event(body, Counter())
        calls[prices] = calls_of(lambda body=polls[0]: read_event(body, Counter()))  # type: ignore[misc]  # bound now
    assert calls[MANY]["call"] == calls[FEW]["call"]


@pytest.mark.logs_errors  # refused changes
@pytest.mark.parametrize("kept", ["refused", "refused and superseded", "misfits"])
async def test_starts_and_past_odds_decode_no_more_letters_when_more_pile_up(
    kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[bytes] = []
    read = read_letter

    def note(letter: bytes) -> Letter | None:
        decoded.append(letter)
        return read(letter)

    monkeypatch.setattr(selecting, "read_letter", note)
    monkeypatch.setattr(selecting, "_AT_ONCE", 3)  # the letters of four markets take two queries
    counted: dict[int, list[int]] = {}
    for polls in (FEW // 10, MANY // 10):
        place = SqlitePlace(tmp_path / str(polls))
        place.folder.mkdir()
        book = Book()
        first = book.see(shown(4, 0))
        seen = [book.see(shown(4, poll, price=2.0 + poll % 7 / 10)) for poll in range(1, polls)]
        commits = [Commit(each.changes, each.snapshots) for each in seen]
        last = book.see(shown(4, polls, price=9.0))
        async with place.begun() as (store, stored):
            await store.write(WriteGroup([Commit(first.changes, first.snapshots)]))
            if kept == "misfits":
                lost = place.folder / "odds.db.spill"
                write_spill(lost, stored.database_id, "another epoch", commits)
            else:
                place.refuse("kind = 2")
                assert await store.write(WriteGroup(commits)) == 4 * (polls - 1)
                place.accept()
            if kept == "refused and superseded":
                await store.write(WriteGroup([Commit(last.changes, last.snapshots)]))
        async with place.begun() as (store, again):
            assert again.dead_letters == 4 * (polls - 1)
            counted[polls] = [len(decoded)]
            for revision in (1, again.revision // 2, again.revision):
                decoded.clear()
                assert (await store.odds_at(revision)).unstored == 0
                counted[polls].append(len(decoded))
            decoded.clear()
    few, many = counted.values()
    assert few == many
    assert max(many) <= 8  # of the four markets: the last before, and the first after


async def test_statements_do_not_grow_with_the_changes(tmp_path: Path) -> None:
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    counted = {}
    event.listen(Engine, "before_cursor_execute", note)
    try:
        for markets in (FEW, MANY):
            folder = tmp_path / str(markets)
            folder.mkdir()
            async with open_bridge(), open_store(f"sqlite:///{folder / 'odds.db'}") as store:
                await store.begin()
                book = Book()
                first = book.see(shown(markets, 0))
                await store.write(WriteGroup([Commit(first.changes, first.snapshots)]))
                moved = book.see(shown(markets, 1, price=2.0))
                statements.clear()
                await store.write(WriteGroup([Commit(moved.changes, moved.snapshots)]))
                assert len(moved.changes) == markets
                counted[markets] = len(statements)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert 0 < counted[MANY] == counted[FEW] <= 12


@pytest.mark.logs_errors  # the refused change
async def test_only_a_refused_row_costs_savepoints(tmp_path: Path) -> None:
    opened: list[str] = []

    def note(_connection: object, name: str) -> None:
        opened.append(name)

    place, book = SqlitePlace(tmp_path), Book()
    async with place.begun() as (store, _):
        event.listen(Engine, "savepoint", note)
        try:
            first = book.see(shown(FEW, 0))
            assert await store.write(WriteGroup([Commit(first.changes, first.snapshots)])) == 0
            assert not opened
            moved = book.see(shown(FEW, 1, price=2.0))
            place.refuse(f"revision = {moved.changes[0].revision} AND kind <> 0")
            assert await store.write(WriteGroup([Commit(moved.changes, moved.snapshots)])) == 1
            assert opened
        finally:
            event.remove(Engine, "savepoint", note)
        assert (await store.verify()).faulty == 0
