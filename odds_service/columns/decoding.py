"""Odds and events in stored rows, decoded many at a time into what columns are made of."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from odds_service.model.change import ChangeKind
from odds_service.model.event import Event
from odds_service.store import LOG_COLUMNS

Row = Sequence[Any]  # with LOG_COLUMNS

UNSTORED: Final = 0  # kind of a placeholder, as in rows.history
AT: Final = {name: place for place, name in enumerate(LOG_COLUMNS)}
_BEFORE, _AFTER = AT["before"], AT["after"]
_GONE: Final = "[3,[]]"  # the odds of a market after its event's end, as in a row of REMOVED


class Outcome(msgspec.Struct, array_like=True, gc=False):
    """An outcome; like tuples of these fields, but the garbage collector need not look at it."""

    key: str | None
    name: str | None
    price: float | None
    active: bool | None = True


NO_OUTCOME: Final = Outcome(None, None, None, None)  # stands for one that is not there


class Odds(msgspec.Struct, array_like=True, gc=False):
    """The part of rows.odds.Odds that a row shows.

    The garbage collector stops tracking tuples of such outcomes at its first look. Lists would stay
    tracked, and their number would start full collections.
    """

    status: int
    outcomes: tuple[Outcome, ...]
    source_updated_at: datetime | None = None


class _Ended(msgspec.Struct, array_like=True):
    """The part of a bookmaker's odds at an event's end that rows show."""

    snapshot_id: int
    source: str
    bookmaker: str
    observed_at: msgspec.Raw
    confirmed_at: msgspec.Raw
    source_updated_at: msgspec.Raw
    markets: list[tuple[str, str, str, msgspec.Raw]]


_decode_many = msgspec.json.Decoder(list[Odds | None]).decode
_decode_ended = msgspec.json.Decoder(list[_Ended]).decode
_decode_event = msgspec.json.Decoder(Event).decode


def event_of(text: str) -> Event | None:
    """Decode an event; None if it is malformed."""
    try:
        found = _decode_event(text)
    except msgspec.MsgspecError:
        return None
    if found.start_time.tzinfo is None:  # older versions stored UTC without a zone
        start = found.start_time.replace(tzinfo=UTC)
        found = msgspec.structs.replace(found, start_time=start)
    return found


def ended_rows(row: Row) -> Iterator[Row]:
    """Yield a row for each market that an event's end ended, or a placeholder."""
    text = row[AT["ended"]]
    if text is None:
        return
    try:
        told = _decode_ended(text)
    except msgspec.MsgspecError:
        yield placeholder(row)
        return
    head = (*row[:3], row[AT["reason"]], row[AT["event_id"]])
    observed_at = row[AT["observed_at"]]
    for odds in told:
        for market, line, participant, before in odds.markets:
            yield (
                *head, odds.source, odds.bookmaker, market, line, participant, odds.snapshot_id,
                observed_at, bytes(before).decode(), _GONE, None, None,
            )  # fmt: skip


def placeholder(row: Row) -> Row:
    """Return the row that stands for one that cannot be read."""
    return (*row[: AT["kind"]], UNSTORED, *[None] * (len(LOG_COLUMNS) - AT["kind"] - 1))


def decoded(rows: list[Row]) -> tuple[list[Odds | None], list[Odds | None]]:
    """Return the odds before and after each row; placeholders replace unreadable rows in place."""
    try:
        return _texts([row[_BEFORE] for row in rows]), _texts([row[_AFTER] for row in rows])
    except msgspec.MsgspecError:
        pass
    for place, row in enumerate(rows):
        try:
            _texts([row[_BEFORE], row[_AFTER]])
        except msgspec.MsgspecError:
            rows[place] = placeholder(row)
    return decoded(rows)


def _texts(texts: list[str | None]) -> list[Odds | None]:
    """Decode many texts at once."""
    return _decode_many("[" + ",".join([text or "null" for text in texts]) + "]")


KINDS: Final = {int(kind): kind.name.lower() for kind in ChangeKind} | {UNSTORED: "unstored"}


class Numbers(dict[str | None, float | None]):
    """Lines as numbers by their texts, each converted once."""

    def __missing__(self, text: str | None) -> float | None:
        try:
            found = float(text) if text else None
        except ValueError:
            found = None
        if len(self) >= 65_536:  # the texts of a whole history are far fewer
            self.clear()
        self[text] = found
        return found
