"""An independent reading of The Odds API's bodies: the changes from poll to poll.

It is written from the API's docs and the rules in docs/architecture.md, with plain dicts and
Fractions and without a line of odds_service, so that it can judge the service. Prices are compared
as exact fractions.
"""

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, NamedTuple

Outcomes = tuple[tuple[str, Fraction | None], ...]  # None: shown without a usable price


class Identity(NamedTuple):
    event: str
    bookmaker: str
    market: str
    line: Fraction | None
    participant: str


class OracleChange(NamedTuple):
    """A change of a market or an event.

    `kind` is ADDED, PRICES, REMOVED, EVENT_ADDED, EVENT_UPDATED or EVENT_ENDED. The key of an
    event's change holds the event alone.
    """

    kind: str
    key: Identity
    before: Outcomes | None
    after: Outcomes | None


def decimal_of(price: float, american: bool) -> Fraction | None:
    """Return exact decimal odds, None for anything that is no price."""
    exact = Fraction(str(price))
    if american:
        if not 100 <= abs(exact) <= 10_000_000:
            return None
        return 1 + (exact / 100 if exact > 0 else 100 / -exact)
    return exact if 1 < exact <= 1_000_000 else None


def is_american(body: Iterable[dict[str, Any]]) -> bool:
    """Return whether all prices of a body are American: whole numbers from ±100 on."""
    prices = [
        outcome["price"]
        for event in body
        for bookmaker in event["bookmakers"]
        for market in bookmaker["markets"]
        for outcome in market["outcomes"]
    ]
    return bool(prices) and all(price == int(price) and abs(price) >= 100 for price in prices)


def markets_of(event: dict[str, Any], american: bool) -> dict[Identity, Outcomes]:
    """Return all markets of an event by their full identity."""
    names = {event["home_team"]: "home", event["away_team"]: "away", "Draw": "draw"}
    names |= {"Over": "over", "Under": "under", "Yes": "yes", "No": "no"}
    found: dict[Identity, dict[str, Fraction | None]] = {}
    for bookmaker in event["bookmakers"]:
        for market in bookmaker["markets"]:
            if all(decimal_of(each["price"], american) is None for each in market["outcomes"]):
                continue  # it could not be read
            for outcome in market["outcomes"]:
                price = decimal_of(outcome["price"], american)
                key = names.get(outcome["name"], outcome["name"])
                line = outcome.get("point")
                exact = None if line is None else Fraction(str(line))
                if exact is not None and "spreads" in market["key"] and key == "away":
                    exact = -exact
                identity = Identity(
                    event["id"], bookmaker["key"], market["key"], exact,
                    outcome.get("description") or "",
                )  # fmt: skip
                prices = found.setdefault(identity, {})
                held = prices.get(key)
                prices[key] = min(price, held) if price and held else price or held
    return {
        identity: tuple((key, prices[key]) for key in sorted(prices))
        for identity, prices in found.items()
    }


class Oracle:
    """A fold of one listing's bodies in order; an event ends at its second absence in a row."""

    def __init__(self) -> None:
        self.markets: dict[Identity, Outcomes] = {}
        self.events: dict[str, tuple[str, str, str]] = {}
        self.changes: list[OracleChange] = []
        self.moves = 0
        self._absent: Counter[str] = Counter()

    def counts(self) -> Counter[str]:
        return Counter(change.kind for change in self.changes)

    def poll(self, body: list[dict[str, Any]], american: bool | None = None) -> None:
        """Fold the next body; by default, detect the format of its prices."""
        if american is None:
            american = is_american(body)
        present = {event["id"]: event for event in body}
        for event_id, event in present.items():
            self._absent[event_id] = 0
            self._event(event)
            self._compare(event_id, markets_of(event, american))
        for event_id in [known for known in self.events if known not in present]:
            self._absent[event_id] += 1
            if self._absent[event_id] == 2:
                del self.events[event_id]
                self._absent[event_id] = 0
                self.markets = {k: v for k, v in self.markets.items() if k.event != event_id}
                self._note("EVENT_ENDED", event_id)

    def restarted(self) -> None:
        """Count absences from zero, as the service does after a restart."""
        self._absent.clear()

    def _event(self, event: dict[str, Any]) -> None:
        described = event["home_team"], event["away_team"], event["commence_time"]
        before = self.events.get(event["id"])
        self.events[event["id"]] = described
        if before is None:
            self._note("EVENT_ADDED", event["id"])
        elif before != described:
            self._note("EVENT_UPDATED", event["id"])

    def _note(self, kind: str, event_id: str) -> None:
        self.changes.append(OracleChange(kind, Identity(event_id, "", "", None, ""), None, None))

    def _compare(self, event_id: str, shown: dict[Identity, Outcomes]) -> None:
        known = {key for key in self.markets if key.event == event_id}
        for key in known - shown.keys():
            self.changes.append(OracleChange("REMOVED", key, self.markets.pop(key), None))
        for key, outcomes in shown.items():
            before = self.markets.get(key)
            if before != outcomes:
                kind = "ADDED" if before is None else "PRICES"
                self.changes.append(OracleChange(kind, key, before, outcomes))
            self.markets[key] = outcomes


def bare_counts(bodies: Iterable[list[dict[str, Any]]]) -> Counter[str]:
    """Count changes between polls, each absence at once: the figures in the data's README."""
    counts: Counter[str] = Counter()
    before: dict[Identity, list[tuple[str, Fraction | None]]] | None = None
    for body in bodies:
        american = is_american(body)
        shown = {
            key: [priced for priced in outcomes if priced[1] is not None]
            for event in body
            for key, outcomes in markets_of(event, american).items()
        }
        if before is not None:
            counts["ADDED"] += len(shown.keys() - before.keys())
            counts["REMOVED"] += len(before.keys() - shown.keys())
            counts["PRICES"] += sum(before[k] != shown[k] for k in shown.keys() & before.keys())
        before = shown
    return counts
