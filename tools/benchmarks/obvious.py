"""The obvious way to detect changes, written out: what the pipeline is compared with."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from odds_service.model.observation import Observation

Place = tuple[str, str, tuple[str, str, str]]  # event, bookmaker, market


@dataclass(frozen=True)
class CachedMarket:
    """A market as it was captured, rebuilt each cycle."""

    key: tuple[str, str, str]
    outcomes: list[dict[str, Any]]
    captured_at: datetime


class ObviousDetector:
    """Dicts per market, both sides sorted and compared, a frozen object per market each cycle."""

    def __init__(self) -> None:
        self.cache: dict[Place, CachedMarket] = {}

    def cycle(self, observations: Iterable[Observation], now: datetime) -> int:
        """Compare a cycle with the one before and keep it; gives how many markets changed."""
        changed = 0
        fresh: dict[Place, CachedMarket] = {}
        for observation in observations:
            for event in observation.events:
                for bookmaker in event.bookmakers:
                    for key, market in bookmaker.markets.items():
                        place = event.source_event_id, bookmaker.bookmaker, key
                        outcomes = [
                            {"name": o.key, "price": o.price, "active": o.active}
                            for o in market.outcomes
                        ]
                        before = self.cache.get(place)
                        if before is None or _sorted(before.outcomes) != _sorted(outcomes):
                            changed += 1
                        fresh[place] = CachedMarket(key, outcomes, now)
        self.cache = fresh
        return changed


def _sorted(outcomes: list[dict[str, Any]]) -> list[tuple[str, float | None, bool]]:
    return sorted((o["name"], o["price"], o["active"]) for o in outcomes)
