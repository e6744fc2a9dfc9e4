"""The upkeep of a database: refused changes, retention, comparison, size."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import Struct

from odds_service.model.change import Change


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A change that is missing from the history, with the reason.

    Attributes:
        change: None if it cannot be decoded.
    """

    letter_id: int
    epoch: str
    revision: int
    reason: str
    kept_at: datetime
    attempts: int
    change: Change | None


class Retention(Struct, frozen=True, kw_only=True):
    """Ages at which stored data is deleted; None keeps it for ever.

    Attributes:
        history: changes, with the snapshots and ended events that they refer to.
        runs: records of pulls.
        ended: last odds of ended events, which the history holds as well.
        events: events after their end, with their sources. The history keeps their changes, and
            past odds stay readable, but closing odds of them are not found any more.
        letters: dead letters. Their placeholders stay, and past odds count them as unknown.
    """

    history: timedelta | None = None
    runs: timedelta | None = timedelta(days=30)
    ended: timedelta | None = timedelta(days=1)
    events: timedelta | None = timedelta(days=90)
    letters: timedelta | None = timedelta(days=90)


class Retained(Struct, kw_only=True):
    """Numbers of rows, or of PostgreSQL's partitions, deleted in one round of retention."""

    history: int = 0
    partitions: int = 0
    current: int = 0
    snapshots: int = 0
    events: int = 0
    runs: int = 0
    letters: int = 0


class Verified(Struct, frozen=True):
    """The result of comparing odds_current with the fold of odds_history.

    Attributes:
        markets: number of live markets compared.
        faulty: number of differences.
        faults: descriptions of the first differences.
        unstored: number of placeholders, whose changes no fold can contain.
    """

    markets: int
    revision: int
    faulty: int
    faults: list[str]
    unstored: int


class StoreSize(Struct, frozen=True):
    """The size of a database, and the room where it grows.

    Attributes:
        parts: Part -> its bytes; all parts together are the whole database and its spill.
        folders: Place (`database`, `spill`) -> its folder, for those on this machine.
    """

    parts: Mapping[str, int]
    folders: Mapping[str, Path]
