"""Recorded bodies of The Odds API: answers of its live calls, and of its historical ones.

A historical answer is an envelope with its own time; see
https://the-odds-api.com/liveapi/guides/v4/#get-historical-odds.
"""

from collections import Counter
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Struct

from odds_service.decoding import JsonDecoder
from odds_service.errors import SourceError
from odds_service.model.observation import (
    ANY,
    Completeness,
    Observation,
    ObservedEvent,
    Scope,
)
from odds_service.sources.odds_api_body import BodyReader
from odds_service.sources.odds_api_shapes import ERROR, PARTS, ErrorBody
from odds_service.sources.recorded import Look

UPCOMING: Final = "upcoming"  # the API's own name for "the next events of all sports"


class _Envelope(Struct):
    timestamp: datetime
    data: msgspec.Raw


class _Head(Struct):
    id: str
    sport_key: str


_envelope: Final = JsonDecoder(_Envelope)
_heads: Final = JsonDecoder(list[_Head])
_head: Final = JsonDecoder(_Head)


class RecordedOdds:
    """A reader of recorded bodies; a body answers for a sport, for `upcoming`, or for one event.

    Nothing tells which markets were asked for, so a body counts as all that its scope had.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._reader = BodyReader()

    def look(self, body: bytes) -> Look:
        """See recorded.RecordedReader. The key of one event is its id."""
        content, at = _opened(body)
        if not _is_list(content):
            return Look(_one(content).id, at)
        sports = {head.sport_key for head in _listed(content)}
        return Look(next(iter(sports)) if len(sports) == 1 else UPCOMING if sports else "", at)

    def read(self, body: bytes, key: str, at: datetime) -> Observation:
        """See recorded.RecordedReader."""
        content, _ = _opened(body)
        if _is_list(content):
            raws = _parts(content)
            scope = Scope(listing=None if key == UPCOMING else key)
        else:
            head = _one(content)
            raws = [msgspec.Raw(content)]
            scope = Scope(listing=head.sport_key, events=frozenset({head.id}))
        prices = self._reader.guess_format(raws)
        problems: Counter[str] = Counter()
        unreadable: set[str] = set()
        events: list[ObservedEvent] = []
        for raw in raws:
            event = self._reader.read_event(raw, prices, problems, unreadable)
            if event is not None:
                events.append(event)
        # As live: `upcoming` shows only the next events, and one missing from it is not gone.
        partial = key == UPCOMING or ANY in unreadable
        return Observation(
            source=self._name,
            scope=scope,
            completeness=Completeness.PARTIAL if partial else Completeness.COMPLETE,
            started_at=at,
            observed_at=at,
            events=tuple(events),
            unreadable=frozenset(unreadable),
            problems=dict(problems),
        )


def _opened(body: bytes) -> tuple[bytes, datetime | None]:
    """Return the list of events or the event, and the time of its envelope."""
    if _is_list(body):
        return body, None
    try:
        envelope = _envelope.decode(body)
    except msgspec.ValidationError:
        return body, None
    except msgspec.MsgspecError as error:
        raise SourceError("truncated", f"broken JSON: {error}") from None
    at = envelope.timestamp
    if at.tzinfo is None:
        raise SourceError("wrong_shape", "its timestamp has no zone")
    return bytes(envelope.data), at.astimezone(UTC)


def _is_list(content: bytes) -> bool:
    return content.lstrip()[:1] == b"["


def _listed(content: bytes) -> list[_Head]:
    try:
        return _heads.decode(content)
    except msgspec.MsgspecError:
        pass
    heads = []  # one of them is odd: the rest has a sport
    for raw in _parts(content):
        try:
            heads.append(_head.decode(raw))
        except msgspec.MsgspecError:
            continue
    if not heads:
        raise SourceError("wrong_shape", "none of its events could be read")
    return heads


def _parts(content: bytes) -> list[msgspec.Raw]:
    try:
        return PARTS.decode(content)
    except msgspec.MsgspecError as error:
        raise SourceError("truncated", f"broken JSON: {error}") from None


def _one(content: bytes) -> _Head:
    try:
        return _head.decode(content)
    except msgspec.MsgspecError:
        pass
    try:
        error = ERROR.decode(content)
    except msgspec.MsgspecError:
        error = ErrorBody()
    if error.message or error.error_code:
        raise SourceError("error_body", error.message or error.error_code)
    raise SourceError("wrong_shape", "neither a list of events nor an event")
