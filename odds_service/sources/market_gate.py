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
from odds_service.sources.shared_values import SharedValues

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

    Values that markets share are checked once and recognised by identity afterwards. An equal value
    is replaced by the one that was checked, so that all markets behind the gate share it.

    Args:
        max_markets: limit for one bookmaker and event; the excess is cut.
        shared: the values checked so far.
    """

    def __init__(self, max_markets: int, shared: SharedValues | None = None) -> None:
        self._max_markets = max_markets
        self._shared = SharedValues() if shared is None else shared
        self._latest: datetime | None = None

    def begin(self) -> None:
        """Prepare for the next event: forget values that are no longer shown."""
        self._shared.renew()

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
        changes["bookmaker"] = self._shared.text(given.bookmaker)
        markets = dict(given.markets)  # a copy: the source may change the original
        known, orders = self._shared.keys, self._shared.orders
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
        rekeyed = False
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
                    rekeyed = rekeyed or checked.key is not place
        if rekeyed:  # a dict keeps the key that it had first
            markets = {market.key: market for market in markets.values()}
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
        shared_key = self._key(place)
        if given.key is not place and (type(given.key) is not MarketKey or given.key != place):
            raise Wrong("it stands under another key", misuse=True)
        if len(given.outcomes) > MOST_OUTCOMES:
            raise Wrong(f"it has over {MOST_OUTCOMES} outcomes")
        changes = repaired(given, _MARKET, problems)
        if given.key is not shared_key:
            changes["key"] = shared_key
        at = changes.get("source_updated_at", given.source_updated_at)
        if at is not None:
            if at != self._latest:
                self._latest = at
            elif self._latest is not given.source_updated_at:
                changes["source_updated_at"] = self._latest  # markets in a row often have one time
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

    def _key(self, place: MarketKey) -> MarketKey:
        """Check a market's key, and return the shared one. Raises Wrong."""
        if id(place) in self._shared.keys:
            return place
        if type(place) is not MarketKey:
            raise Wrong("not a MarketKey", misuse=True)
        market, line, participant = place
        if type(market) is str and type(line) is str and type(participant) is str:
            known = self._shared.known_key(place)
            if known is not None:
                return known
        for part in place:
            key(part)
        if market in {"", ANY}:
            raise Wrong("a market without a type")
        try:
            canonical = line == NO_LINE or canonical_line(line) == line
        except BadPrice:
            canonical = False
        if not canonical:
            raise Wrong(f"line {line!r} is not canonical decimal text")
        return self._shared.add_key(place)

    def _outcome(self, given: Outcome, problems: Counter[str]) -> Outcome:
        """Check an outcome, and return the shared one. Raises Wrong."""
        if id(given) in self._shared.orders:
            return given
        if type(given) is not Outcome:
            raise Wrong("not an Outcome", misuse=True)
        known = self._known(given)
        if known is not None:
            return known
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
            given = replace(given, **changes)
            known = self._known(given)
        return self._shared.add_outcome(given) if known is None else known

    def _known(self, given: Outcome) -> Outcome | None:
        """Return the shared outcome that equals a given one, which may have wrong types."""
        price = given.price
        if (
            type(given.key) is str
            and type(given.name) is str
            and (type(price) is float or price is None)
            and type(given.active) is bool
        ):
            return self._shared.known_outcome(given)
        return None
