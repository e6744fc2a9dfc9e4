"""Prices as text: decimal, American or fractional, with as many decimals as tell them apart."""

import enum
from collections.abc import Iterable
from typing import Annotated, Final

import typer
from msgspec import Struct

from odds_service.model.price import as_american, as_fractional
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

DECIMALS: Final = 2  # unless more are needed to tell two prices apart
MOST_DECIMALS: Final = 4
NONE: Final = "–"


class OddsFormat(enum.Enum):
    """A way to write a price."""

    DECIMAL = "decimal"
    AMERICAN = "american"
    FRACTIONAL = "fractional"


Format = Annotated[
    OddsFormat, typer.Option("--odds-format", help="Write prices like 2.50, +150 or 3/2.")
]


class Prices(Struct, frozen=True):
    """The form of prices that stand beside one another.

    Attributes:
        form: The format.
        decimals: Of decimal odds.
    """

    form: OddsFormat = OddsFormat.DECIMAL
    decimals: int = DECIMALS

    def telling_apart(self, compared: Iterable[Iterable[float]]) -> "Prices":
        """Return the form with the fewest decimals that keep different prices different.

        Args:
            compared: Groups of prices; those of one group are compared with each other.
        """
        groups = [set(group) for group in compared]
        for decimals in range(DECIMALS, MOST_DECIMALS):
            if all(
                len({f"{each:.{decimals}f}" for each in group}) == len(group) for group in groups
            ):
                return Prices(self.form, decimals)
        return Prices(self.form, MOST_DECIMALS)

    def text(self, price: float) -> str:
        """Return a price as text."""
        if self.form is OddsFormat.AMERICAN:
            return f"{as_american(price):+d}"
        if self.form is OddsFormat.FRACTIONAL:
            return as_fractional(price, 100)
        return f"{price:.{self.decimals}f}"

    def outcome(self, outcome: pb.Outcome, *, bettable: bool = True) -> str:
        """Return the price of an outcome; – without one, in brackets if no bet is possible."""
        shown = self.text(outcome.price) if outcome.HasField("price") else NONE
        return shown if outcome.active and bettable else f"({shown})"

    def market(self, market: pb.Market) -> str:
        """Return the outcomes with their prices: `home 1.91  away 1.95`."""
        bettable = market.status == pb.MARKET_STATUS_OPEN
        return "  ".join(
            f"{each.key} {self.outcome(each, bettable=bettable)}" for each in market.outcomes
        )

    def bare(self, market: pb.Market) -> str:
        """Return only the prices, in the order of the outcomes: `1.91 1.95`."""
        return " ".join(self.outcome(each) for each in market.outcomes)


def prices_in(*markets: pb.Market) -> dict[str, set[float]]:
    """Return the prices of each outcome in several forms of one market."""
    found: dict[str, set[float]] = {}
    for market in markets:
        for outcome in market.outcomes:
            if outcome.HasField("price"):
                found.setdefault(outcome.key, set()).add(outcome.price)
    return found
