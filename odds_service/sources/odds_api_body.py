"""Decode The Odds API's bodies: events, bookmakers and markets.

A bad event, bookmaker, market or outcome is counted by name, listed in `unreadable` and skipped;
the parts beside it stay.
"""

import enum
from collections import Counter
from collections.abc import Sequence
from math import nan
from typing import Final

import msgspec

from odds_service.model.market import (
    MarketKey,
    MarketStatus,
    ObservedMarket,
    Outcome,
    outcome_order,
)
from odds_service.model.observation import ANY, ObservedBookmaker, ObservedEvent
from odds_service.model.price import BadPrice
from odds_service.sources.base import distinct_outcomes
from odds_service.sources.fields import utc
from odds_service.sources.odds_api_shapes import (
    ANYTHING,
    BOOKMAKER,
    EVENT,
    IDENTIFIED,
    KEYED,
    MARKET,
    OUTCOME,
    RAW_BOOKMAKER,
    RAW_EVENT,
    RAW_MARKET,
    UNPRICED,
    ListedBookmaker,
    ListedEvent,
    ListedMarket,
    ListedOutcome,
    RawEvent,
    bookmakers_of,
    name_in,
    time_of,
)
from odds_service.sources.odds_api_shared import AWAY_RANK, HOME_RANK, NUL, BadText, Names, Shared

SHARED_NAMESPACE: Final = "toa"  # namespace of their event ids, which are the same in every account
_OPEN: Final = MarketStatus.OPEN
_SUSPENDED: Final = MarketStatus.SUSPENDED
_CHANCE: Final = "double_chance"  # prefix of a market's name
_TIES: Final = frozenset({"cricket"})  # sports in which `Tie` is the draw
_HANDICAP: Final = "spreads"  # part of the name of markets in which the sides have opposite points
_BOTH_SIDES: Final = HOME_RANK + AWAY_RANK  # no other two ranks have this sum
_MIN_AMERICAN: Final = 100
_NOTHING: Final[frozenset[str]] = frozenset()


class PriceFormat(enum.Enum):
    """The format of a body's prices."""

    DECIMAL = "decimal"
    AMERICAN = "american"
    MIXED = "mixed"


def format_of(header: str | None, asked: str) -> PriceFormat:
    """Return the price format that the answer's header names, or else the requested one."""
    try:
        return PriceFormat(header if header is not None else asked)
    except ValueError:
        return PriceFormat(asked)


