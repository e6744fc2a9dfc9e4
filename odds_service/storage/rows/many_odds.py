"""Decoding of many markets at once, whose equal values become one object each.

A database gives every row as new values. At a start all of them stay: the odds of a market name the
same outcomes and times as those of the next.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from odds_service.model.market import Market, MarketKey, Outcome
from odds_service.model.snapshot import BookmakerKey
from odds_service.storage.rows.odds import market_from

_MOST_KEPT: Final = 2**16  # sets of outcomes, and times; each table is cleared when full


class ManyOdds:
    """A decoder of the rows of one load; its tables end with it.

    Args:
        read_time: Database.read_time.
    """

    def __init__(self, read_time: Callable[[Any], datetime]) -> None:
        self._read_time = read_time
        self._texts: dict[str, str] = {}
        self._keys: dict[tuple[str, str, str], MarketKey] = {}
        self._bookmakers: dict[tuple[str, str], BookmakerKey] = {}
        self._outcomes: dict[Outcome, Outcome] = {}
        self._sets: dict[tuple[Outcome, ...], tuple[Outcome, ...]] = {}
        self._times: dict[datetime, datetime] = {}
        self._stored_times: dict[Any, datetime] = {}
        # Rows that were stored together follow one another, and hashing a time is slow.
        self._latest: datetime | None = None
        self._latest_stored: Any = None
        self._latest_read: datetime | None = None

    def text(self, text: str) -> str:
        """Return the text that is shared by all equal ones."""
        return self._texts.setdefault(text, text)

    def key(self, market: str, line: str, participant: str) -> MarketKey:
        """Return the shared key of a market."""
        parts = market, line, participant
        key = self._keys.get(parts)
        if key is None:
            key = self._keys[parts] = MarketKey(*map(self.text, parts))
        return key

    def bookmaker(self, source: str, bookmaker: str) -> BookmakerKey:
        """Return the shared key of a bookmaker of a source."""
        pair = source, bookmaker
        key = self._bookmakers.get(pair)
        if key is None:
            key = self._bookmakers[pair] = self.text(source), self.text(bookmaker)
        return key

    def time(self, at: datetime) -> datetime:
        """Return the time that is shared by all equal ones."""
        if at != self._latest:
            if len(self._times) >= _MOST_KEPT:
                self._times.clear()
            self._latest = at = self._times.setdefault(at, at)
            return at
        return self._latest

    def market(self, key: MarketKey, odds: str, revision: int, changed_at: Any) -> Market:
        """Decode a market; see rows.odds.market_from().

        Args:
            key: the market's key.
            odds: the stored text.
            revision: the revision in the row, used if the text has none.
            changed_at: the time in the row as the database gives it, likewise.

        Raises:
            Unreadable: the text is no odds, or too large.
        """
        at = self._latest_read
        if at is None or changed_at != self._latest_stored:
            at = self._row_time(changed_at)
        market = market_from(key, odds, revision, at)
        outcomes = self._sets.get(market.outcomes)
        if outcomes is None:
            outcomes = self._shared(market.outcomes)
        changed, claimed = market.changed_at, market.source_updated_at
        return Market(
            key,
            market.status,
            outcomes,
            market.revision,
            at if changed is at else self.time(changed),
            None if claimed is None else self.time(claimed),
        )

    def _row_time(self, stored: Any) -> datetime:
        """Return the shared time of a row, and expect it in the next one."""
        at = self._stored_times.get(stored)
        if at is None:
            if len(self._stored_times) >= _MOST_KEPT:
                self._stored_times.clear()
            at = self._stored_times[stored] = self.time(self._read_time(stored))
        self._latest_stored, self._latest_read = stored, at
        return at

    def _shared(self, given: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
        """Share outcomes, which all markets with equal ones will show."""
        if len(self._sets) >= _MOST_KEPT:
            self._sets.clear()
        outcomes = tuple(map(self._outcome, given))
        self._sets[outcomes] = outcomes
        return outcomes

    def _outcome(self, outcome: Outcome) -> Outcome:
        known = self._outcomes.get(outcome)
        if known is None:
            text = self.text
            known = Outcome(text(outcome.key), text(outcome.name), outcome.price, outcome.active)
            self._outcomes[known] = known
        return known
