"""Intents: un-numbered changes, the results of comparisons, moves and departures.

An intent describes an effect on an event or a bookmaker. It contains no revision and no snapshot
id, so all intents can be put into their final order before any number is assigned.
`numbering.number` turns the whole list into changes and cache entries.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from odds_service.model.change import ChangeKind
from odds_service.model.difference import Difference
from odds_service.model.event import Event
from odds_service.model.snapshot import BookmakerKey, BookmakerOdds, EventSource, Seen


class Look(Struct, frozen=True, gc=False):
    """The source and the time of an answer.

    Args:
        source: the source whose answer or departure causes the changes.
        at: the time by the wall clock.
        boot_s: the time by the boot clock, in seconds; 0 if no answer was fetched.
    """

    source: str
    at: datetime
    boot_s: float = 0.0


class EventDifference(Struct, frozen=True, gc=False):
    """A difference of an event's own fields: its names, start, status or sources."""

    kind: ChangeKind
    reason: str
    before: Event | None
    after: Event


class OddsConfirmed(Struct, frozen=True, gc=False):
    """A confirmation of a bookmaker's odds, without a difference.

    `lagging` is the new value of the field in BookmakerOdds.
    """

    key: BookmakerKey
    source_updated_at: datetime | None
    lagging: Mapping[str, Seen]


class OddsDiffer(Struct, frozen=True, gc=False):
    """The differences of a bookmaker's markets, at least one; they become one new snapshot.

    `lagging` is the new value of the field in BookmakerOdds, and `matched` that of the slot in
    Markets.
    """

    key: BookmakerKey
    differences: Sequence[Difference]
    source_updated_at: datetime | None
    lagging: Mapping[str, Seen]
    matched: int = 0


class OddsMissed(Struct, frozen=True, gc=False):
    """An absence of a bookmaker's odds from an answer; they stay for now, unconfirmed."""

    key: BookmakerKey


class OddsArrive(Struct, frozen=True, gc=False):
    """The arrival of a bookmaker's odds from another event, with their times unchanged.

    `odds` are the odds in the event that they leave, with the markets in key order. `reason` is the
    reason of each ADDED.
    """

    odds: BookmakerOdds
    reason: str


OddsIntent = OddsConfirmed | OddsDiffer | OddsMissed | OddsArrive


class EventIntent(Struct, frozen=True, gc=False):
    """All effects of one answer on one event.

    The changes are numbered in this order: `first`, the changes of the odds, `last`.

    Args:
        look: the source and the time of the changes.
        event: the event afterwards.
        sources: the event's sources afterwards.
        first: the difference of the event that precedes the changes of odds, or None. An
            EVENT_ENDED ends all odds of the event.
        odds: the intents of bookmakers; bookmakers without one stay unchanged.
        last: the difference of the event that results from the changes of odds, or None.
        rows: the values of `sources` and the departed sources that have to be stored.
    """

    look: Look
    event: Event
    sources: Mapping[str, EventSource]
    first: EventDifference | None = None
    odds: Sequence[OddsIntent] = ()
    last: EventDifference | None = None
    rows: Sequence[EventSource] = ()
