"""The one gate between the sources and the service.

Every observation and every offer passes it, of built-in sources and plug-ins alike, before anything
else sees it. Behind it a value can be compared, stored, encoded, shown and read back. The smallest
thing that is wrong is left out and counted by name; its neighbours stay. Left out is not gone: it
is `unreadable` one level up.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

import trio
from msgspec import Struct
from msgspec.structs import fields, replace

from odds_service.errors import SourceError
from odds_service.model.bounds import (
    FEW_OUTCOMES,
    MOST_MARKET_BYTES,
    MOST_OUTCOMES,
    market_bytes,
)
from odds_service.model.event import EventStatus
from odds_service.model.market import (
    NO_LINE,
    MarketKey,
    MarketStatus,
    ObservedMarket,
    Outcome,
    outcome_order,
)
from odds_service.model.observation import (
    ANY,
    Completeness,
    Observation,
    ObservedBookmaker,
    ObservedEvent,
)
from odds_service.model.price import BadPrice, canonical_line, decimal_price
from odds_service.model.text import MOST_CHARS, is_plain, told
from odds_service.sources.base import Offer, Pull
from odds_service.sources.failures import BAD_OBSERVATION, MOST_REASON_CHARS, NOTHING_READ
from odds_service.sources.fields import (
    FIRST_TIME,
    LAST_TIME,
    Wrong,
    checks_of,
    counts,
    key,
    repaired,
    utc,
)

MOST_BOOKMAKERS: Final = 1_000  # of an event
MOST_PULLS: Final = 100_000  # of an offer
MOST_COST: Final = 1e6  # credits that one fetch may take
_MOST_KNOWN: Final = 2**18  # values remembered as right; then remembering starts anew
_STRETCH: Final = 16  # events between two checkpoints: keeps pauses short

_OBSERVATION: Final = checks_of(
    Observation,
    walked=frozenset({"events", "unreadable", "reason", "started_at", "observed_at"}),
)
_EVENT: Final = checks_of(
    ObservedEvent,
    names=frozenset({"home", "away", "title"}),
    walked=frozenset({"bookmakers", "unreadable"}),
)
_BOOKMAKER: Final = checks_of(ObservedBookmaker, walked=frozenset({"markets", "unreadable"}))
_MARKET: Final = checks_of(ObservedMarket, walked=frozenset({"key", "outcomes"}))
_OUTCOME: Final = checks_of(Outcome, names=frozenset({"name"}), walked=frozenset({"price"}))
_PULL: Final = checks_of(Pull)
_KNOWN_FIELDS: Final = {"key", "status", "outcomes", "source_updated_at"}
# The quick way knows these fields only; with a new one every market goes the thorough way.
_QUICK: Final = {each.name for each in fields(ObservedMarket)} == _KNOWN_FIELDS
_OPEN: Final = MarketStatus.OPEN
_SUSPENDED: Final = MarketStatus.SUSPENDED


class Limits(Struct, frozen=True, kw_only=True):
    """What one source may give at most; see the settings' section `limits`."""

    max_events: int = 20_000
    max_markets: int = 10_000
    max_retry_after_s: float = 3_600.0