class BodyReader:
    """Decoder of one source's bodies.

    Markets share equal values, which saves memory. Ordinary markets are decoded by pairs of
    outcomes, all others outcome by outcome.
    """

    def __init__(self) -> None:
        self._shared = Shared()

    def guess_format(self, raws: Sequence[msgspec.Raw]) -> PriceFormat:
        """Return AMERICAN if every price is a whole number of at least 100 or at most -100."""
        prices = [
            outcome.price
            for raw in raws
            for bookmaker in bookmakers_of(raw)
            for market in bookmaker.markets
            for outcome in market.outcomes
        ]
        whole = all(price == int(price) and abs(price) >= _MIN_AMERICAN for price in prices)
        return PriceFormat.AMERICAN if prices and whole else PriceFormat.DECIMAL

    def read_event(
        self,
        raw: msgspec.Raw,
        prices: PriceFormat,
        problems: Counter[str],
        unreadable: set[str],
    ) -> ObservedEvent | None:
        """Decode one event; return None if it is unreadable.

        Args:
            raw: the event's JSON.
            prices: the format of its prices.
            problems: incremented for every part that is skipped.
            unreadable: gains the event's id, or ANY, if the event is unreadable.
        """
        try:
            event: ListedEvent | RawEvent = EVENT.decode(raw)
        except msgspec.MsgspecError:
            try:
                event = RAW_EVENT.decode(raw)
            except msgspec.MsgspecError:
                problems["bad_event"] += 1
                unreadable.add(name_in(IDENTIFIED, raw, "id"))
                return None
        home, away = event.home_team or "", event.away_team or ""
        start_time = utc(event.commence_time)
        if NUL in event.id + event.sport_key + home + away or start_time is None:
            problems["bad_event"] += 1
            unreadable.add(ANY if NUL in event.id else event.id)
            return None
        sport = self._shared.text(event.sport_key.partition("_")[0])
        american = prices is PriceFormat.AMERICAN
        names = self._shared.names(home, away, american, ties=sport in _TIES)
        lost: set[str] = set()
        bookmakers: dict[str, ObservedBookmaker] = {}
        for part in event.bookmakers:
            bookmaker, bad = self._whole_bookmaker(part, problems, lost)
            if bookmaker is None:
                continue
            if bookmaker.key in bookmakers:
                problems["repeated_bookmaker"] += 1
                continue
            bookmakers[bookmaker.key] = self._read_bookmaker(bookmaker, bad, names, problems)
        return ObservedEvent(
            source_event_id=event.id,
            sport=sport,
            competition=self._shared.text(event.sport_key),
            home=home,
            away=away,
            start_time=start_time,
            bookmakers=tuple(bookmakers.values()),
            shared_ids={SHARED_NAMESPACE: event.id},
            unreadable=frozenset(lost),
            title="" if home or away else _title(event),
        )

    def _whole_bookmaker(
        self, part: ListedBookmaker | msgspec.Raw, problems: Counter[str], lost: set[str]
    ) -> tuple[ListedBookmaker | None, set[str]]:
        """Return a bookmaker with its readable markets, and the types of the others."""
        if isinstance(part, ListedBookmaker):
            if NUL not in part.key:
                return part, set()
            problems["bad_bookmaker"] += 1
            lost.add(ANY)
            return None, set()
        try:
            return BOOKMAKER.decode(part), set()
        except msgspec.MsgspecError:
            pass
        try:
            shell = RAW_BOOKMAKER.decode(part)
        except msgspec.MsgspecError:
            problems["bad_bookmaker"] += 1
            lost.add(name_in(KEYED, part, "key"))
            return None, set()
        updated_at = time_of(shell.last_update, problems)
        bad: set[str] = set()
        markets = [self._whole_market(raw, problems, bad) for raw in shell.markets]
        kept = [market for market in markets if market is not None]
        return ListedBookmaker(shell.key, kept, updated_at), bad

    def _whole_market(
        self, raw: msgspec.Raw, problems: Counter[str], bad: set[str]
    ) -> ListedMarket | None:
        try:
            return MARKET.decode(raw)
        except msgspec.MsgspecError:
            pass
        try:
            shell = RAW_MARKET.decode(raw)
        except msgspec.MsgspecError:
            problems["bad_market"] += 1
            bad.add(name_in(KEYED, raw, "key"))
            return None
        outcomes = []
        for part in shell.outcomes:
            try:
                outcomes.append(OUTCOME.decode(part))
            except msgspec.MsgspecError:
                try:
                    named = UNPRICED.decode(part)
                except msgspec.MsgspecError:
                    problems["bad_outcome"] += 1
                else:
                    outcomes.append(ListedOutcome(named.name, nan, named.point, named.description))
        if not outcomes and shell.outcomes:
            problems["bad_market"] += 1
            bad.add(shell.key)
            return None
        return ListedMarket(shell.key, outcomes, time_of(shell.last_update, problems))

    def _read_bookmaker(
        self, bookmaker: ListedBookmaker, bad: set[str], names: Names, problems: Counter[str]
    ) -> ObservedBookmaker:
        markets: dict[MarketKey, ObservedMarket] = {}
        for market in bookmaker.markets:
            if NUL in market.key:
                problems["bad_market"] += 1
                bad.add(ANY)
                continue
            read = self._read_pairs(market, names)
            if read is None or not markets.keys().isdisjoint(read):
                self._read_carefully(market, names, markets, bad, problems)
            else:
                markets |= read
        return ObservedBookmaker(
            bookmaker=self._shared.text(bookmaker.key),
            markets=markets,
            source_updated_at=bookmaker.last_update,
            unreadable=frozenset(bad) if bad else _NOTHING,
        )

    def _read_pairs(
        self, market: ListedMarket, names: Names
    ) -> dict[MarketKey, ObservedMarket] | None:
        """Decode a payload market of paired outcomes, as nearly all are; return None for any other.

        This runs for every price of every poll, so it looks values up instead of making them.
        """
        outcomes = market.outcomes
        if len(outcomes) % 2:
            return None
        handicap = _HANDICAP in market.key
        updated_at = market.last_update
        participants = self._shared.participants(market.key)
        found: dict[MarketKey, ObservedMarket] = {}
        each = iter(outcomes)
        try:
            lines = participants[None]
            last: str | None = None
            for one, other in zip(each, each, strict=True):
                first, second = names[one.name], names[other.name]
                rank, other_rank = first.rank, second.rank
                point, participant = one.point, one.description
                if handicap:
                    if point is None or other.point != -point or rank + other_rank != _BOTH_SIDES:
                        return None
                    if rank:  # the line is the home side's
                        point = -point
                elif other.point != point:
                    return None
                if participant != last:
                    lines, last = participants[names.key(participant)], participant
                if other.description != participant:
                    return None
                if rank < other_rank:
                    pair = first[one.price], second[other.price]
                elif rank > other_rank:
                    pair = second[other.price], first[one.price]
                else:
                    return None
                key = lines[point]
                found[key] = ObservedMarket(key, _OPEN, pair, updated_at)
        except (BadPrice, BadText):
            return None
        return found if 2 * len(found) == len(outcomes) else None

    def _read_carefully(
        self,
        market: ListedMarket,
        names: Names,
        markets: dict[MarketKey, ObservedMarket],
        bad: set[str],
        problems: Counter[str],
    ) -> None:
        """Decode a payload market outcome by outcome; add one market per line to `markets`.

        An outcome with an invalid price stays without one: it can still happen. A market without
        any readable price is lost.
        """
        handicap = _HANDICAP in market.key
        participants = self._shared.participants(market.key)
        find = names.chance if market.key.startswith(_CHANCE) else names.__getitem__
        words = {outcome.name.strip().casefold() for outcome in market.outcomes}
        beside_draw = names.ties and {"draw", "tie"} <= words
        found: dict[MarketKey, list[Outcome]] = {}
        readable = False
        for outcome in market.outcomes:
            try:
                named = find(outcome.name)
                if beside_draw and outcome.name.strip().casefold() == "tie":
                    named = names.tie(outcome.name)
                point = outcome.point
                if handicap and named.key == "away" and point is not None:
                    point = -point
                key = participants[names.key(outcome.description)][point]
            except BadPrice:
                problems["bad_price"] += 1
                continue
            except BadText:
                problems["bad_outcome"] += 1
                continue
            try:
                shown = named[outcome.price]
                readable = True
            except BadPrice:
                problems["bad_price"] += 1
                shown = named.unpriced
            found.setdefault(key, []).append(shown)
        if not readable and market.outcomes:
            problems["bad_market"] += 1
            bad.add(market.key)
            return
        for key, outcomes in found.items():
            if key in markets:
                problems["repeated_market"] += 1
                outcomes = [*markets[key].outcomes, *outcomes]
            ordered = tuple(sorted(distinct_outcomes(outcomes, problems), key=outcome_order))
            status = _OPEN if any(outcome.active for outcome in ordered) else _SUSPENDED
            markets[key] = ObservedMarket(key, status, ordered, market.last_update)


def _title(event: ListedEvent | RawEvent) -> str:
    """Return the name of an event without sides; empty if it is not a string."""
    written = event.sport_title
    if isinstance(event, RawEvent):
        try:
            written = ANYTHING.decode(event.sport_title)
        except msgspec.MsgspecError:
            return ""
    return written if isinstance(written, str) and NUL not in written else ""
