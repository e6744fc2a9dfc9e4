"""Reading The Odds API's bodies: events, bookmakers and markets into observed values.

One bad event, bookmaker, market or outcome is counted under its own name, told in `unreadable`,
and skipped; its neighbours are kept.
"""

import enum
import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from odds_service.model.market import (
    NO_LINE,
    MarketKey,
    MarketStatus,
    ObservedMarket,
    Outcome,
    outcome_order,
)
from odds_service.model.observation import ANY, ObservedBookmaker, ObservedEvent
from odds_service.model.price import (
    BadPrice,
    american_price,
    canonical_line,
    decimal_price,
)
from odds_service.sources.base import distinct_outcomes

SHARED_NAMESPACE: Final = "toa"  # of the ids, which are the same in every account
_KNOWN_OUTCOMES: Final = {
    "Draw": "draw", "Over": "over", "Under": "under", "Yes": "yes", "No": "no"
}  # fmt: skip
_OPEN: Final = MarketStatus.OPEN
_NUL: Final = "\0"  # PostgreSQL refuses it in text, SQLite does not: refused here for both
_MIN_AMERICAN: Final = 100
_MOST_SHARED: Final = 2**18  # values kept to be shared; then sharing starts anew
_NOTHING: Final[frozenset[str]] = frozenset()


class _BadText(ValueError):
    """A text that no database should be given."""


class PriceFormat(enum.Enum):
    """How the prices of a body are written."""

    DECIMAL = "decimal"
    AMERICAN = "american"
    MIXED = "mixed"


class _Outcome(Struct, gc=False):
    name: str
    price: float
    point: float | None = None
    description: str | None = None


class _Market(Struct):
    key: str
    outcomes: list[_Outcome]
    last_update: datetime | None = None


class _Bookmaker(Struct):
    key: str
    markets: list[_Market]
    last_update: datetime | None = None


class _Event(Struct):
    id: str
    sport_key: str
    commence_time: datetime
    bookmakers: list[_Bookmaker]
    home_team: str | None = None
    away_team: str | None = None


class _RawOutcomes(Struct):
    key: str
    outcomes: list[msgspec.Raw]
    last_update: Any = None


class _RawBookmaker(Struct):
    key: str
    markets: list[msgspec.Raw]
    last_update: Any = None


class _RawEvent(Struct):
    id: str
    sport_key: str
    commence_time: datetime
    bookmakers: list[msgspec.Raw]
    home_team: str | None = None
    away_team: str | None = None


class _Key(Struct):
    key: str


class _Id(Struct):
    id: str


_event = msgspec.json.Decoder(_Event)
_raw_event = msgspec.json.Decoder(_RawEvent)
_bookmaker = msgspec.json.Decoder(_Bookmaker)
_raw_bookmaker = msgspec.json.Decoder(_RawBookmaker)
_market = msgspec.json.Decoder(_Market)
_raw_market = msgspec.json.Decoder(_RawOutcomes)
_outcome = msgspec.json.Decoder(_Outcome)
_key = msgspec.json.Decoder(_Key)
_id = msgspec.json.Decoder(_Id)


def format_of(header: str | None, asked: str) -> PriceFormat:
    """What the answer says of its prices, else what was asked for."""
    try:
        return PriceFormat(header if header is not None else asked)
    except ValueError:
        return PriceFormat(asked)


