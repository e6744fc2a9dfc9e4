"""Logs of changes to store, from given offers or random ones."""

import random
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from odds_service.model.change import Commit
from odds_service.model.market import MarketKey
from odds_service.model.snapshot import BookmakerOdds, EventOdds
from tests.support.observations import Book, Offer, Prices, observe, observed_event, offered

H2H: Final = MarketKey("h2h")
TOTALS, MOVED = MarketKey("totals", "2.5"), MarketKey("totals", "3")

# Each minute's whole offer: prices move and are suspended, a line moves, bookmakers, markets and
# events go and come back, no line and line 0 are two markets.
SERIES: Final[list[Offer]] = [
    {"e": {"b": {H2H: {"home": 2.0, "away": None}, TOTALS: {"over": 1.9}}}, "f": {"b": {}}},
    {"e": {"b": {H2H: {"home": 2.1, "away": 1.8}, MOVED: {"over": 1.9}}, "c": {H2H: {"home": 3}}}},
    {"e": {"b": {H2H: {"home": 2.1, "away": 1.8}}}},
    {},
    {},
    {"e": {"b": {MOVED: {"over": 2.2}, MarketKey("totals", ""): {"over": 2.0}}}},
    {"e": {"b": {MOVED: {"over": 2.2}, MarketKey("totals", "0"): {"over": 2.0}}}},
]


class Story(Book):
    """A log in batches, with the odds after each batch."""

    def __init__(self, series: Iterable[Offer] = (), *, every_s: float = 60.0) -> None:
        super().__init__()
        self.batches: list[Commit] = []
        self.confirmed: dict[int, BookmakerOdds] = {}  # the last one of each snapshot
        self.then: list[tuple[int, dict[str, EventOdds]]] = []
        self._every_s = every_s
        self._looks = 0
        for offer in series:
            self.look(offer)

    def look(
        self, offer: Offer, *, source: str = "toa", starts_in: timedelta | None = None
    ) -> None:
        """Observe a whole offer; the next look is `every_s` seconds later."""
        minute = self._looks * self._every_s / 60
        self._looks += 1
        self.look_at(minute, offer, source=source, starts_in=starts_in)

    def look_at(
        self,
        minute: float,
        offer: Offer,
        *,
        source: str = "toa",
        starts_in: timedelta | None = None,
    ) -> None:
        """Observe a whole offer some minutes after noon."""
        events = offered(offer)
        if starts_in is not None:
            at = observe([], minute).observed_at
            events = [
                observed_event(event_id, bookmakers, start_time=at + starts_in)
                for event_id, bookmakers in offer.items()
            ]
        found = self.see(observe(events, minute, source=source))
        if found.changes:
            self.batches.append(Commit(found.changes, found.snapshots, found.event_sources))
        self.confirmed |= {odds.snapshot_id: odds for odds in found.confirmed}
        self.then.append((len(self.log), dict(self.events)))


def random_series(seed: int, length: int) -> list[Offer]:
    """Return a story of random offers, each slightly different from the one before."""
    rng = random.Random(seed)
    keys = [H2H, TOTALS, MOVED, MarketKey("totals", ""), MarketKey("points", "7.5", "A Player")]
    offer: dict[str, dict[str, dict[MarketKey, Prices]]] = {}
    series: list[Offer] = []
    for _ in range(length):
        for _ in range(rng.randint(0, 4)):
            event = rng.choice(["e1", "e2", "e3", "e4"])
            bookmaker, key = rng.choice(["b1", "b2"]), rng.choice(keys)
            fate = rng.random()
            if fate < 0.15:
                offer.pop(event, None)
            elif fate < 0.25:
                offer.get(event, {}).pop(bookmaker, None)
            elif fate < 0.4:
                offer.get(event, {}).get(bookmaker, {}).pop(key, None)
            else:
                price = rng.choice([None, 1.5, 2.0, 2.25])
                offer.setdefault(event, {}).setdefault(bookmaker, {})[key] = {
                    "over": price, "under": 1.8
                }  # fmt: skip
        series.append({e: {b: dict(m) for b, m in of.items()} for e, of in offer.items()})
    return series


def groups(batches: Sequence[Commit], size: int) -> list[Sequence[Commit]]:
    return [batches[start : start + size] for start in range(0, len(batches), size)]
