"""Databases, settings files, cursors and clients of 0.1.0 go on working.

The code of 0.1.0 made the files in `v0_1_0`; its README says how. Today's service runs on each
database with a clock set to the time of its making, so that no event has started since.
"""

import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
import trio
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from odds_service.config import load_settings
from odds_service.demo.replay import run_replay
from odds_service.errors import SettingsError
from odds_service.service import Running
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.clock import ShiftedClock
from tests.support.databases import ENGINES, PostgresPlace, SqlitePlace
from tests.support.serving import call, service, wait_until
from tests.support.watching import Fold, odds_in, watching
from tools.codegen import PROTO, breaking_changes

LEFT: Final = Path(__file__).with_name("v0_1_0")
MADE_AT: Final = datetime(2026, 11, 25, 19, 35, tzinfo=UTC)  # minutes after the last change
OnDisk: TypeAlias = SqlitePlace | PostgresPlace

NOWHERE: Final = "http://127.0.0.1:1"  # a bookmaker that does not answer


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> OnDisk:
    """Give a database that 0.1.0 left, on either engine."""
    dump = (LEFT / f"{request.param}.sql").read_text("utf-8")
    if request.param == "sqlite":
        kept = SqlitePlace(tmp_path)
        with closing(sqlite3.connect(kept.path)) as database:
            database.executescript(dump)
        return kept
    stored = PostgresPlace(tmp_path, request.getfixturevalue("postgres"))
    stored.sql(dump)
    return stored


class Held:
    """The odds, changes and cursors that clients of 0.1.0 held when it stopped."""

    def __init__(self, engine: str) -> None:
        kept = json.loads((LEFT / f"{engine}.json").read_text("utf-8"))
        self.cursors = [json_format.ParseDict(each, pb.Cursor()) for each in kept["cursors"]]
        self.changes = [json_format.ParseDict(each, pb.Change()) for each in kept["changes"]]
        self.odds = [json_format.ParseDict(each, pb.GetOddsResponse()) for each in kept["odds"]]
        self.page_token: str = kept["page_token"]


def settings_text() -> str:
    """Return the settings file of 0.1.0, with `[life]` under its present name."""
    old = (LEFT / "odds.toml").read_text("utf-8")
    assert "[life]" in old
    return old.replace("[life]", "[shutdown]")


@asynccontextmanager
async def upgraded(place: OnDisk, bookmaker: str = NOWHERE) -> AsyncIterator[Running]:
    """Run today's service, with the settings of 0.1.0, on its database."""
    path = place.folder / "odds.toml"
    path.write_text(settings_text().replace("https://api.the-odds-api.com", bookmaker), "utf-8")
    settings = load_settings(
        path,
        server={"listen": "127.0.0.1:0"},
        database={"url": place.url, "migrate": True, "spill_folder": place.folder},
    )
    clock = ShiftedClock((MADE_AT - datetime.now(UTC)).total_seconds())
    async with service(settings, clock) as running:
        yield running


async def odds_of(running: Running) -> pb.GetOddsResponse:
    reply = await call(running.address, lambda stub: stub.GetOdds(pb.GetOddsRequest(), timeout=30))
    assert isinstance(reply, pb.GetOddsResponse)
    return reply


def test_the_old_settings_are_refused_by_the_new_names_and_read_with_them(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"life: renamed: write \[shutdown\]"):
        load_settings(LEFT / "odds.toml")
    path = tmp_path / "odds.toml"
    path.write_text(settings_text(), "utf-8")
    settings = load_settings(path)
    assert (settings.shutdown.drain_s, settings.shutdown.grace_s) == (15.0, 3.0)
    assert settings.server.max_streams == 500
    assert settings.retention.history_days == 90
    assert [source["kind"] for source in settings.sources] == ["the-odds-api"]


async def test_the_same_odds_are_served_until_a_source_answers(place: OnDisk) -> None:
    held = Held(place.engine)
    async with upgraded(place) as running:
        reply = await odds_of(running)
    async with place.begun() as (store, _stored):
        assert (await store.verify()).faults == []
    assert reply.cursor.revision == held.cursors[-1].revision
    assert reply.durable_revision == reply.cursor.revision
    assert len(reply.events) == 3
    for entry in reply.events:
        for odds in entry.bookmakers:
            assert odds.stale  # nothing has confirmed them in this run
            odds.stale = False
    assert list(reply.events) == list(held.odds[-1].events)