class BodyReader:
    """Reads bodies of one source; shares equal keys between markets, so that many stay small."""

    def __init__(self) -> None:
        self._keys: dict[tuple[str, str, str], MarketKey] = {}
        self._texts: dict[str, str] = {}
        self._swaps: dict[tuple[str, str], bool] = {}
        # (key, name, price as written) -> its outcome
        self._shown: dict[PriceFormat, dict[tuple[str, str, float], Outcome]] = {
            prices: {} for prices in PriceFormat
        }

    def guess_format(self, raws: Sequence[msgspec.Raw]) -> PriceFormat:
        """AMERICAN when every price of the body is whole and at least 100 up or down."""
        prices = [
            outcome.price
            for raw in raws
            for bookmaker in _bookmakers(raw)
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
        """One event, or None where it cannot be read: its id (or ANY) is added to `unreadable`."""
        try:
            event: _Event | _RawEvent = _event.decode(raw)
        except msgspec.MsgspecError:
            try:
                event = _raw_event.decode(raw)
            except msgspec.MsgspecError:
                problems["bad_event"] += 1
                unreadable.add(_named(_id, raw, "id"))
                return None
        home, away = event.home_team or "", event.away_team or ""
        if _NUL in event.id + event.sport_key + home + away or event.commence_time.tzinfo is None:
            problems["bad_event"] += 1
            unreadable.add(ANY if _NUL in event.id else event.id)
            return None
        sides = {home: "home", away: "away"} if home != away else {}
        sides.pop("", None)
        keys = _KNOWN_OUTCOMES | sides
        lost: set[str] = set()
        bookmakers: dict[str, ObservedBookmaker] = {}
        for part in event.bookmakers:
            bookmaker, bad = self._whole_bookmaker(part, problems, lost)
            if bookmaker is None:
                continue
            if bookmaker.key in bookmakers:
                problems["repeated_bookmaker"] += 1
                continue
            bookmakers[bookmaker.key] = self._read_bookmaker(bookmaker, bad, keys, prices, problems)
        return ObservedEvent(
            source_event_id=event.id,
            sport=self._text(event.sport_key.partition("_")[0]),
            competition=self._text(event.sport_key),
            home=home,
            away=away,
            start_time=event.commence_time.astimezone(UTC),
            bookmakers=tuple(bookmakers.values()),
            shared_ids={SHARED_NAMESPACE: event.id},
            unreadable=frozenset(lost),
        )

    def _whole_bookmaker(
        self, part: _Bookmaker | msgspec.Raw, problems: Counter[str], lost: set[str]
    ) -> tuple[_Bookmaker | None, set[str]]:
        """A bookmaker with the markets that can be read, and the types of those that cannot."""
        if isinstance(part, _Bookmaker):
            if _NUL not in part.key:
                return part, set()
            problems["bad_bookmaker"] += 1
            lost.add(ANY)
            return None, set()
        try:
            return _bookmaker.decode(part), set()
        except msgspec.MsgspecError:
            pass
        try:
            shell = _raw_bookmaker.decode(part)
        except msgspec.MsgspecError:
            problems["bad_bookmaker"] += 1
            lost.add(_named(_key, part, "key"))
            return None, set()
        updated_at = _time(shell.last_update, problems)
        bad: set[str] = set()
        markets = [self._whole_market(raw, problems, bad) for raw in shell.markets]
        kept = [market for market in markets if market is not None]
        return _Bookmaker(shell.key, kept, updated_at), bad

    def _whole_market(
        self, raw: msgspec.Raw, problems: Counter[str], bad: set[str]
    ) -> _Market | None:
        try:
            return _market.decode(raw)
        except msgspec.MsgspecError:
            pass
        try:
            shell = _raw_market.decode(raw)
        except msgspec.MsgspecError:
            problems["bad_market"] += 1
            bad.add(_named(_key, raw, "key"))
            return None
        outcomes = []
        for part in shell.outcomes:
            try:
                outcomes.append(_outcome.decode(part))
            except msgspec.MsgspecError:
                problems["bad_outcome"] += 1
        if not outcomes and shell.outcomes:
            problems["bad_market"] += 1
            bad.add(shell.key)
            return None
        return _Market(shell.key, outcomes, _time(shell.last_update, problems))

    def _read_bookmaker(
        self,
        bookmaker: _Bookmaker,
        bad: set[str],
        keys: dict[str, str],
        prices: PriceFormat,
        problems: Counter[str],
    ) -> ObservedBookmaker:
        markets: dict[MarketKey, ObservedMarket] = {}
        known_keys = self._keys
        swaps = self._swaps
        for market in bookmaker.markets:
            name = market.key
            if _NUL in name:
                problems["bad_market"] += 1
                bad.add(ANY)
                continue
            lines = self._read_outcomes(market, keys, prices, problems)
            if not lines and market.outcomes:
                problems["bad_market"] += 1
                bad.add(name)
            updated_at = market.last_update
            for (line, participant), outcomes in lines.items():
                key = known_keys.get((name, line, participant))
                if key is None:
                    key = self._market_key(name, line, participant)
                if key in markets:
                    problems["repeated_market"] += 1
                    outcomes = [*markets[key].outcomes, *outcomes]
                if len(outcomes) == 2:
                    one, other = outcomes
                    swap = swaps.get((one.key, other.key))
                    if swap is None:
                        ordered = self._ordered(outcomes, problems)
                    else:
                        ordered = (other, one) if swap else (one, other)
                else:
                    ordered = self._ordered(outcomes, problems)
                markets[key] = ObservedMarket(key, _OPEN, ordered, updated_at)
        return ObservedBookmaker(
            bookmaker=self._text(bookmaker.key),
            markets=markets,
            source_updated_at=bookmaker.last_update,
            unreadable=frozenset(bad) if bad else _NOTHING,
        )

    def _read_outcomes(
        self,
        market: _Market,
        keys: dict[str, str],
        prices: PriceFormat,
        problems: Counter[str],
    ) -> dict[tuple[str, str], list[Outcome]]:
        """A market's outcomes by (line, participant): those of one payload market apart.

        This runs for every price of every poll: what is not needed each time is looked up.
        """
        handicap = "spreads" in market.key
        shown = self._shown[prices]
        found: dict[tuple[str, str], list[Outcome]] = {}
        same: list[Outcome] = []
        last_point: float | None = math.nan  # differs from every point, and from none
        last_participant: str | None = None
        for outcome in market.outcomes:
            name = outcome.name
            key = keys.get(name, name)
            known = shown.get((key, name, outcome.price))
            point = outcome.point
            if handicap and key == "away" and point is not None:
                point = -point
            participant = outcome.description
            if known is not None and point == last_point and participant == last_participant:
                same.append(known)
                continue
            try:
                if known is None:
                    known = self._show(key, name, outcome.price, prices)
                line = NO_LINE if point is None else canonical_line(point)
                if participant is not None and _NUL in participant:
                    raise _BadText
            except BadPrice:
                problems["bad_price"] += 1
                continue
            except _BadText:
                problems["bad_outcome"] += 1
                continue
            # A team's market is the home or the away side's, whatever the team is called.
            who = "" if participant is None else keys.get(participant, participant)
            same = found.setdefault((line, who), [])
            same.append(known)
            last_point, last_participant = point, participant
        return found

    def _show(self, key: str, name: str, price: float, prices: PriceFormat) -> Outcome:
        """The one value that all outcomes of this name and price share.

        Raises BadPrice, or _BadText.
        """
        if _NUL in name:
            raise _BadText
        decimal = american_price(price) if prices is PriceFormat.AMERICAN else decimal_price(price)
        shown = self._shown[prices]
        if len(shown) >= _MOST_SHARED:
            shown.clear()
        outcome = Outcome(self._text(key), self._text(name), decimal)
        shown[key, name, price] = outcome
        return outcome

    def _ordered(self, outcomes: list[Outcome], problems: Counter[str]) -> tuple[Outcome, ...]:
        """Outcomes with unique keys in canonical order; how a pair stands is remembered."""
        if len(outcomes) == 1:
            return (outcomes[0],)
        if len(outcomes) == 2 and outcomes[0].key != outcomes[1].key:
            if len(self._swaps) >= _MOST_SHARED:
                self._swaps.clear()
            one, other = outcomes
            self._swaps[one.key, other.key] = outcome_order(one) > outcome_order(other)
        return tuple(sorted(distinct_outcomes(outcomes, problems), key=outcome_order))

    def _market_key(self, market: str, line: str, participant: str) -> MarketKey:
        key = self._keys.get((market, line, participant))
        if key is None:
            if len(self._keys) >= _MOST_SHARED:
                self._keys.clear()
            key = MarketKey(self._text(market), line, self._text(participant))
            self._keys[key] = key
        return key

    def _text(self, text: str) -> str:
        if len(self._texts) >= _MOST_SHARED:
            self._texts.clear()
        return self._texts.setdefault(text, text)


def _bookmakers(raw: msgspec.Raw) -> list[_Bookmaker]:
    try:
        return _event.decode(raw).bookmakers
    except msgspec.MsgspecError:
        return []


def _named(decoder: msgspec.json.Decoder[Any], raw: msgspec.Raw, field: str) -> str:
    """What a part that cannot be read calls itself, ANY where not even that can be read."""
    try:
        return str(getattr(decoder.decode(raw), field))
    except msgspec.MsgspecError:
        return ANY


def _time(value: Any, problems: Counter[str]) -> datetime | None:
    if value is None:
        return None
    try:
        return msgspec.convert(value, datetime)
    except msgspec.MsgspecError:
        problems["bad_time"] += 1
        return None
