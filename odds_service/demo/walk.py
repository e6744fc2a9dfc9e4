"""The random walk of a bookmaker's markets on an event, and their JSON.

A *slot* is a market as the service counts it: a type with a line and a participant. The Odds API
puts all lines and players of a type under one market key, so a ``WalkingMarket`` has many slots.
The bytes of a slot are cached until it changes, so a body is a join of ready pieces.
"""

from collections.abc import Iterator
from math import floor, log
from random import Random
from typing import Final, Literal

import msgspec

from odds_service.demo import names

PRICE_STEP: Final = 0.012  # standard deviation of one move, in probability
DISSENT: Final = 0.012  # bookmakers' distance from the fair odds when they set a line
MEMORY: Final = 0.6  # share of a bookmaker's distance from the fair odds that a move leaves
LEAST_PROBABILITY: Final = 0.03
FAIR_HOME_STEP: Final = 0.004  # of the fair odds a step, in probability
FAIR_LINE_STEP: Final = 0.05  # of the fair lines a step, in points

Family = Literal["h2h", "spreads", "totals", "player"]

_encoder: Final = msgspec.json.Encoder()


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An outcome in the shape and field order of The Odds API; absent fields are omitted."""

    name: str
    description: str | None = None
    price: float | int
    point: float | None = None


class Sides(msgspec.Struct, frozen=True):
    """The names of an event's outcomes."""

    home: str
    away: str
    draw: bool


class Fair:
    """The fair odds of an event, without margins; its bookmakers follow them at different speeds.

    Without common fair odds, every pair of bookmakers would be an arbitrage.
    """

    __slots__ = ("home", "players", "slope", "spread", "total")

    def __init__(self, sport: names.Sport, rng: Random) -> None:
        self.slope = sport.slope
        self.home = rng.uniform(0.2, 0.8)
        self.spread = rng.uniform(-4.0, 4.0)  # the home side's handicap at even chances
        self.total = sport.total + rng.uniform(-1.0, 1.0)
        self.players: dict[tuple[str, str], float] = {}

    def drift(self, rng: Random) -> None:
        """Advance the fair odds by one step."""
        self.home = _reflect(self.home + rng.gauss(0.0, FAIR_HOME_STEP))
        self.spread += rng.gauss(0.0, FAIR_LINE_STEP)
        self.total = max(1.0, self.total + rng.gauss(0.0, FAIR_LINE_STEP))

    def score(self, step: float) -> None:
        """Move the home side's chances by a goal; more points are to be expected, too."""
        self.home = _reflect(self.home + step)
        self.spread -= step / self.slope
        self.total += 0.5

    def even_line(self, market: "WalkingMarket", slot: "Slot") -> float:
        """Return the line at which both sides are equally likely."""
        if market.family == "spreads":
            return self.spread
        if market.family == "totals":
            return self.total
        return self.players[market.key, slot.player or ""]

    def probability(self, market: "WalkingMarket", slot: "Slot") -> float:
        """Return the probability of the slot's first side."""
        if slot.line is None:
            return self.home
        beyond = (slot.line - self.even_line(market, slot)) * self.slope
        fair = 0.5 + beyond if market.family == "spreads" else 0.5 - beyond
        return min(max(fair, LEAST_PROBABILITY), 1 - LEAST_PROBABILITY)


class Slot:
    """A line of a market: the probability of its first side, and its cached bytes."""

    __slots__ = ("decimal", "line", "player", "probability")

    def __init__(self, line: float | None, player: str | None) -> None:
        self.line = line
        self.player = player
        self.probability = 0.5
        self.decimal = b""


