"""Damage to a database, found by folding its history."""

import pytest

from odds_service.store import WriteGroup
from tests.support.databases import DatabasePlace
from tests.support.places import on_databases
from tests.support.stories import SERIES, Story


@on_databases
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("DELETE FROM odds_history WHERE revision = 4", "history has"),
        ("DELETE FROM odds_current WHERE revision = {live}", "odds_current has nothing"),
        ("UPDATE odds_current SET odds = '[1,[[\"home\",9.0]]]' WHERE revision = {live}", "9.0"),
        ("UPDATE odds_current SET status = 3 WHERE revision = {live}", "odds_current has"),
        ("UPDATE feed_state SET durable_revision = durable_revision - 1", "beyond revision"),
        ("UPDATE events SET ended_revision = 1 WHERE event_id = 'e'", "ended at 1"),
    ],
)
async def test_planted_damage_is_found(place: DatabasePlace, damage: str, says: str) -> None:
    story = Story(SERIES)
    async with place.begun() as (store, _):
        await store.write(WriteGroup(story.batches))
        assert (await store.verify()).faulty == 0
        live = max(
            market.revision
            for entry in story.events.values()
            for odds in entry.bookmakers.values()
            for market in odds.markets.values()
        )
        place.sql(damage.format(live=live))
        found = await store.verify()
    assert found.faulty >= 1
    assert any(says in fault for fault in found.faults), found.faults
