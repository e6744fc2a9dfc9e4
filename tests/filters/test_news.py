"""News that cannot concern a selection holds nothing that it selects."""

import random
from functools import partial

import pytest

from odds_service.filters.filtering import Captured, Place, select
from odds_service.filters.news import News
from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.filters.timeline import Timeline
from odds_service.model.change import SourceChange
from tests.filters.test_filtering import SELECTIONS
from tests.support.odds_builders import Bookkeeping, random_observations

NARROW = {
    "one event": Selection(event_ids=frozenset({"e2"})),
    "nobody": Selection(bookmakers=frozenset({"nobody"})),
    "no market": Selection(markets=frozenset({"-"})),
    "another source": Selection(sources=frozenset({"other"}), markets=frozenset({"h2h"})),
    "one market of an event": Selection(
        event_ids=frozenset({"e0"}), bookmakers=frozenset({"b1"}), markets=frozenset({"h2h"})
    ),
}


def markets_at(timeline: Timeline, event_id: str, revision: int) -> dict[Place, Captured]:
    found = timeline.markets_at(revision, event_id)
    assert found is not None
    return found


@pytest.mark.parametrize("name", [*SELECTIONS, *NARROW])
def test_what_is_said_not_to_concern_a_selection_is_never_selected(name: str) -> None:
    selection = (SELECTIONS | NARROW)[name]
    quiet = chosen = 0
    for seed in range(6):
        book = Bookkeeping()
        timeline = Timeline(book.cache, book.feed)
        for observation in random_observations(random.Random(seed), 40):
            before = book.feed.head_revision
            book.see(observation)
            changes = book.log[before:]
            concerned = {e.event_id for e in changes if not isinstance(e, SourceChange)}
            events = timeline.events_at(before, concerned)
            found = list(select(selection, changes, events, partial(markets_at, timeline)))
            if News(changes).may_concern(selection):
                chosen += bool(found)
            else:
                quiet += 1
                assert found == []
    assert chosen or name in ("nobody", "another source", "other sport")
    # Changes of markets do not tell the sport, start and status of their events.
    assert quiet or selection is EVERYTHING or selection.by_event
