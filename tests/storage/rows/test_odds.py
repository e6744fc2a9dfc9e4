"""The odds of a market as text."""

from datetime import timedelta

from odds_service.model.market import Market, MarketStatus, Outcome
from odds_service.storage.rows.odds import after_text, before_text, market_from
from tests.support.observations import NOON
from tests.support.stories import H2H

MARKET = Market(H2H, MarketStatus.OPEN, (Outcome("home", "Home", 2.0),), 7, NOON, NOON)


def test_odds_whose_row_says_another_revision_or_time_keep_their_own() -> None:
    for revision, at in ((7, NOON), (8, NOON), (7, NOON + timedelta(hours=1))):
        assert market_from(H2H, after_text(MARKET, revision, at), revision, at) == MARKET
    assert market_from(H2H, before_text(MARKET), 9, NOON + timedelta(hours=2)) == MARKET
