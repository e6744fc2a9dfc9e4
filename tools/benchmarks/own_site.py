"""SportyBet's bodies with moving odds: the reader beside a typed decode of the same bytes."""

import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from odds_service.sources.markets.coverage import Coverage
from odds_service.sources.sportybet import SportyBet
from odds_service.sources.sportybet_shapes import ANSWER
from tools.benchmarks.figures import Aim, Measured, at_most

EVENTS: Final = 20
PLAYERS: Final = 15  # each a market of its own, as SportyBet lists them
LINES: Final = 20  # of totals, each of one half or team
TOTALS: Final = ("18", "68", "90", "19", "20", "69", "70", "91", "92")
WARM: Final = 3  # polls
BEGIN_MS: Final = 1_785_844_800_000
AIM: Final[Aim] = at_most(1.5)
LIMIT: Final = "lookups of markets and of outcomes as they are written, which wait for memory"


class OwnSite:
    """A bookmaker's events; a share of their markets moves at each poll.

    Args:
        name: begins the names of the figures.
        answers: the first answers, as they are decoded without types.
        changed: the share of markets that move.
    """

    def __init__(self, name: str, answers: Sequence[dict[str, Any]], changed: float) -> None:
        self._name = name
        self._answers = answers
        self._changed = changed
        self._random = random.Random(1)
        self._moves = 0

    def bodies(self) -> list[bytes]:
        """Return the next poll's bodies."""
        self._moves += 1
        for answer in self._answers:
            for market in answer["data"]["markets"]:
                if self._random.random() < self._changed:
                    market["lastOddsChangeTime"] = BEGIN_MS + self._moves * 1_000
                    for outcome in market["outcomes"]:
                        outcome["odds"] = f"{1.02 + self._random.expovariate(0.5):.2f}"
        return [msgspec.json.encode(answer) for answer in self._answers]

    def warm(self) -> None:
        """Read a few polls, so that the caches hold what they do in a service that runs."""
        for _ in range(WARM):
            for body in self.bodies():
                SportyBet.read_body(body, Counter(), Coverage())

    def turn(self, found: Measured) -> None:
        """Decode and read the next bodies; add the processor time of each."""
        bodies = self.bodies()
        began = time.process_time()
        for body in bodies:
            ANSWER.decode(body)
        decoded = time.process_time()
        for body in bodies:
            SportyBet.read_body(body, Counter(), Coverage())
        read = time.process_time()
        found.add(f"{self._name}: typed decode", (decoded - began) * 1_000, "ms")
        found.add(f"{self._name}: read", (read - decoded) * 1_000, "ms")

    def judge(self, found: Measured) -> None:
        """Add the ratio of all turns."""
        found.ratio(
            f"{self._name}: read, of the typed decode",
            f"{self._name}: read", f"{self._name}: typed decode", AIM,
        )  # fmt: skip
        found.limits(f"{self._name}: read, of the typed decode", LIMIT)


def simulated(changed: float) -> OwnSite:
    """Return a site of EVENTS events, with the fields and sizes of the real ones."""
    draw = random.Random(0)
    return OwnSite("SportyBet", [_answer(number, draw) for number in range(EVENTS)], changed)


def recorded(folder: Path, changed: float) -> OwnSite:
    """Return a site that begins with the recorded bodies of a folder."""
    answers = [msgspec.json.decode(file.read_bytes()) for file in sorted(folder.glob("*.json"))]
    return OwnSite("recorded SportyBet", answers, changed)


def _answer(number: int, draw: random.Random) -> dict[str, Any]:
    markets = [_market("1", None, {"1": "Home", "2": "Draw", "3": "Away"}, draw)]
    for total in TOTALS:
        for line in range(LINES):
            text = f"{line + 0.5:g}"
            outcomes = {"12": f"Over {text}", "13": f"Under {text}"}
            markets.append(_market(total, f"total={text}", outcomes, draw))
    for player in range(PLAYERS):
        place = f"pre:playerprops:{number}:{player}"
        outcomes = {f"{place}:{n}": f"Player {number}, No{player} (Reds) {n}+" for n in range(1, 9)}
        markets.append(_market("776", f"variant={place}", outcomes, draw))
    event = {
        "eventId": f"sr:match:{1 + number}", "estimateStartTime": BEGIN_MS, "status": 0,
        "homeTeamName": f"Reds {number}", "awayTeamName": f"Blues {number}",
        "sport": {
            "id": "sr:sport:1", "name": "Football",
            "category": {"name": "Arvenia", "tournament": {"name": "Premier Division"}},
        },
        "markets": markets,
    }  # fmt: skip
    return {"bizCode": 10_000, "message": "0#0", "data": event}


def _market(
    id_: str, specifier: str | None, outcomes: dict[str, str], draw: random.Random
) -> dict[str, Any]:
    market: dict[str, Any] = {
        "id": id_, "product": 3, "desc": f"Market {id_}", "status": 0, "group": "Main",
        "groupId": "171121135724MGI11262166", "marketGuide": "Overtime is not included. " * 4,
        "title": "", "name": f"Market {id_}", "favourite": 0,
        "outcomes": [
            {
                "id": key, "odds": f"{1.02 + draw.expovariate(0.5):.2f}",
                "probability": f"{draw.random():.10f}", "voidProbability": "0E-10",
                "isActive": 1, "desc": text,
            }
            for key, text in outcomes.items()
        ],
        "farNearOdds": 0, "sourceType": "BET_RADAR", "lastOddsChangeTime": BEGIN_MS,
        "banned": False,
    }  # fmt: skip
    return market if specifier is None else market | {"specifier": specifier}