class Gate:
    """Passes what one source gives.

    Values that readers share between markets are checked once: a market of known values costs a
    look at their identity. Everything that was remembered is kept alive, so no other value can
    have its identity.
    """

    def __init__(self, source: str, limits: Limits = Limits()) -> None:  # immutable
        self._source = source
        self._limits = limits
        self._keys: dict[int, MarketKey] = {}
        self._orders: dict[int, str] = {}
        self._alive: list[Outcome] = []

    async def admit(
        self,
        given: object,
        problems: Counter[str],
        *,
        started_at: datetime,
        observed_at: datetime,
    ) -> Observation:
        """The observation that a source gave, as far as it is right; with checkpoints.

        Args:
            given: whatever came.
            problems: everything that is wrong is counted here, also when this raises.
            started_at, observed_at: when the fetch began and ended, where the source's own times
                are none.

        Raises SourceError of kind `bad_observation` or `wrong_shape`. Cancelling loses it.
        """
        for passed in self._pass(given, problems, started_at, observed_at):
            if passed is not None:
                return passed
            await trio.lowlevel.checkpoint()
        raise AssertionError("what passes ends with an observation")

    def check(
        self,
        given: object,
        problems: Counter[str],
        *,
        started_at: datetime,
        observed_at: datetime,
    ) -> Observation:
        """Like `admit`, without checkpoints."""
        steps = self._pass(given, problems, started_at, observed_at)
        return next(passed for passed in steps if passed is not None)

    def offer(self, given: object) -> Offer:
        """The offer that a source gave, as far as it is right.

        A pull that is wrong is left out and counted as `bad_pull`, one whose key repeats as
        `repeated_pull`. Raises SourceError of kind `bad_observation`, or `wrong_shape` where no
        pull of several is right.
        """
        if type(given) is not Offer or type(given.pulls) is not tuple:
            raise SourceError(BAD_OBSERVATION, f"an offer was due, not {told(given, 100)}")
        problems: Counter[str] = Counter()
        pulls: dict[str, Pull] = {}
        for each in given.pulls:
            try:
                if type(each) is not Pull:
                    raise Wrong("no pull", misuse=True)
                changes = repaired(each, _PULL, problems)
                pull = replace(each, **changes)
                if not pull.key:
                    raise Wrong("a pull without a key")
            except Exception as error:  # values of a source may do anything when looked at
                _count(problems, "bad_pull", error)
                continue
            if pulls.setdefault(pull.key, pull) is not pull:
                problems["repeated_pull"] += 1
            if len(pulls) >= MOST_PULLS:
                problems["too_many_pulls"] += 1
                break
        if given.pulls and not pulls:
            raise SourceError(NOTHING_READ, "nothing of what it lists could be read")
        try:
            problems.update(counts(given.problems))
        except Wrong:
            problems["bad_count"] += 1
        return Offer(tuple(pulls.values()), dict(problems))

    # -- an observation, from the outside inwards ----------------------------------------------

    def _pass(
        self, given: object, problems: Counter[str], started_at: datetime, observed_at: datetime
    ) -> Iterator[Observation | None]:
        """Look at an observation part by part: None after each stretch, what is left at the end."""
        try:
            if type(given) is not Observation:
                raise Wrong(f"an observation was due, not {told(given, 100)}", misuse=True)
            changes = repaired(given, _OBSERVATION, problems)
            if given.source != self._source:
                raise Wrong(f"it is named {told(given.source, 100)!r}", misuse=True)
            if type(given.events) is not tuple:
                raise Wrong("its events are no tuple", misuse=True)
        except Exception as error:  # values of a source may do anything when looked at
            raise SourceError(BAD_OBSERVATION, told(error, MOST_REASON_CHARS)) from None
        for field, ours in (("started_at", started_at), ("observed_at", observed_at)):
            at = utc(getattr(given, field))
            if at is None:
                problems["bad_time"] += 1
            changes[field] = ours if at is None else at
        changes["reason"] = told(given.reason, MOST_REASON_CHARS)
        problems.update(changes.get("problems", given.problems))
        cost: float | None = changes.get("cost", given.cost)
        if cost is not None and cost > MOST_COST:
            problems["bad_count"] += 1
            changes["cost"] = None
        before = problems[BAD_OBSERVATION]
        events: dict[str, ObservedEvent] = {}
        unreadable = _unreadable(given.unreadable)
        if given.completeness is not Completeness.FAILED:
            for place, each in enumerate(given.events, 1):
                try:
                    event = self._event(each, problems)
                except Exception as error:
                    _count(problems, "bad_event", error)
                    unreadable.add(_called(each, "source_event_id"))
                else:
                    other = events.setdefault(event.source_event_id, event)
                    if other is not event:
                        problems["repeated_event"] += 1
                        events[event.source_event_id] = _newer(other, event)
                if place % _STRETCH == 0:
                    yield None
            self._require_something(given, events, unreadable, problems[BAD_OBSERVATION] > before)
        kept = list(events.values())
        if len(kept) > self._limits.max_events:
            problems["too_many_events"] += 1
            kept.sort(key=lambda event: (event.start_time, event.source_event_id))
            del kept[self._limits.max_events :]
            if given.completeness is Completeness.COMPLETE:
                changes["completeness"] = Completeness.PARTIAL
            if not changes["reason"]:
                changes["reason"] = f"cut to the first {self._limits.max_events} events"
        changes |= {
            "events": tuple(kept),
            "unreadable": frozenset(unreadable - events.keys()),
            "problems": dict(problems),
        }
        yield replace(given, **changes)

    def _require_something(
        self,
        given: Observation,
        events: dict[str, ObservedEvent],
        unreadable: set[str],
        misused: bool,
    ) -> None:
        """Raise SourceError where an answer had parts, and none could be read."""
        if misused and not any(
            shown.markets for event in events.values() for shown in event.bookmakers
        ):
            raise SourceError(BAD_OBSERVATION, "its values are not of the types that are declared")
        if not events and (given.events or unreadable):
            raise SourceError(NOTHING_READ, "nothing of the answer could be read")

    def _event(self, given: ObservedEvent, problems: Counter[str]) -> ObservedEvent:
        """An event without what is wrong in it. Raises Wrong."""
        if type(given) is not ObservedEvent or type(given.bookmakers) is not tuple:
            raise Wrong("no event, or its bookmakers are no tuple", misuse=True)
        changes = repaired(given, _EVENT, problems)
        if given.source_event_id in {"", ANY}:
            raise Wrong("an event without an id")
        if given.status is EventStatus.ENDED:
            raise Wrong("an event that has ended is not shown any more")
        unreadable = _unreadable(given.unreadable)
        bookmakers: dict[str, ObservedBookmaker] = {}
        for each in given.bookmakers:
            try:
                shown = self._bookmaker(each, problems)
            except Exception as error:
                _count(problems, "bad_bookmaker", error)
                unreadable.add(_called(each, "bookmaker"))
                continue
            if len(bookmakers) >= MOST_BOOKMAKERS:
                problems["too_many_bookmakers"] += 1
                unreadable.add(ANY)
                break
            if bookmakers.setdefault(shown.bookmaker, shown) is not shown:
                problems["repeated_bookmaker"] += 1
        changes["bookmakers"] = tuple(bookmakers.values())
        changes["unreadable"] = frozenset(unreadable - bookmakers.keys())
        return replace(given, **changes)

    def _bookmaker(self, given: ObservedBookmaker, problems: Counter[str]) -> ObservedBookmaker:
        """A bookmaker without the markets that are wrong. Raises Wrong.

        This runs for every price of every poll: a market of values that were checked before is
        only looked at.
        """
        if type(given) is not ObservedBookmaker or not isinstance(given.markets, Mapping):
            raise Wrong("no bookmaker, or its markets are no mapping", misuse=True)
        changes = repaired(given, _BOOKMAKER, problems)
        if given.bookmaker in {"", ANY}:
            raise Wrong("a bookmaker without a name")
        markets = dict(given.markets)  # its own: the source may go on with the other
        known, orders = self._keys, self._orders
        doubtful = []
        for place, market in markets.items():
            # One condition: this is the hottest line of the gate.
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
        unreadable = _unreadable(given.unreadable)
        for place in doubtful if _QUICK else list(markets):
            market = markets[place]
            try:
                checked = self._market(place, market, problems)
            except Exception as error:
                _count(problems, "bad_market", error)
                unreadable.add(_type_of(place))
                del markets[place]
            else:
                if checked is not market:
                    markets[place] = checked
        if len(markets) > self._limits.max_markets:
            problems["too_many_markets"] += 1
            kept = sorted(markets)[: self._limits.max_markets]
            unreadable |= {place.market for place in markets.keys() - set(kept)}
            markets = {place: markets[place] for place in kept}
        changes["markets"] = markets
        if len(unreadable) != len(given.unreadable) or not unreadable <= given.unreadable:
            changes["unreadable"] = frozenset(unreadable)
        return replace(given, **changes)

    def _market(
        self, place: MarketKey, given: ObservedMarket, problems: Counter[str]
    ) -> ObservedMarket:
        """A market, checked thoroughly; its outcomes in canonical order. Raises Wrong."""
        if type(given) is not ObservedMarket or type(given.outcomes) is not tuple:
            raise Wrong("no market, or its outcomes are no tuple", misuse=True)
        self._check_key(place)
        if given.key is not place and (type(given.key) is not MarketKey or given.key != place):
            raise Wrong("it stands under another key", misuse=True)
        if len(given.outcomes) > MOST_OUTCOMES:
            raise Wrong(f"it has over {MOST_OUTCOMES} outcomes")
        changes = repaired(given, _MARKET, problems)
        if given.status is MarketStatus.REMOVED:
            raise Wrong("a market that is shown is not removed", misuse=True)
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
        """Remember a market's key as right. Raises Wrong."""
        if id(place) in self._keys:
            return
        if type(place) is not MarketKey:
            raise Wrong("no key of a market", misuse=True)
        for part in place:
            key(part)
        if place.market in {"", ANY}:
            raise Wrong("a market without a type")
        try:
            canonical = place.line == NO_LINE or canonical_line(place.line) == place.line
        except BadPrice:
            canonical = False
        if not canonical:
            raise Wrong(f"line {place.line!r} is no canonical decimal text")
        if len(self._keys) >= _MOST_KNOWN:
            self._keys.clear()
        self._keys[id(place)] = place

    def _outcome(self, given: Outcome, problems: Counter[str]) -> Outcome:
        """An outcome, remembered as right where nothing had to be changed. Raises Wrong."""
        if id(given) in self._orders:
            return given
        if type(given) is not Outcome:
            raise Wrong("no outcome", misuse=True)
        changes = repaired(given, _OUTCOME, problems)
        if not given.key:
            raise Wrong("an outcome without a key")
        price = given.price
        if price is None:
            if given.active:
                changes["active"] = False  # there is no price to bet at
        else:
            if isinstance(price, bool) or not isinstance(price, int | float):
                raise Wrong(f"{type(price).__name__} where a price is due", misuse=True)
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
        self._orders[id(given)] = f"{rank}{text}"  # one digit: sorts as the pair does
        self._alive.append(given)
        return given


