"""Shapes of The Odds API's bodies for msgspec, decoded whole if possible, else part by part."""

from collections import Counter
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from odds_service.decoding import JsonDecoder
from odds_service.model.observation import ANY

NULL: Final = msgspec.Raw(b"null")


class ListedOutcome(Struct, gc=False):
    """An outcome of the usual shape."""

    name: str
    price: float
    point: float | None = None
    description: str | None = None


class Unpriced(Struct, gc=False):
    """An outcome whose price has an unexpected type."""

    name: str
    point: float | None = None
    description: str | None = None


class ListedMarket(Struct, gc=False):
    """A market whose outcomes all have the usual shape."""

    key: str
    outcomes: list[ListedOutcome]
    last_update: datetime | None = None


class ListedBookmaker(Struct, gc=False):
    """A bookmaker whose markets all have the usual shape."""

    key: str
    markets: list[ListedMarket]
    last_update: datetime | None = None


class ListedEvent(Struct, gc=False):
    """An event whose bookmakers all have the usual shape."""

    id: str
    sport_key: str
    commence_time: datetime
    bookmakers: list[ListedBookmaker]
    home_team: str | None = None
    away_team: str | None = None
    sport_title: Any = None  # for display only, so any type is accepted


class RawMarket(Struct):
    """A market whose outcomes are decoded one by one."""

    key: str
    outcomes: list[msgspec.Raw]
    last_update: msgspec.Raw = NULL


class RawBookmaker(Struct):
    """A bookmaker whose markets are decoded one by one."""

    key: str
    markets: list[msgspec.Raw]
    last_update: msgspec.Raw = NULL


class RawEvent(Struct):
    """An event whose bookmakers are decoded one by one."""

    id: str
    sport_key: str
    commence_time: datetime
    bookmakers: list[msgspec.Raw]
    home_team: str | None = None
    away_team: str | None = None
    sport_title: msgspec.Raw = NULL


class Keyed(Struct):
    """The key of a part; no other field of it is readable."""

    key: str


class Identified(Struct):
    """The id of an event; no other field of it is readable."""

    id: str


class ErrorBody(Struct):
    """An error, in the place of events."""

    message: str = ""
    error_code: str = ""


class RawError(Struct):
    """An error, of which only the presence counts."""

    message: msgspec.Raw = msgspec.Raw(b"")
    error_code: msgspec.Raw = msgspec.Raw(b"")


EVENT: Final = JsonDecoder(ListedEvent)
RAW_EVENT: Final = JsonDecoder(RawEvent)
BOOKMAKER: Final = JsonDecoder(ListedBookmaker)
RAW_BOOKMAKER: Final = JsonDecoder(RawBookmaker)
MARKET: Final = JsonDecoder(ListedMarket)
RAW_MARKET: Final = JsonDecoder(RawMarket)
OUTCOME: Final = JsonDecoder(ListedOutcome)
UNPRICED: Final = JsonDecoder(Unpriced)
KEYED: Final = JsonDecoder(Keyed)
IDENTIFIED: Final = JsonDecoder(Identified)
ERROR: Final = JsonDecoder(ErrorBody)
RAW_ERROR: Final = JsonDecoder(RawError)
PARTS: Final = JsonDecoder(list[msgspec.Raw])
ANYTHING: Final = JsonDecoder(Any)
_time: Final[JsonDecoder[datetime | None]] = JsonDecoder(datetime | None)


def bookmakers_of(raw: msgspec.Raw) -> list[ListedBookmaker]:
    """Return the bookmakers of an event; empty if it does not have the usual shape."""
    try:
        return EVENT.decode(raw).bookmakers
    except msgspec.MsgspecError:
        return []


def name_in(decoder: JsonDecoder[Any], raw: msgspec.Raw, field: str) -> str:
    """Return the name of an unreadable part; ANY if the name is unreadable too.

    Args:
        decoder: decodes only the name.
        raw: the part's JSON.
        field: the decoded field that holds the name.
    """
    try:
        return str(getattr(decoder.decode(raw), field))
    except msgspec.MsgspecError:
        return ANY


def time_of(raw: msgspec.Raw, problems: Counter[str]) -> datetime | None:
    """Decode a time; return None if it is absent or, counted as `bad_time`, invalid."""
    try:
        return _time.decode(raw)
    except msgspec.MsgspecError:
        problems["bad_time"] += 1
        return None
