"""The gate's check of bookmakers and their markets, which sees every price of every poll."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from msgspec.structs import fields, replace

from odds_service.model.bounds import (
    FEW_OUTCOMES,
    MOST_MARKET_BYTES,
    MOST_OUTCOMES,
    market_bytes,
)
from odds_service.model.market import (
    NO_LINE,
    MarketKey,
    MarketStatus,
    ObservedMarket,
    Outcome,
    outcome_order,
)
from odds_service.model.observation import ANY, ObservedBookmaker
from odds_service.model.price import BadPrice, canonical_line, decimal_price
from odds_service.sources.fields import FIRST_TIME, LAST_TIME, Wrong, checks_of, key, repaired
from odds_service.sources.left_out import count_left_out, name_in, unreadable_names

_MOST_KNOWN: Final = 2**18  # limit of remembered values; the memory is cleared when full
_BOOKMAKER: Final = checks_of(ObservedBookmaker, walked=frozenset({"markets", "unreadable"}))
_MARKET: Final = checks_of(ObservedMarket, walked=frozenset({"key", "outcomes"}))
_OUTCOME: Final = checks_of(Outcome, names=frozenset({"name"}), walked=frozenset({"price"}))
_KNOWN_FIELDS: Final = {"key", "status", "outcomes", "source_updated_at"}
# The fast path handles only these fields; if one is added, every market takes the slow path.
_QUICK: Final = {each.name for each in fields(ObservedMarket)} == _KNOWN_FIELDS
_OPEN: Final = MarketStatus.OPEN
_SUSPENDED: Final = MarketStatus.SUSPENDED


class MarketGate:
    """Check of the bookmakers of one source.

    Values that markets share are checked once and recognised by identity afterwards. They are kept
    alive, so no other value can take their identity.

    Args:
        max_markets: limit for one bookmaker and event; the excess is cut.
    """

    def __init__(self, max_markets: int) -> None:
        self._max_markets = max_markets
        self._keys: dict[int, MarketKey] = {}
        self._orders: dict[int, str] = {}
        self._alive: list[Outcome] = []

    def bookmaker(self, given: ObservedBookmaker, problems: Counter[str]) -> ObservedBookmaker:
        """Return a bookmaker without its wrong markets.

        This runs for every price of every poll, so markets made of known values take a fast path.

        Raises:
            Wrong: the whole bookmaker is wrong.
        """
        if type(given) is not ObservedBookmaker or not isinstance(given.markets, Mapping):
            raise Wrong("not an ObservedBookmaker, or its markets are not a mapping", misuse=True)
        changes = repaired(given, _BOOKMAKER, problems)
        if given.bookmaker in {"", ANY}:
            raise Wrong("a bookmaker without a name")
        markets = dict(given.markets)  # a copy: the source may change the original
        known, orders = self._keys, self._orders
        doubtful = []
        for place, market in markets.items():
            # A single condition: this is the hottest line of the gate.
            if (
                type(market) is not ObservedMarket
                or market.key is not place
                or id(place) not in known
                or ((status := market.status) is not _OPEN and status is not _SUSPENDED)
                or type(outcomes := market.outcomes) is not tuple
                or (
                    (at := market.source_updated_at) is not None
                    and (
                        type(at) is not datetime
                        or at.tzinfo is not UTC
                        or not FIRST_TIME <= at < LAST_TIME
                    )
                )
            ):
                doubtful.append(place)
            elif len(outcomes) == 2:
                one, other = outcomes
                first = orders.get(id(one))
                second = orders.get(id(other))
                if first is None or second is None or first >= second:
                    doubtful.append(place)
            elif len(outcomes) > FEW_OUTCOMES:
                doubtful.append(place)
            else:
                last = ""
                for one in outcomes:
                    first = orders.get(id(one))
                    if first is None or first <= last:
                        doubtful.append(place)
                        break
                    last = first
        unreadable = unreadable_names(given.unreadable)
        for place in doubtful if _QUICK else list(markets):
            market = markets[place]
            try:
                checked = self._market(place, market, problems)
            except Exception as error:
                count_left_out(problems, "bad_market", error)
                unreadable.add(name_in(place, "market") if type(place) is MarketKey else ANY)
                del markets[place]
            else:
                if checked is not market:
                    markets[place] = checked
        if len(markets) > self._max_markets:
            problems["too_many_markets"] += 1
            kept = sorted(markets)[: self._max_markets]
            unreadable |= {place.market for place in markets.keys() - set(kept)}
            markets = {place: markets[place] for place in kept}
        changes["markets"] = markets
        if len(unreadable) != len(given.unreadable) or not unreadable <= given.unreadable:
            changes["unreadable"] = frozenset(unreadable)
        return replace(given, **changes)

    def _market(
        self, place: MarketKey, given: ObservedMarket, problems: Counter[str]
    ) -> ObservedMarket:
        """Check a market thoroughly, and put its outcomes in canonical order. Raises Wrong."""
        if type(given) is not ObservedMarket or type(given.outcomes) is not tuple:
            raise Wrong("not an ObservedMarket, or its outcomes are not a tuple", misuse=True)
        self._check_key(place)
        if given.key is not place and (type(given.key) is not MarketKey or given.key != place):
            raise Wrong("it stands under another key", misuse=True)
        if len(given.outcomes) > MOST_OUTCOMES:
            raise Wrong(f"it has over {MOST_OUTCOMES} outcomes")
        changes = repaired(given, _MARKET, problems)
        if given.status is MarketStatus.REMOVED:
            raise Wrong("a shown market cannot be REMOVED", misuse=True)
        outcomes = [self._outcome(each, problems) for each in given.outcomes]
        outcomes.sort(key=outcome_order)
        if len({each.key for each in outcomes}) < len(outcomes):
            raise Wrong("two of its outcomes have one key")
        if len(outcomes) > FEW_OUTCOMES and market_bytes(place, outcomes) > MOST_MARKET_BYTES:
            raise Wrong(f"it is over {MOST_MARKET_BYTES} bytes")
        if any(one is not other for one, other in zip(outcomes, given.outcomes, strict=True)):
            changes["outcomes"] = tuple(outcomes)
        return replace(given, **changes) if changes else given

    def _check_key(self, place: MarketKey) -> None:
        """Check a market's key, and remember it. Raises Wrong."""
        if id(place) in self._keys:
            return
        if type(place) is not MarketKey:
            raise Wrong("not a MarketKey", misuse=True)
        for part in place:
            key(part)
        if place.market in {"", ANY}:
            raise Wrong("a market without a type")
        try:
            canonical = place.line == NO_LINE or canonical_line(place.line) == place.line
        except BadPrice:
            canonical = False
        if not canonical:
            raise Wrong(f"line {place.line!r} is not canonical decimal text")
        if len(self._keys) >= _MOST_KNOWN:
            self._keys.clear()
        self._keys[id(place)] = place

    def _outcome(self, given: Outcome, problems: Counter[str]) -> Outcome:
        """Check an outcome, and remember it if it needed no change. Raises Wrong."""
        if id(given) in self._orders:
            return given
        if type(given) is not Outcome:
            raise Wrong("not an Outcome", misuse=True)
        changes = repaired(given, _OUTCOME, problems)
        if not given.key:
            raise Wrong("an outcome without a key")
        price = given.price
        if price is None:
            if given.active:
                changes["active"] = False  # without a price there is nothing to bet on
        else:
            if isinstance(price, bool) or not isinstance(price, int | float):
                raise Wrong(f"expected a price, got {type(price).__name__}", misuse=True)
            try:
                decimal = decimal_price(price)
            except BadPrice as error:
                raise Wrong(str(error)) from None
            if type(price) is not float:
                changes["price"] = decimal
        if changes:
            return replace(given, **changes)
        if len(self._orders) >= _MOST_KNOWN:
            self._orders.clear()
            self._alive.clear()
        rank, text = outcome_order(given)
        self._orders[id(given)] = f"{rank}{text}"  # a one-digit rank: sorts like the pair
        self._alive.append(given)
        return given
