"""Values that many markets of The Odds API share: one outcome per name and price, one key per line.

The decoder looks them up for every price of every poll, so they live in nested dicts whose keys are
the body's own strings and numbers. A failed lookup creates the value (`__missing__`).
"""

import unicodedata
from collections.abc import Mapping
from typing import Final

from odds_service.model.market import NO_LINE, MarketKey, Outcome, outcome_order
from odds_service.model.price import american_price, canonical_line, decimal_price

KNOWN_OUTCOMES: Final = {
    "Draw": "draw", "Over": "over", "Under": "under", "Yes": "yes", "No": "no"
}  # fmt: skip
_SIDES: Final = frozenset({"home", "away"})
HOME_RANK, AWAY_RANK = (outcome_order(Outcome(side, side, None))[0] for side in ("home", "away"))
MOST_SHARED: Final = 2**18  # limit of shared values; all are cleared beyond it
_TIE: Final = "tie"  # in limited-overs cricket, the draw
_CHANCES: Final = {
    frozenset({"home", "draw"}): "home_draw",
    frozenset({"home", "away"}): "home_away",
    frozenset({"draw", "away"}): "draw_away",
}
_RESULTS: Final = {
    "home": "home", "1": "home", "draw": "draw", "x": "draw", _TIE: "draw", "away": "away",
    "2": "away",
}  # fmt: skip
_SHORT: Final = {"1x": "home_draw", "12": "home_away", "x2": "draw_away"}
_EITHER: Final = (" or ", "/")  # between the two results of a double chance
NUL: Final = "\0"  # PostgreSQL rejects it in text; SQLite does not


class BadText(ValueError):
    """A text that must not be stored."""


class Priced(dict[float, Outcome]):
    """The outcomes of one name, by price as written.

    Attributes:
        rank: the position of these outcomes in a market; two unknown names are ordered by name.
    """

    __slots__ = ("_american", "_shared", "key", "name", "rank", "unpriced")

    def __init__(self, key: str, name: str, american: bool, shared: "Shared") -> None:
        super().__init__()
        self.key = shared.text(key)
        self.name = shared.text(name)
        self.unpriced = Outcome(self.key, self.name, None, active=False)
        self.rank = outcome_order(self.unpriced)[0]
        self._american = american
        self._shared = shared

    def __missing__(self, written: float) -> Outcome:
        """Create the outcome of a new price. Raises BadPrice."""
        price = american_price(written) if self._american else decimal_price(written)
        outcome = Outcome(self.key, self.name, price)
        self._shared.count()
        self[written] = outcome
        return outcome


class Names(dict[str, Priced]):
    """The outcomes of one event, by name as written; the sides have the event's own names.

    The event's own spelling is present from the start. Spellings that differ only in case, white
    space or the encoding of accents denote the same bets.
    """

    __slots__ = ("_american", "_keys", "_shared", "ties")

    def __init__(
        self, keys: Mapping[str, str], american: bool, shared: "Shared", ties: bool
    ) -> None:
        super().__init__({name: shared.priced(key, name, american) for name, key in keys.items()})
        self.ties = ties
        self._american = american
        self._shared = shared
        self._keys: dict[str, str] = {}

    def __missing__(self, name: str) -> Priced:
        """Resolve a new spelling of a name. Raises BadText."""
        priced = self._shared.priced(self._key(name), name, self._american)
        self[name] = priced
        return priced

    def key(self, participant: str | None) -> str | None:
        """Return the key of a participant: `home` or `away` for a team, whatever its name."""
        if participant is None:
            return None
        known = self.get(participant)
        return self._key(participant) if known is None else known.key

    def chance(self, name: str) -> Priced:
        """Return the outcomes of a double chance such as `Reds or Draw` or `1X`. Raises BadText."""
        folded = self._shared.spelling(name)[1]
        key = _SHORT.get(folded)
        for either in _EITHER:
            place = folded.find(either)
            while key is None and place >= 0:  # a team may be called `This or That`
                one, other = folded[:place].strip(), folded[place + len(either) :].strip()
                key = _CHANCES.get(frozenset({self._result(one), self._result(other)}))
                place = folded.find(either, place + 1)
        return self[name] if key is None else self._shared.priced(key, name, self._american)

    def tie(self, name: str) -> Priced:
        """Return the outcomes of a tie that is listed beside a draw, so it is a different bet."""
        return self._shared.priced(_TIE, name, self._american)

    def _result(self, folded: str) -> str:
        return self._known().get(folded) or _RESULTS.get(folded, "")

    def _key(self, name: str) -> str:
        clean, folded = self._shared.spelling(name)
        return self._known().get(folded, clean)

    def _known(self) -> dict[str, str]:
        """Return keys by folded spelling; built on the first call, which is rare."""
        if not self._keys:
            self._keys = {_TIE: "draw"} if self.ties else {}
            for name, priced in self.items():
                if name in KNOWN_OUTCOMES or priced.key in _SIDES:
                    self._keys[self._shared.spelling(name)[1]] = priced.key
        return self._keys


