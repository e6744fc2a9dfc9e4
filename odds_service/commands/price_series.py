"""The prices of one market over time, as a step line for each bookmaker and outcome."""

from collections.abc import Iterable
from datetime import datetime
from typing import TypeAlias

from msgspec import Struct

from odds_service.client import (
    ChangeKind,
    EventChange,
    HistoricalChange,
    Market,
    MarketChange,
    MarketKey,
    MarketStatus,
    Odds,
)
from odds_service.errors import OddsServiceError
from odds_service.model.snapshot import BookmakerKey

Steps: TypeAlias = list[tuple[datetime, float | None]]  # each price holds until the next; None: gap


class PriceHistory(Struct, frozen=True):
    """The data of a chart.

    `steps` maps an outcome and a bookmaker to the bookmaker's steps; the bookmaker's name includes
    the source if several sources carry it. `begin` and `end` are the span of the chart, and
    `start_time` is the start of the event, None if unknown.
    """

    title: str
    steps: dict[str, dict[str, Steps]]
    begin: datetime
    end: datetime
    start_time: datetime | None

    @property
    def bookmakers(self) -> list[str]:
        return sorted({name for lines in self.steps.values() for name in lines})


class _Line:
    """One bookmaker's market, by outcome."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Steps] = {}

    def stands(self, at: datetime, market: Market | None) -> None:
        """Record the market's prices from a time on; a market that is not open has none."""
        prices: dict[str, float | None] = dict.fromkeys(self.outcomes)
        if market is not None and market.status is MarketStatus.OPEN:
            prices |= {o.key: o.price if o.active else None for o in market.outcomes}
        for outcome, price in prices.items():
            steps = self.outcomes.setdefault(outcome, [])
            if not steps or steps[-1][1] != price:
                steps.append((at, price))


class Collector:
    """A fold of the changes of one market of an event into steps.

    Args:
        market: The type of the market.
        line: The line; None if there is only one.
        participant: The participant; None if there is only one.
    """

    def __init__(self, market: str, line: str | None, participant: str | None) -> None:
        self._market = market
        self._line = line
        self._participant = participant
        self._lines: dict[MarketKey, dict[BookmakerKey, _Line]] = {}
        self._name = ""
        self._start_time: datetime | None = None
        self._times: list[datetime] = []  # the earliest and the latest

    def begin(self, at: datetime, odds: Odds) -> None:
        """Record the odds at the start of the span."""
        for entry in odds.events.values():
            self._name = entry.event.name
            self._start_time = entry.event.start_time
            for place, shown in entry.bookmakers.items():
                for market in shown.markets.values():
                    if self._takes(market.key):
                        self._of(market.key, place).stands(at, market)
        self._seen(at)

    def take(self, changes: Iterable[HistoricalChange]) -> None:
        """Record changes, in order."""
        for change in changes:
            if isinstance(change, MarketChange) and self._takes(change.key):
                line = self._of(change.key, (change.source, change.bookmaker))
                if not line.outcomes and change.before is not None and self._times:
                    line.stands(self._times[0], change.before)
                line.stands(change.observed_at, change.after)
                self._seen(change.observed_at)
            elif isinstance(change, EventChange):
                self._name = change.event.name
                self._start_time = change.event.start_time
                if change.kind is ChangeKind.EVENT_ENDED:
                    for by_place in self._lines.values():
                        for line in by_place.values():
                            line.stands(change.observed_at, None)
                self._seen(change.observed_at)

    def _takes(self, key: MarketKey) -> bool:
        return (
            key.market == self._market
            and self._line in (None, key.line)
            and self._participant in (None, key.participant)
        )

    def _of(self, key: MarketKey, place: BookmakerKey) -> _Line:
        return self._lines.setdefault(key, {}).setdefault(place, _Line())

    def _seen(self, at: datetime) -> None:
        self._times = [self._times[0] if self._times else at, at]

    def history(self, end: datetime | None, outcome: str | None = None) -> PriceHistory:
        """Return the data of the chart.

        Args:
            end: The time until which the last prices hold; None for the last change.
            outcome: The only outcome to show; None for all.

        Raises:
            OddsServiceError: The changes contain no such market, or several.
        """
        keys = sorted(self._lines, key=lambda key: (float(key.line or 0), key.participant))
        if not keys:
            raise OddsServiceError("no odds of such a market in that span: nothing to draw")
        if len(keys) > 1:
            shown = ", ".join(" ".join(part for part in key[1:] if part) or "none" for key in keys)
            raise OddsServiceError(
                f"{len(keys)} markets are of this type; choose by --line and --participant: {shown}"
            )
        key = keys[0]
        of_key = self._lines[key]
        carried = [bookmaker for _, bookmaker in of_key]
        steps: dict[str, dict[str, Steps]] = {}
        for (source, bookmaker), line in sorted(of_key.items()):
            name = bookmaker if carried.count(bookmaker) == 1 else f"{bookmaker} ({source})"
            for each, of_outcome in line.outcomes.items():
                if outcome in (None, each):
                    steps.setdefault(each, {})[name] = of_outcome
        if not steps:
            raise OddsServiceError(f"the market has no outcome {outcome!r}")
        market = " ".join(part for part in key if part)
        end = self._times[-1] if end is None else max(end, self._times[-1])
        return PriceHistory(
            f"{self._name} · {market}", steps, self._times[0], end, self._start_time
        )
