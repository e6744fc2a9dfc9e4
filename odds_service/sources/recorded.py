"""The protocol of readers of recorded bodies, and the reader of bodies of one event."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Protocol, runtime_checkable

import msgspec
from msgspec import Struct

from odds_service.decoding import JsonDecoder
from odds_service.errors import SourceError
from odds_service.model.observation import Observation, ObservedEvent
from odds_service.sources.event_answers import UNKNOWN, answer_of_event
from odds_service.sources.markets.coverage import Coverage

EventReader = Callable[[bytes, Counter[str], Coverage], ObservedEvent]


class Look(Struct, frozen=True):
    """The parts of a recorded body that place it among the others.

    Attributes:
        key: The key of the pull that it answers: a listing, or the source's id of an event; empty
            if the body does not say, as an empty list does not.
        recorded_at: The time in the body, aware UTC; None if there is none.
    """

    key: str
    recorded_at: datetime | None = None


class RecordedReader(Protocol):
    """A reader of the bodies that one source answered in the past."""

    def look(self, body: bytes) -> Look:
        """Return the place of a body, without reading its odds.

        Raises:
            SourceError: It is not an answer with odds.
        """
        ...

    def read(self, body: bytes, key: str, at: datetime) -> Observation:
        """Read a body as the answer to a fetch.

        Args:
            body: The body.
            key: The key of the pull, as `look` returned it for this body or one beside it.
            at: The time of the recording, aware UTC.

        Raises:
            SourceError: It cannot be read; the fetch counts as failed.
        """
        ...


@runtime_checkable
class ReadsRecordings(Protocol):
    """A class of sources that reads recorded bodies as well; optional in a plug-in."""

    @classmethod
    def recorded(cls, name: str) -> RecordedReader:
        """Return a reader for the source of this name."""
        ...


class _Inner(Struct):
    ID: Any = None


class _Dictionary(Struct):
    ID: Any = None
    AA: _Inner | None = None


class _Data(Struct):
    eventId: Any = None


class _Answer(Struct):
    """The places of an event's id: BetPawa's, SportyBet's, and Bet9ja's before and in play."""

    id: Any = None
    data: _Data | None = None
    D: _Dictionary | None = None


_answer: Final = JsonDecoder(_Answer)


class RecordedEvents:
    """A reader of a source whose bodies are of one event each.

    Args:
        name: The name of the source.
        read_event: Reads a body; raises SourceError, of kind `unknown_event` if the provider did
            not know the event.
    """

    def __init__(self, name: str, read_event: EventReader) -> None:
        self._name = name
        self._read_event = read_event

    def look(self, body: bytes) -> Look:
        """See RecordedReader."""
        try:
            answer = _answer.decode(body)
        except msgspec.MsgspecError as error:
            raise SourceError("truncated", f"not an event: {error}") from None
        found = [answer.id]
        if answer.data is not None:
            found.append(answer.data.eventId)
        if answer.D is not None:
            found += [answer.D.ID, None if answer.D.AA is None else answer.D.AA.ID]
        return Look(next((str(each) for each in found if isinstance(each, str | int)), ""))

    def read(self, body: bytes, key: str, at: datetime) -> Observation:
        """See RecordedReader."""
        problems: Counter[str] = Counter()
        coverage = Coverage()
        event: ObservedEvent | None = None
        try:
            event = self._read_event(body, problems, coverage)
        except SourceError as error:
            if error.kind != UNKNOWN:
                raise
        return answer_of_event(
            self._name, key, None, event,
            started_at=at, observed_at=at, problems=problems, coverage=coverage,
        )  # fmt: skip