class WalkingMarket:
    """A market key of a bookmaker on an event.

    ``absent_until`` and ``hidden`` (by slot) are the steps at which an absence ends. ``stamp`` is
    the `last_update`, as bytes.
    """

    __slots__ = (
        "_fair",
        "_joined",
        "_margin",
        "_reverse",
        "_sides",
        "absent_until",
        "drawless_until",
        "family",
        "hidden",
        "key",
        "slots",
        "stamp",
    )

    def __init__(
        self, key: str, family: Family, sides: Sides, fair: Fair, margin: float, reverse: bool
    ) -> None:
        self.key = key
        self.family = family
        self.slots: list[Slot] = []
        self.absent_until = 0
        self.drawless_until = 0
        self.hidden: dict[int, int] = {}
        self.stamp = b""
        self._sides = sides
        self._fair = fair
        self._margin = margin
        self._reverse = reverse
        self._joined: bytes | None = None

    @property
    def outcome_names(self) -> tuple[str, ...]:
        """The names of all outcomes: home, away and draw, or over and under."""
        if self.family in {"h2h", "spreads"}:
            return self._sides.home, self._sides.away, "Draw"
        return "Over", "Under"

    def add(self, line: float | None, player: str | None, rng: Random) -> None:
        """Add a slot with a first price."""
        slot = Slot(line, player)
        slot.probability = self._fair.probability(self, slot) + rng.gauss(0.0, DISSENT)
        slot.decimal = self._encode(slot, american=False)
        self.slots.append(slot)
        self._joined = None

    def move(self, index: int, rng: Random, line_move_share: float) -> None:
        """Move a slot's line, with probability ``line_move_share``, or else its prices."""
        slot = self.slots[index]
        if slot.line is not None and rng.random() < line_move_share:
            slot = self._move_line(slot, slot.line, rng)
            slot.probability = self._fair.probability(self, slot) + rng.gauss(0.0, DISSENT)
            slot.decimal = self._encode(slot, american=False)
        else:
            # Rounding may hide a small move, but a counted change must be visible.
            before, size = slot.decimal, PRICE_STEP
            fair = self._fair.probability(self, slot)
            while slot.decimal == before:
                slot.probability = fair + MEMORY * (slot.probability - fair) + rng.gauss(0.0, size)
                slot.decimal = self._encode(slot, american=False)
                size *= 2
        self._joined = None

    def _move_line(self, slot: Slot, line: float, rng: Random) -> Slot:
        """Move the line of a slot, or of the end of a ladder; return the slot that moved."""
        ladder = len(self.slots) > 1 and self.family != "player"
        rungs = sorted(self.slots, key=lambda rung: rung.line or 0.0) if ladder else [slot]
        lowest, highest = rungs[0].line or 0.0, rungs[-1].line or 0.0
        off = (lowest + highest) / 2 - self._fair.even_line(self, slot)
        up = off < 0 if abs(off) > 1 else rng.random() < 0.5
        # Keep a ladder without gaps and repeats: move its lowest rung to the top, or vice versa.
        moved = rungs[0] if up or self._at_bottom(lowest) else rungs[-1]
        moved.line = highest + 1 if moved is rungs[0] and ladder else lowest - 1
        if not ladder:
            moved.line = line + 1 if up or self._at_bottom(line) else line - 1
        return moved

    def _at_bottom(self, line: float) -> bool:
        """Return whether the line cannot go lower; only handicaps may be negative."""
        return self.family != "spreads" and line <= 1

    def hide(self, index: int, until: int) -> None:
        """Hide a slot until a step."""
        self.hidden[index] = until
        self._joined = None

    def drop_draw(self, until: int) -> None:
        """Hide the draw of a three-way market until a step."""
        self.drawless_until = until
        self._redraw()

    def return_due(self, step: int) -> None:
        """Show the slots and draws that were hidden until this step."""
        if self.hidden and any(until <= step for until in self.hidden.values()):
            self.hidden = {i: until for i, until in self.hidden.items() if until > step}
            self._joined = None
        if self.drawless_until and self.drawless_until <= step:
            self.drawless_until = 0
            self._redraw()

    def outcomes(self, *, american: bool) -> bytes:
        """Return the outcomes of all slots as JSON, without brackets; empty if none is offered."""
        if american:
            return b",".join(
                self._encode(slot, american=True)
                for index, slot in enumerate(self.slots)
                if index not in self.hidden
            )
        if self._joined is None:
            self._joined = b",".join(
                slot.decimal for index, slot in enumerate(self.slots) if index not in self.hidden
            )
        return self._joined

    def _redraw(self) -> None:
        for slot in self.slots:
            slot.decimal = self._encode(slot, american=False)
        self._joined = None

    def _encode(self, slot: Slot, *, american: bool) -> bytes:
        outcomes = list(self._outcomes(slot, american))
        if self._reverse:
            outcomes.reverse()
        return _encoder.encode(outcomes)[1:-1]

    def _outcomes(self, slot: Slot, american: bool) -> Iterator[Outcome]:
        first = _reflect(slot.probability)
        draw = 0.28 * (1 - abs(2 * first - 1)) if self.family == "h2h" and self._sides.draw else 0.0
        prices = [
            _price(share, self._margin, american)
            for share in ((1 - draw) * first, (1 - draw) * (1 - first))
        ]
        if self.family == "h2h":
            yield Outcome(name=self._sides.home, price=prices[0])
            yield Outcome(name=self._sides.away, price=prices[1])
            if draw and not self.drawless_until:
                yield Outcome(name="Draw", price=_price(draw, self._margin, american))
        elif self.family == "spreads":
            line = slot.line or 0.0
            yield Outcome(name=self._sides.home, price=prices[0], point=line)
            yield Outcome(name=self._sides.away, price=prices[1], point=0.0 - line)
        else:
            for name, price in zip(("Over", "Under"), prices, strict=True):
                yield Outcome(name=name, description=slot.player, price=price, point=slot.line)


