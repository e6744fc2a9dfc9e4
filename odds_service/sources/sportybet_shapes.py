"""Shapes of SportyBet's event for msgspec, decoded whole if possible, else part by part."""

from typing import Final

import msgspec
from msgspec import Struct

from odds_service.decoding import JsonDecoder

OPEN: Final = 0  # status of a market that takes bets


class Outcome(Struct, frozen=True, gc=False):
    """An outcome of the usual shape."""

    id: str
    odds: str
    isActive: int = 1
    desc: str = ""


class Unpriced(Struct):
    """An outcome whose odds or activity have an unexpected type."""

    id: str
    desc: str = ""


class Market(Struct, gc=False):
    """A market whose outcomes all have the usual shape."""

    id: str
    outcomes: tuple[Outcome, ...]
    status: int = OPEN
    specifier: str | None = None
    name: str | None = None
    desc: str | None = None
    lastOddsChangeTime: int | None = None


class RawMarket(Struct):
    """A market whose outcomes are decoded one by one."""

    id: str
    outcomes: list[msgspec.Raw]
    status: int = OPEN
    specifier: str | None = None
    name: str | None = None
    desc: str | None = None
    lastOddsChangeTime: msgspec.Raw = msgspec.Raw(b"null")


class Identified(Struct):
    """The id of a part; no other field of it is readable."""

    id: str


class Tournament(Struct, gc=False):
    """A tournament of a category."""

    name: str = ""


class Category(Struct, gc=False):
    """A category of a sport, such as a country."""

    name: str = ""
    tournament: Tournament = msgspec.field(default_factory=Tournament)


class Sport(Struct, gc=False):
    """The sport of an event, with its category and tournament."""

    id: str
    name: str = ""
    category: Category = msgspec.field(default_factory=Category)


class Event(Struct, gc=False):
    """An event whose markets all have the usual shape."""

    eventId: str
    homeTeamName: str
    awayTeamName: str
    estimateStartTime: int
    sport: Sport
    markets: list[Market]
    status: int | None = None


class RawEvent(Struct):
    """An event whose markets are decoded one by one."""

    eventId: str
    homeTeamName: str
    awayTeamName: str
    estimateStartTime: int
    sport: Sport
    markets: list[msgspec.Raw]
    status: int | None = None


class Answer(Struct, gc=False):
    """An answer of the usual shape throughout."""

    bizCode: int
    data: Event
    message: str | None = None


class RawAnswer(Struct):
    """An answer whose event is decoded apart from it."""

    bizCode: int
    message: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


ANSWER: Final = JsonDecoder(Answer)
RAW_ANSWER: Final = JsonDecoder(RawAnswer)
RAW_EVENT: Final = JsonDecoder(RawEvent)
MARKET: Final = JsonDecoder(Market)
RAW_MARKET: Final = JsonDecoder(RawMarket)
OUTCOME: Final = JsonDecoder(Outcome)
UNPRICED: Final = JsonDecoder(Unpriced)
IDENTIFIED: Final = JsonDecoder(Identified)
EPOCH_MS: Final[JsonDecoder[int | None]] = JsonDecoder(int | None)
