"""Un-numbered changes: the values that a comparison, a move or a departure hands to numbering.

An intent names an event or a bookmaker and says what becomes of it. It holds neither a revision nor
a snapshot id, nor odds that carry one, so intents can be listed in their final order before any
number is given out. `numbering.number` turns the whole list into changes and cache entries.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from odds_service.model.change import ChangeKind
from odds_service.model.difference import Difference
from odds_service.model.event import Event
from odds_service.model.snapshot import BookmakerKey, BookmakerOdds, EventSource, Seen


class Look(Struct, frozen=True, gc=False):
    """The source and the time that intents go by.

    Args:
        source: the source whose answer, or whose departure, causes the changes.
        at: the time of the answer, by the wall clock.
        boot_s: the same by the boot clock; 0 where no answer was fetched.
    """

    source: str
    at: datetime
    boot_s: float = 0.0


class EventDifference(Struct, frozen=True, gc=False):
    """A difference of an event itself: its names, start, status or sources."""

    kind: ChangeKind
    reason: str
    before: Event | None
    after: Event


class OddsConfirmed(Struct, frozen=True, gc=False):
    """A bookmaker's odds were seen again, without a difference.

    lagging: as in BookmakerOdds, after this look.
    """

    key: BookmakerKey
    source_updated_at: datetime | None
    lagging: Mapping[str, Seen]


class OddsDiffer(Struct, frozen=True, gc=False):
    """A bookmaker's markets differ in at least one place; they become one new snapshot.

    lagging: as in BookmakerOdds, after this look.
    """

    key: BookmakerKey
    differences: Sequence[Difference]
    source_updated_at: datetime | None
    lagging: Mapping[str, Seen]


class OddsMissed(Struct, frozen=True, gc=False):
    """An answer lacks a bookmaker's odds, which stay for now without being confirmed."""

    key: BookmakerKey


class OddsArrive(Struct, frozen=True, gc=False):
    """A bookmaker's odds come over from another event, with the times that they had there.

    odds: as they were in the event that they leave, the markets in the order of their keys.
    reason: the reason of each ADDED.
    """

    odds: BookmakerOdds
    reason: str


OddsIntent = OddsConfirmed | OddsDiffer | OddsMissed | OddsArrive


class EventIntent(Struct, frozen=True, gc=False):
    """Everything that one look does to one event.

    The changes come in this order: `first`, those of the odds, `last`.

    Args:
        look: the source and the time that the changes carry.
        event: the event afterwards.
        sources: how its sources carry it afterwards.
        first: the difference of the event that its odds follow; None where there is none. An
            EVENT_ENDED takes the odds along, whatever they are by then.
        odds: the bookmakers that were looked at; all others stay as they are.
        last: the difference of the event that follows from its odds.
        rows: the values of `sources`, or the departed sources, that a store has to keep.
    """

    look: Look
    event: Event
    sources: Mapping[str, EventSource]
    first: EventDifference | None = None
    odds: Sequence[OddsIntent] = ()
    last: EventDifference | None = None
    rows: Sequence[EventSource] = ()
