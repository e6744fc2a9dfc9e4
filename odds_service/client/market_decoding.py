"""Decoders of markets and times, which all other decoders rest on."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from odds_service.model.market import NO_LINE, Market, MarketKey, MarketStatus, Outcome
from odds_service.model.price import canonical_line
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STATUSES: Final = {int(status): status for status in MarketStatus}


def moment(at: Timestamp) -> datetime:
    """Decode a timestamp as an aware time, to the microsecond."""
    return _time(at.seconds, at.nanos)


@lru_cache(16_384)  # the changes of one commit share their times
def _time(seconds: int, nanos: int) -> datetime:
    return _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1_000)


def market_key(message: pb.MarketKey) -> MarketKey:
    line = message.line
    return _key(
        message.market,
        line if line or message.HasField("line") else None,
        message.participant,
    )


@lru_cache(16_384)
def _key(market: str, line: float | None, participant: str) -> MarketKey:
    return MarketKey(market, NO_LINE if line is None else canonical_line(line), participant)


def market(message: pb.Market) -> Market:
    return Market(
        market_key(message.key),
        _STATUSES.get(message.status, MarketStatus.SUSPENDED),
        tuple(
            [
                # A price other than 0 is there; asking for each would cost a tenth of the market.
                Outcome(o.key, o.name, o.price or (0.0 if o.HasField("price") else None), o.active)
                for o in message.outcomes
            ]
        ),
        message.revision,
        moment(message.changed_at),
        moment(message.source_updated_at) if message.HasField("source_updated_at") else None,
    )