async def test_a_cursor_of_an_earlier_run_is_resumed_without_an_image(place: OnDisk) -> None:
    held = Held(place.engine)
    early, late = held.cursors
    assert early.epoch != late.epoch
    async with upgraded(place) as running:
        fold = Fold(odds_in(iter(held.odds[0].events)), early)
        with watching(running.address, pb.WatchChangesRequest(resume=early), fold) as watcher:
            opened = await watcher.begun()
            assert (opened.intent, opened.reason) == (pb.INTENT_CHANGES, pb.INTENT_REASON_RESUMED)
            await watcher.reach(late.revision)
        with watching(
            running.address, pb.WatchChangesRequest(resume=late), Fold(fold.odds, late)
        ) as watcher:
            opened = await watcher.begun()
            assert opened.intent == pb.INTENT_UP_TO_DATE
    assert fold.changes == held.changes
    assert fold.odds == odds_in(iter(held.odds[1].events))


async def test_a_cursor_and_a_page_token_mean_what_they_meant(place: OnDisk) -> None:
    held = Held(place.engine)
    past = pb.GetOddsRequest(as_of_cursor=held.cursors[-1])
    listing = pb.ListEventsRequest(page_size=1, page_token=held.page_token)
    history = pb.GetHistoryRequest(from_cursor=held.cursors[0], to_cursor=held.cursors[1])
    async with upgraded(place) as running:
        then, page, pages = await call(
            running.address,
            lambda stub: (
                stub.GetOdds(past, timeout=30),
                stub.ListEvents(listing, timeout=30),
                list(stub.GetHistory(history, timeout=30)),
            ),
        )
    assert [change for page in pages for change in page.changes] == held.changes
    markets = {
        (entry.event.id, odds.bookmaker, str(market.key)): market
        for entry in held.odds[-1].events
        for odds in entry.bookmakers
        for market in odds.markets
    }
    assert markets == {
        (entry.event.id, odds.bookmaker, str(market.key)): market
        for entry in then.events
        for odds in entry.bookmakers
        for market in odds.markets
    }
    # The token came with the first page, of one event.
    assert [row.event.id for row in page.events] == [held.odds[-1].events[1].event.id]


async def test_renamed_outcome_keys_come_as_changes_of_prices_and_nothing_else(
    place: OnDisk,
) -> None:
    """Renamed keys denote the same bets under other sources' keys, as `docs/upgrading.md` says."""
    held = Held(place.engine)
    series = place.folder / "series"
    series.mkdir()
    shutil.copy(LEFT / "last_body.json", series / "20261125T0500Z__soccer_league.json")
    async with trio.open_nursery() as nursery:
        port = await nursery.start(run_replay, series)
        async with upgraded(place, f"http://127.0.0.1:{port}") as running:
            feed, wanted = running.parts.feed, held.cursors[-1].revision + 6
            await wait_until(lambda: feed.durable_revision >= wanted, "the scrape, stored")
            request = pb.GetHistoryRequest(from_cursor=held.cursors[-1])
            pages = await call(
                running.address, lambda stub: list(stub.GetHistory(request, timeout=30))
            )
            reply = await odds_of(running)
        nursery.cancel_scope.cancel()
    changes = [change for page in pages for change in page.changes]
    renamed = [change for change in changes if change.HasField("after")]
    assert {change.kind for change in renamed} == {pb.CHANGE_KIND_PRICES}
    assert len(renamed) == 6  # of two bookmakers, for three events
    for change in renamed:
        assert change.after.key.market == "double_chance"
        prices = {outcome.key: outcome.price for outcome in change.after.outcomes}
        assert sorted(prices) == ["draw_away", "home_away", "home_draw"]
        assert sorted(prices.values()) == sorted(o.price for o in change.before.outcomes)
        assert {outcome.key for outcome in change.before.outcomes}.isdisjoint(prices)
    others = {change.kind for change in changes if not change.HasField("after")}
    assert others <= {pb.CHANGE_KIND_SOURCE_UP}
    assert not any(odds.stale for entry in reply.events for odds in entry.bookmakers)


def test_the_contract_breaks_no_client_of_0_1_0() -> None:
    assert breaking_changes(LEFT / "odds-v1.binpb", PROTO) == []


async def test_a_client_with_the_messages_of_0_1_0_reads_what_it_read(place: OnDisk) -> None:
    """An old client ignores new fields; all others are as 0.1.0 sent them."""
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString((LEFT / "odds-v1.binpb").read_bytes()).file:
        pool.Add(file)
    response: Any = GetMessageClass(pool.FindMessageTypeByName("odds.v1.GetOddsResponse"))
    async with upgraded(place) as running:
        text = (await odds_of(running)).SerializeToString()
    old = response.FromString(text)
    for entry in old.events:
        for odds in entry.bookmakers:
            odds.stale = False
    kept = json.loads((LEFT / f"{place.engine}.json").read_text("utf-8"))["odds"][-1]
    assert list(old.events) == list(json_format.ParseDict(kept, response()).events)
