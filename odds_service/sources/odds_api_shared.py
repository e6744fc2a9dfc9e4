"""Values that many markets of The Odds API share: an outcome a name and price, a key a line.

Reading looks them up for every price of every poll, so they lie in dicts of dicts, by what a body
says; a lookup that finds nothing makes the value (`__missing__`).
"""

from typing import Final

from odds_service.model.market import NO_LINE, MarketKey, Outcome, outcome_order
from odds_service.model.price import american_price, canonical_line, decimal_price

KNOWN_OUTCOMES: Final = {
    "Draw": "draw", "Over": "over", "Under": "under", "Yes": "yes", "No": "no"
}  # fmt: skip
HOME_RANK, AWAY_RANK = (outcome_order(Outcome(side, side, None))[0] for side in ("home", "away"))
MOST_SHARED: Final = 2**18  # values kept to be shared; then sharing starts anew
NUL: Final = "\0"  # PostgreSQL refuses it in text, SQLite does not: refused here for both


class BadText(ValueError):
    """A text that no database should be given."""


class Priced(dict[float, Outcome]):
    """A price as written -> the one outcome of a name that all who show it share.

    rank: where such outcomes stand in a market; those of two unknown names stand by their names.
    """

    __slots__ = ("_american", "_shared", "key", "name", "rank")

    def __init__(self, key: str, name: str, american: bool, shared: "Shared") -> None:
        super().__init__()
        self.key = shared.text(key)
        self.name = shared.text(name)
        self.rank = outcome_order(Outcome(key, name, None))[0]
        self._american = american
        self._shared = shared

    def __missing__(self, written: float) -> Outcome:
        """Raises BadPrice."""
        price = american_price(written) if self._american else decimal_price(written)
        outcome = Outcome(self.key, self.name, price)
        self._shared.count()
        self[written] = outcome
        return outcome


class Names(dict[str, Priced]):
    """A name as an event's body writes it -> its outcomes; the sides' names are the event's own."""

    __slots__ = ("_american", "_shared")

    def __init__(self, known: dict[str, Priced], american: bool, shared: "Shared") -> None:
        super().__init__(known)
        self._american = american
        self._shared = shared

    def __missing__(self, name: str) -> Priced:
        """Raises BadText."""
        priced = self._shared.priced(name, name, self._american)
        self[name] = priced
        return priced

    def key(self, participant: str | None) -> str | None:
        """A team's market is the home or the away side's, whatever the team is called."""
        known = None if participant is None else self.get(participant)
        return participant if known is None else known.key


class Lines(dict[float | None, MarketKey]):
    """A point as written, None for none -> the key of a market type and participant."""

    __slots__ = ("_market", "_participant", "_shared")

    def __init__(self, market: str, participant: str, shared: "Shared") -> None:
        super().__init__()
        self._market = shared.text(market)
        self._participant = shared.text(participant)
        self._shared = shared

    def __missing__(self, point: float | None) -> MarketKey:
        """Raises BadPrice."""
        line = NO_LINE if point is None else canonical_line(point)
        key = MarketKey(self._market, line, self._participant)
        self._shared.count()
        self[point] = key
        return key


class Participants(dict[str | None, Lines]):
    """A participant's key, None for none -> the keys of its lines, of one market type."""

    __slots__ = ("_market", "_shared")

    def __init__(self, market: str, shared: "Shared") -> None:
        super().__init__()
        self._market = market
        self._shared = shared

    def __missing__(self, participant: str | None) -> Lines:
        """Raises BadText."""
        lines = Lines(self._market, participant or "", self._shared)
        self[participant] = lines
        return lines


class Shared:
    """All that one source's markets share, bounded: beyond MOST_SHARED it starts anew."""

    def __init__(self) -> None:
        self._priced: dict[tuple[str, str, bool], Priced] = {}
        self._markets: dict[str, Participants] = {}
        self._texts: dict[str, str] = {}
        self._values = 0

    def text(self, text: str) -> str:
        """The one copy of a text. Raises BadText."""
        known = self._texts.get(text)
        if known is None:
            if NUL in text:
                raise BadText
            self.count()
            self._texts[text] = known = text
        return known

    def priced(self, key: str, name: str, american: bool) -> Priced:
        """The outcomes of a name. Raises BadText."""
        priced = self._priced.get((key, name, american))
        if priced is None:
            priced = Priced(key, name, american, self)
            self._priced[key, name, american] = priced
        return priced

    def names(self, sides: dict[str, str], american: bool) -> Names:
        """What an event's outcomes are called; sides: its teams' names -> `home` or `away`."""
        keys = KNOWN_OUTCOMES | sides
        return Names({name: self.priced(key, name, american) for name, key in keys.items()},
                     american, self)  # fmt: skip

    def participants(self, market: str) -> Participants:
        """The keys of a market type."""
        participants = self._markets.get(market)
        if participants is None:
            participants = Participants(market, self)
            self._markets[market] = participants
        return participants

    def count(self) -> None:
        """One more value is kept."""
        self._values += 1
        if self._values > MOST_SHARED:
            self._values = 0
            self._priced.clear()
            self._markets.clear()
            self._texts.clear()
