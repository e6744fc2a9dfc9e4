"""A database that an older version filled with unchecked rows is still served."""

from typing import Final

import pytest
import structlog

from odds_service.config import load_settings
from odds_service.model.market import MarketKey
from odds_service.store import StartedEvents, WriteGroup
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.pipeline.test_detect import Stage
from tests.support.databases import DatabasePlace
from tests.support.observations import NOON, observe, offered
from tests.support.places import on_databases
from tests.support.serving import call, service

pytestmark = [
    on_databases,
    pytest.mark.logs_errors,  # a row that cannot be read is an error to be looked at
]

H2H, TOTALS, BTTS = MarketKey("h2h"), MarketKey("totals", "2.5"), MarketKey("btts")
OFFER: Final = {
    "e": {
        "b": {
            H2H: {"home": 2.0, "away": 1.9},
            TOTALS: {"over": 1.8, "under": 2.1},
            BTTS: {"yes": 1.7, "no": 2.2},
        }
    },
    "other": {"b": {H2H: {"home": 3.0, "away": 1.4}}},
}
NAIVE: Final = '[1,[["home","Home",2.0,true]],"2026-08-04T12:00:00","2026-08-04T12:00:00",1]'
YEAR_1: Final = '[1,[["over","Over",1.8,true]],"0001-01-01T00:00:00+14:00"]'


def update(place: DatabasePlace, table: str, column: str, value: str, condition: str) -> None:
    place.sql(f"UPDATE {table} SET {column} = {value} WHERE {condition}")  # noqa: S608  # ours


async def fill(place: DatabasePlace) -> list[int]:
    """Store two events and spoil them; return the revisions too large to send."""
    stage = Stage()
    async with place.begun() as (store, _):
        await stage.detector.observe(observe(offered(OFFER)))
        changes = stage.published()
        await store.write(WriteGroup(list(stage.feed.read_after(0, 100) or [])))
    sqlite = place.engine == "sqlite"
    many = "hex(zeroblob(400000))" if sqlite else "repeat('0', 800000)"
    spoilt = {
        "market = 'h2h'": f"'{NAIVE}'",
        "market = 'totals'": f"'{YEAR_1}'",
        "market = 'btts'": f"'[1,[[\"yes\",\"' || {many} || '\",1.7]]]'",
    }
    mine = "event_id = 'toa:e'"
    for condition, odds in spoilt.items():
        update(place, "odds_history", "after", odds, f"{condition} AND {mine}")
        update(place, "odds_current", "odds", odds, f"{condition} AND {mine}")
    naive_start = "replace(replace({}, 'Z\"', '\"'), 'Home', {})"
    update(place, "events", "event", naive_start.format("event", many), mine)
    update(
        place, "odds_history", "after", naive_start.format("after", many), f"market = '' AND {mine}"
    )
    place.sql("UPDATE event_sources SET shown = replace(shown, 'Z\"', '\"') WHERE source = 'toa'")
    place.sql("UPDATE source_states SET state = replace(state, 'Z\"', '\"')")
    revisions = place.sql("SELECT revision FROM odds_history WHERE market = 'btts'")
    assert len(changes) == 7
    return [int(revision) for (revision,) in revisions]


async def test_a_start_reads_what_can_be_served_and_history_tells_of_the_rest(
    place: DatabasePlace,
) -> None:
    large = await fill(place)
    with structlog.testing.capture_logs() as logs:
        async with place.begun() as (store, stored):
            whole = await store.odds_at(7)
            assert len(await store.history(0, 100, 100)) == 6
            closing = await store.closing_odds(["toa:e", "toa:other"])
            await store.started_events(StartedEvents(before=NOON.replace(year=2027)), None, 10)
            (state,) = stored.sources
            assert state.last_success_at is not None
            assert state.last_success_at.tzinfo is not None
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == [
        "unreadable_market"
    ]
    assert len(large) == 1
    for events in (stored.events, whole.events):
        by_id = {entry.event.id: entry for entry in events}
        assert by_id.keys() == {"toa:e", "toa:other"}
        assert by_id["toa:e"].event.start_time == by_id["toa:other"].event.start_time
        assert len(by_id["toa:e"].event.home) == 256
        (odds,) = by_id["toa:e"].bookmakers.values()
        assert odds.markets.keys() == {H2H, TOTALS}
        assert odds.markets[H2H].source_updated_at is None
        assert odds.markets[H2H].changed_at == NOON
    assert {each.market.key for each in closing} == {H2H, TOTALS}


async def test_it_is_served_by_every_call(place: DatabasePlace) -> None:
    (large,) = await fill(place)
    settings = load_settings(
        server={"listen": "127.0.0.1:0"}, database={"url": place.url, "migrate": True}
    )
    async with service(settings) as running:
        address = running.address
        odds = await call(address, lambda stub: stub.GetOdds(pb.GetOddsRequest(), timeout=60))
        pages = await call(
            address, lambda stub: list(stub.GetHistory(pb.GetHistoryRequest(), timeout=60))
        )
        await call(address, lambda stub: stub.GetStatus(pb.GetStatusRequest(), timeout=60))
        events = await call(address, lambda stub: stub.ListEvents(pb.ListEventsRequest()))
    assert {entry.event.id for entry in odds.events} == {"toa:e", "toa:other"}
    assert {entry.event.id for entry in events.events} == {"toa:e", "toa:other"}
    changes = [change for page in pages for change in page.changes]
    assert [change.revision for change in changes] == [1, 2, 3, 4, 5, 6, 7]
    unstored = [c.revision for c in changes if c.kind == pb.CHANGE_KIND_UNSTORED]
    assert unstored == [large]
    assert max(page.ByteSize() for page in pages) < 2**20


@pytest.mark.parametrize("kind", ["market", "event", "source"])
async def test_a_row_that_is_none_of_ours_is_told_as_unstored(
    place: DatabasePlace, kind: str
) -> None:
    await fill(place)
    condition = {
        "market": "market = 'h2h' AND event_id = 'toa:other'",
        "event": "event_id = 'toa:other' AND market = ''",
        "source": "event_id = ''",
    }[kind]
    update(place, "odds_history", "after", "'[{'", condition)
    place.sql("UPDATE odds_current SET odds = '[{' WHERE event_id = 'toa:other'")
    place.sql("UPDATE source_states SET state = '[{'")
    place.sql("UPDATE events SET event = '[{' WHERE event_id = 'toa:other'")
    with structlog.testing.capture_logs():
        async with place.begun() as (store, stored):
            assert len(await store.history(0, 100, 100)) == 5
    assert [entry.event.id for entry in stored.events] == ["toa:e"]
