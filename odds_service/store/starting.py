"""The stored state at a start, and the kinds of a start."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from odds_service.errors import StorageError
from odds_service.model.asks import Asks
from odds_service.model.snapshot import EventOdds, EventSource
from odds_service.model.source import SourceState

# A start loads ghosts of events that began at most this long ago, and only the latest of them. A
# ghost's own start can differ from its event's; the reconciler judges by the ghost's.
GHOSTS_SINCE: Final = timedelta(days=2)
MOST_GHOSTS: Final = 50_000

# The time for which a renewal promises that the owner lives, and the time after its end at which a
# standby ends the owner's session. Both by the database's clock.
LEASE_S: Final = 2.0
EXPIRED_S: Final = 3.0

# Called with the progress of long work: what is counted, in the plural, the number so far, and the
# number in all if that is known. Work in stages counts one thing after another.
Report = Callable[[str, int, int | None], None]


def unreported(what: str, done: int, total: int | None) -> None:
    """Ignore progress."""


class Stored(Struct, frozen=True, kw_only=True):
    """The stored state at a start, and the epoch that the start opens.

    Attributes:
        events: events that have not ended, with their live odds.
        ghosts: (event id, source event that departed from it), for events that began recently or
            are still to begin, including ended ones.
        sources: last announced state of each source.
        revision: the durable revision.
        epochs: (epoch, its first revision) in order; the last is the one opened by this start, or
            for Store.warm() by the owner's.
        dead_letters: number of dead letters.
        replayed: number of changes stored from the spill file of the last stop.
        misfits: number of changes in that file that did not fit and are now dead letters.
        asks: each source's asks in the last run.
    """

    events: list[EventOdds]
    ghosts: list[tuple[str, EventSource]] = []
    sources: list[SourceState]
    revision: int
    epoch: str
    epochs: list[tuple[str, int]]
    last_detected_at: datetime | None
    database_id: str
    dead_letters: int = 0
    replayed: int = 0
    misfits: int = 0
    asks: dict[str, Asks] = {}


class Fence(Struct, frozen=True, kw_only=True):
    """The position of a log whose former owner can no longer write.

    Attributes:
        epoch: the epoch that the new owner will open.
        old_epoch: the last epoch that was opened; empty if none was.
        durable_revision: the durable revision.
        epochs: (epoch, its first revision) of all opened epochs, in order.
        last_detected_at: the time of the newest stored change; None if there is none.
    """

    epoch: str
    old_epoch: str
    durable_revision: int
    epochs: list[tuple[str, int]]
    database_id: str
    last_detected_at: datetime | None


class Opening(Struct, frozen=True, kw_only=True):
    """The kind of a start, and what it accepts.

    Attributes:
        recorded_from: The time of the first recording that an import brings; None for a service.
        adopt: Whether a service accepts a database whose last run was an import.
    """

    recorded_from: datetime | None = None
    adopt: bool = False

    def check(self, *, imported: bool, last_detected_at: datetime | None) -> None:
        """Check the database before an epoch is opened.

        Args:
            imported: Whether its last run was an import.
            last_detected_at: The time of its newest change; None if it has none.

        Raises:
            StorageError: The database holds imported odds that nobody adopted, or its log is
                newer than the recordings.
        """
        first = self.recorded_from
        if first is None:
            if imported and not self.adopt:
                raise StorageError(
                    "the database was filled by `odds-service import`; start with --adopt"
                    " (database.adopt) to put live odds behind the imported ones"
                )
        elif last_detected_at is not None and first <= last_detected_at:
            raise StorageError(
                f"the recordings begin at {first.isoformat()}, and the log of this database"
                f" reaches {last_detected_at.isoformat()} already: nothing can be put before that;"
                " import into a new database, or only what is later (--since)"
            )