def _count(problems: Counter[str], kind: str, error: Exception) -> None:
    """Count what is left out; what has a wrong type, or raises when looked at, is a bug as well."""
    problems[kind] += 1
    if not isinstance(error, Wrong) or error.misuse:
        problems[BAD_OBSERVATION] += 1


def _called(part: object, field: str) -> str:
    """What a part that is left out is called; ANY where that cannot be told."""
    try:
        called = getattr(part, field)
    except Exception:
        return ANY
    return called if _is_key(called) else ANY


def _type_of(place: object) -> str:
    called = place.market if type(place) is MarketKey else None
    return called if called is not None and _is_key(called) else ANY


def _is_key(text: object) -> bool:
    return type(text) is str and 0 < len(text) <= MOST_CHARS and is_plain(text)


def _unreadable(given: object) -> set[str]:
    """What a source could not read itself; ANY in place of what is no name."""
    if type(given) is not frozenset:
        return {ANY}
    return {each if _is_key(each) else ANY for each in given}


def _newer(one: ObservedEvent, other: ObservedEvent) -> ObservedEvent:
    """Which of two that an answer shows under one id stands, whatever their order.

    The one whose bookmakers tell the later time; of equal ones the one that is smaller as text.
    """
    if one == other:
        return one
    return max(one, other, key=lambda event: (_latest(event), repr(event)))


def _latest(event: ObservedEvent) -> datetime:
    times = [shown.source_updated_at for shown in event.bookmakers]
    times += [
        market.source_updated_at for shown in event.bookmakers for market in shown.markets.values()
    ]
    return max((at for at in times if at is not None), default=FIRST_TIME)
