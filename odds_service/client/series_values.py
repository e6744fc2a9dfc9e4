"""Prices of a market over time: the values of GetSeries, and their decoder."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime

from msgspec import Struct

from odds_service.client.decode import cursor, event
from odds_service.client.market_decoding import market_key
from odds_service.model.cursor import Cursor
from odds_service.model.event import Event
from odds_service.model.market import MarketKey
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb


class BookmakerSeries(Struct, frozen=True, kw_only=True):
    """The odds of one bookmaker over time, as columns; a point holds until the next one.

    Attributes:
        times: The time of each point, in UTC.
        prices: Outcome -> its price at each point; None where there is none.
        names: Outcome -> its name.
        offered: Whether one could bet.
        overround: Σ 1/price − 1 at each point; None where it cannot be told.
        closing: The index of the point that held at the event's start; None before the start, and
            where the span ends before it.
        thinned: Whether points were left out.
    """

    bookmaker: str
    source: str
    times: tuple[datetime, ...]
    prices: dict[str, tuple[float | None, ...]]
    names: dict[str, str]
    offered: tuple[bool, ...]
    overround: tuple[float | None, ...]
    closing: int | None
    thinned: bool


class PriceSeries(Struct, frozen=True, kw_only=True):
    """The odds of one market over time; with `gaps`, some changes were not kept or not stored."""

    event: Event
    key: MarketKey
    series: tuple[BookmakerSeries, ...]
    cursor: Cursor
    gaps: bool


def price_series(reply: pb.GetSeriesResponse) -> PriceSeries:
    """Read a reply."""
    return PriceSeries(
        event=event(reply.event),
        key=market_key(reply.key),
        series=tuple(_series(each) for each in reply.series),
        cursor=cursor(reply.cursor),
        gaps=reply.gaps,
    )


def _series(message: pb.Series) -> BookmakerSeries:
    return BookmakerSeries(
        bookmaker=message.bookmaker,
        source=message.source,
        times=tuple(datetime.fromtimestamp(at_s, UTC) for at_s in message.at_s),
        prices={each.outcome: _numbers(each.prices) for each in message.prices},
        names={each.outcome: each.name for each in message.prices},
        offered=tuple(message.offered),
        overround=_numbers(message.overround),
        closing=message.closing if message.HasField("closing") else None,
        thinned=message.thinned,
    )


def _numbers(column: Iterable[float]) -> tuple[float | None, ...]:
    return tuple(None if math.isnan(number) else number for number in column)
