"""Stored rows of market changes as protobuf bytes, without values in between.

The bytes are those that encode.change_wire() gives for the change of the row; a test compares them.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import msgspec

from odds_service.model.bounds import FEW_OUTCOMES
from odds_service.model.market import MarketKey, MarketStatus
from odds_service.store import LOG_COLUMNS
from odds_service.wire import encode
from odds_service.wire.wire_fields import delimited, moment, number, pack_double, text, varint

Row = Sequence[Any]  # with LOG_COLUMNS

# Longer texts may hold a market that is too large to be served, which takes a closer look.
MOST_CHARS: Final = 16_384
_STATUSES: Final = {
    int(status): encode.MARKET_STATUS + varint(int(status)) for status in MarketStatus
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BEFORE, _AFTER = LOG_COLUMNS.index("before"), LOG_COLUMNS.index("after")


class _Odds(msgspec.Struct, array_like=True, gc=False):
    """The fields of rows.odds.Odds; times stay text, which is looked up and seldom read.

    Unlike lists, tuples of texts and numbers start no full garbage collections.
    """

    status: int
    outcomes: tuple[tuple[str, str, float | None, bool], ...]
    source_updated_at: str | None = None
    changed_at: str | None = None
    revision: int = 0


_decode = msgspec.json.Decoder(list[_Odds | None]).decode
_decode_time = msgspec.json.Decoder(datetime).decode


def row_wires(rows: Sequence[Row]) -> list[bytes | None]:
    """Return the fields of Changes or HistoryPage for rows of market changes.

    A row that is large, or cannot be read at once with the others, gives None: its change has to be
    decoded.
    """
    try:
        olds = _texts([row[_BEFORE] for row in rows])
        news = _texts([row[_AFTER] for row in rows])
    except msgspec.MsgspecError:
        return [None] * len(rows)  # one of them, at least
    found: list[bytes | None] = []
    for row, old, new in zip(rows, olds, news, strict=True):
        wire = None
        if new is not None and not _is_odd(row, old, new):
            with suppress(msgspec.MsgspecError):  # a time that is none
                wire = _wire(row, old, new)
        found.append(wire)
    return found


def _texts(texts: list[str | None]) -> list[_Odds | None]:
    return _decode("[" + ",".join([each or "null" for each in texts]) + "]")


def _is_odd(row: Row, old: _Odds | None, new: _Odds) -> bool:
    """Return whether a row may be too large, or was written by another program."""
    for odds, chars in ((new, row[_AFTER]), (old, row[_BEFORE])):
        if odds is not None and (
            len(chars) > MOST_CHARS
            or len(odds.outcomes) > FEW_OUTCOMES
            or odds.status not in _STATUSES
        ):
            return True
    return False


def _wire(row: Row, old: _Odds | None, new: _Odds) -> bytes:
    (
        revision, detected_at, kind, reason, event_id, source, bookmaker, market, line, participant,
        snapshot_id, observed_at, _before, _after, other_line, _ended,
    ) = row  # fmt: skip
    key = _key(market, line, participant)
    observed = _stored_moment(observed_at)
    number_wire = varint(revision)
    pieces = [
        encode.CHANGE_REVISION,
        number_wire,
        encode.CHANGE_KIND,
        varint(kind),
        encode.change_place(event_id, bookmaker, source),
        encode.CHANGE_AFTER,
        _market(key, new, number_wire, observed),
    ]
    if old is not None:
        pieces += (encode.CHANGE_BEFORE, _market(key, old, number_wire, observed))
    pieces += (
        encode.CHANGE_OBSERVED,
        observed,
        encode.CHANGE_DETECTED,
        _stored_moment(detected_at),
    )
    if reason:
        pieces.append(text(encode.CHANGE_REASON, reason))
    if other_line:
        pieces += (encode.CHANGE_OTHER_LINE, pack_double(encode.line_number(other_line)))
    pieces.append(number(encode.CHANGE_SNAPSHOT, snapshot_id or 0))
    return encode.CHANGES + delimited(b"".join(pieces))


@lru_cache(maxsize=65_536)
def _key(market: str, line: str, participant: str) -> bytes:
    return encode.market_key(MarketKey(market, line, participant))


def _market(key: bytes, odds: _Odds, revision: bytes, observed: bytes) -> bytes:
    pieces = [key, _STATUSES[odds.status]]
    for name, shown, price, active in odds.outcomes:
        if price is not None and active:
            pieces += (encode.before_price(name, shown), pack_double(price), encode.AFTER_PRICE)
        else:
            pieces.append(encode.odd_outcome(name, shown, price, active))
    changed = odds.changed_at
    pieces += (
        encode.MARKET_REVISION,
        varint(odds.revision) if odds.revision else revision,
        encode.MARKET_CHANGED,
        observed if changed is None else _told_moment(changed),
    )
    if odds.source_updated_at is not None:
        pieces.append(_claimed(odds.source_updated_at))
    whole = b"".join(pieces)
    return varint(len(whole)) + whole


@lru_cache(maxsize=16_384)  # one poll has only a handful of times
def _stored_moment(at: datetime | int) -> bytes:
    """Return a stored time as a delimited Timestamp: a time, or microseconds since 1970."""
    return moment(at if isinstance(at, datetime) else _EPOCH + timedelta(microseconds=at))


@lru_cache(maxsize=16_384)
def _told_moment(at: str) -> bytes:
    """Return a time in JSON as a delimited Timestamp; without a zone it counts as UTC."""
    return moment(_parse(at))


@lru_cache(maxsize=16_384)
def _claimed(at: str) -> bytes:
    """Return the bookmaker's own time as a field; none if it has no zone."""
    time = _parse(at)
    return b"" if time.tzinfo is None else encode.MARKET_UPDATED + moment(time)


def _parse(at: str) -> datetime:
    return _decode_time(f'"{at}"')
