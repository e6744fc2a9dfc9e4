"""A bookmaker's random offer as bodies of The Odds API, changed from poll to poll."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

SPORT = "soccer_epl"
BOOKMAKERS = ("alfa", "bravo", "carol")
LINES = (1.5, 2.5, 3.5, 4.5)
PRICES = (1.5, 1.62, 1.8, 1.95, 2.1, 2.6, 3.4)

Markets = dict[tuple[str, float | None], tuple[float, ...]]


def hours_from_now(hours: int) -> datetime:
    return (datetime.now(UTC) + timedelta(hours=hours)).replace(microsecond=0)


class Offer:
    """An offer of at most `events` events, none of which starts while a test runs."""

    def __init__(self, events: int = 6) -> None:
        self.events: dict[str, tuple[datetime, dict[str, Markets]]] = {}
        self._ids = [f"e{number}" for number in range(events)]

    def move(self, rng: random.Random, steps: int) -> bytes:
        """Change the offer `steps` times, and return its body."""
        for _ in range(steps):
            self._step(rng)
        return self.body(rng)

    def _step(self, rng: random.Random) -> None:
        event_id = rng.choice(self._ids)
        if event_id not in self.events:
            shown = {name: _markets(rng) for name in rng.sample(BOOKMAKERS, 2)}
            self.events[event_id] = hours_from_now(rng.choice((-1, 1, 5))), shown
            return
        _start, bookmakers = self.events[event_id]
        what = rng.random()
        name = rng.choice(BOOKMAKERS)
        if what < 0.06:
            del self.events[event_id]
        elif what < 0.16:
            self.events[event_id] = hours_from_now(rng.choice((-1, 1, 5))), bookmakers
        elif what < 0.26:
            if bookmakers.pop(name, None) is None:
                bookmakers[name] = _markets(rng)
        elif name in bookmakers:
            _move(rng, bookmakers[name])

    def body(self, rng: random.Random) -> bytes:
        """Return the present odds as a body, with everything in random order."""
        listed = []
        for event_id in rng.sample(sorted(self.events), len(self.events)):
            start, bookmakers = self.events[event_id]
            listed.append(
                {
                    "id": event_id,
                    "sport_key": SPORT,
                    "sport_title": "EPL",
                    "commence_time": start.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "home_team": f"Home of {event_id}",
                    "away_team": f"Away of {event_id}",
                    "bookmakers": [
                        _bookmaker(name, markets, event_id) for name, markets in bookmakers.items()
                    ],
                }
            )
        return json.dumps(listed).encode()


def _markets(rng: random.Random) -> Markets:
    markets: Markets = {("h2h", None): tuple(rng.sample(PRICES, 3))}
    for line in rng.sample(LINES, 2):
        markets["totals", line] = tuple(rng.sample(PRICES, 2))
    return markets


def _move(rng: random.Random, markets: Markets) -> None:
    key: tuple[str, float | None] = ("totals", rng.choice(LINES))
    if rng.random() < 0.5:
        markets["h2h", None] = tuple(rng.sample(PRICES, 3))
    elif key in markets and rng.random() < 0.5:
        del markets[key]  # with the next branch, at another line, it makes a line that moves
        other = ("totals", rng.choice(LINES))
        if rng.random() < 0.7:
            markets[other] = tuple(rng.sample(PRICES, 2))
    else:
        markets[key] = tuple(rng.sample(PRICES, 2))


def _bookmaker(name: str, markets: Markets, event_id: str) -> dict[str, Any]:
    now = hours_from_now(0).strftime("%Y-%m-%dT%H:%M:%SZ")
    sides = {
        "h2h": (f"Home of {event_id}", f"Away of {event_id}", "Draw"),
        "totals": ("Over", "Under"),
    }
    shown: dict[str, list[dict[str, Any]]] = {}
    for (kind, line), prices in markets.items():
        for side, price in zip(sides[kind], prices, strict=True):
            outcome: dict[str, Any] = {"name": side, "price": price}
            if line is not None:
                outcome["point"] = line
            shown.setdefault(kind, []).append(outcome)
    listed = [{"key": kind, "last_update": now, "outcomes": found} for kind, found in shown.items()]
    return {"key": name, "title": name.title(), "last_update": now, "markets": listed}