class Lines(dict[float | None, MarketKey]):
    """The keys of one market type and participant, by point as written; None for no point."""

    __slots__ = ("_market", "_participant", "_shared")

    def __init__(self, market: str, participant: str, shared: "Shared") -> None:
        super().__init__()
        self._market = shared.text(market)
        self._participant = shared.text(participant)
        self._shared = shared

    def __missing__(self, point: float | None) -> MarketKey:
        """Create the key of a new line. Raises BadPrice."""
        line = NO_LINE if point is None else canonical_line(point)
        key = MarketKey(self._market, line, self._participant)
        self._shared.count()
        self[point] = key
        return key


class Participants(dict[str | None, Lines]):
    """The lines of one market type, by participant's key; None for no participant."""

    __slots__ = ("_market", "_shared")

    def __init__(self, market: str, shared: "Shared") -> None:
        super().__init__()
        self._market = market
        self._shared = shared

    def __missing__(self, participant: str | None) -> Lines:
        """Create the lines of a new participant. Raises BadText."""
        lines = Lines(self._market, participant or "", self._shared)
        self[participant] = lines
        return lines


class Shared:
    """The values that the markets of one source share; cleared beyond MOST_SHARED."""

    def __init__(self) -> None:
        self._priced: dict[tuple[str, str, bool], Priced] = {}
        self._markets: dict[str, Participants] = {}
        self._texts: dict[str, str] = {}
        self._spellings: dict[str, tuple[str, str]] = {}
        self._values = 0

    def text(self, text: str) -> str:
        """Return the shared copy of a text. Raises BadText."""
        known = self._texts.get(text)
        if known is None:
            if NUL in text:
                raise BadText
            self.count()
            self._texts[text] = known = text
        return known

    def priced(self, key: str, name: str, american: bool) -> Priced:
        """Return the outcomes of a name. Raises BadText.

        Args:
            key: the outcomes' canonical key.
            name: the name for people.
            american: whether the prices are American.
        """
        priced = self._priced.get((key, name, american))
        if priced is None:
            priced = Priced(key, name, american, self)
            self._priced[key, name, american] = priced
        return priced

    def names(self, home: str, away: str, american: bool, *, ties: bool = False) -> Names:
        """Return the outcomes of an event by name.

        Args:
            home: the home side as the event spells it.
            away: the away side, likewise.
            american: whether its prices are American.
            ties: whether `Tie` is the draw.
        """
        sides: dict[str, str] = {}
        if self.spelling(home)[1] != self.spelling(away)[1]:
            sides = {home: "home", away: "away"}
            sides.pop("", None)
        return Names(KNOWN_OUTCOMES | sides, american, self, ties)

    def spelling(self, text: str) -> tuple[str, str]:
        """Return a text in normal form, and the same case-folded. Raises BadText."""
        known = self._spellings.get(text)
        if known is None:
            if NUL in text:
                raise BadText
            clean = " ".join(unicodedata.normalize("NFC", text).split())
            known = clean, unicodedata.normalize("NFC", clean.casefold())
            self.count()
            self._spellings[text] = known
        return known

    def participants(self, market: str) -> Participants:
        """Return the keys of a market type."""
        participants = self._markets.get(market)
        if participants is None:
            participants = Participants(market, self)
            self._markets[market] = participants
        return participants

    def count(self) -> None:
        """Count one more shared value; clear all of them at the limit."""
        self._values += 1
        if self._values > MOST_SHARED:
            self._values = 0
            self._priced.clear()
            self._markets.clear()
            self._texts.clear()
            self._spellings.clear()
