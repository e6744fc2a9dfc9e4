"""Stored odds, decoded many at a time."""

import gc

from odds_service.columns.decoding import decoded
from odds_service.model.change import MarketChange
from odds_service.storage.rows.history import history_row
from odds_service.store import LOG_COLUMNS
from tests.support.stories import SERIES, Story


def test_odds_leave_the_garbage_collector_at_its_first_look() -> None:
    changes = [change for change in Story(SERIES).log if isinstance(change, MarketChange)]
    stored = [history_row(change) for change in changes]
    olds, news = decoded([[getattr(row, name) for name in LOG_COLUMNS] for row in stored])
    gc.collect(0)
    odds = [each for each in olds + news if each is not None]
    assert any(each.outcomes for each in odds)
    assert not any(gc.is_tracked(each) or gc.is_tracked(each.outcomes) for each in odds)