def open_markets(
    count: int, sport: names.Sport, sides: Sides, fair: Fair, rng: Random
) -> list[WalkingMarket]:
    """Return the markets of a bookmaker on an event, with ``count`` slots in total.

    Main lines end in a half and alternate lines are whole, so no two slots share a line.

    Args:
        count: the number of slots.
        sport: the sport, which decides on the markets.
        sides: the names of the outcomes.
        fair: the fair odds of the event.
        rng: the source of randomness.
    """
    margin, reverse = rng.uniform(0.03, 0.08), rng.random() < 0.5

    def market(key: str, family: Family) -> WalkingMarket:
        return WalkingMarket(key, family, sides, fair, margin, reverse)

    h2h, spreads, totals = (
        market("h2h", "h2h"),
        market("spreads", "spreads"),
        market("totals", "totals"),
    )
    h2h.add(None, None, rng)
    spreads.add(floor(fair.spread) + 0.5, None, rng)
    totals.add(floor(fair.total) + 0.5, None, rng)
    markets = [h2h, spreads, totals][:count]
    rest = max(0, count - len(markets))
    if ladder := rest // 4:
        for alternate, lowest in (
            (market("alternate_spreads", "spreads"), int(fair.spread) - ladder // 2),
            (market("alternate_totals", "totals"), max(1, int(fair.total) - ladder // 2)),
        ):
            for rung in range(ladder):
                alternate.add(float(lowest + rung), None, rng)
            markets.append(alternate)
    player_markets: dict[str, WalkingMarket] = {}
    for key, player in names.players(sport.players, rest - 2 * ladder):
        if key not in player_markets:
            player_markets[key] = market(key, "player")
        even = fair.players.setdefault((key, player), rng.uniform(0.5, 30.0))
        player_markets[key].add(floor(even) + 0.5, player, rng)
    return markets + list(player_markets.values())


def chosen(count: int, share: float, rng: Random) -> Iterator[int]:
    """Yield indices below ``count``, each with probability ``share``, in time per yielded index."""
    if share >= 1:
        yield from range(count)
        return
    if share <= 0:
        return
    scale = log(1 - share)
    index = -1
    while True:
        # 1 - random() is in (0, 1], so its logarithm is defined.
        index += 1 + int(log(1 - rng.random()) / scale)
        if index >= count:
            return
        yield index


def american_price(decimal: float) -> int:
    """Convert decimal odds above 1 to American odds: 1.5 to -200, 2.5 to 150."""
    return round((decimal - 1) * 100) if decimal >= 2 else round(-100 / (decimal - 1))


def _price(share: float, margin: float, american: bool) -> float | int:
    decimal = max(1.01, round(1 / (share * (1 + margin)), 2))
    return american_price(decimal) if american else decimal


def _reflect(probability: float) -> float:
    """Keep a probability within its bounds by reflecting it at them."""
    lowest, highest = LEAST_PROBABILITY, 1 - LEAST_PROBABILITY
    span = highest - lowest
    offset = (probability - lowest) % (2 * span)
    return lowest + (offset if offset <= span else 2 * span - offset)
