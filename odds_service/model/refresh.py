"""The outcome of a refresh: one event, fetched out of turn from all sources that carry it."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from odds_service.model.change import Change


class FetchOutcome(Struct, frozen=True):
    """The end of the fetch from one source.

    error_kind: a word for programs, empty on success. error: the same for people. latency_s: how
    long the fetch took, including the wait for its turn.
    """

    source: str
    error_kind: str
    error: str
    latency_s: float = 0.0


class RefreshOutcome(Struct, frozen=True):
    """The changes of a refresh in order, and the revision up to which they are committed.

    snapshot_ids: (source, bookmaker) -> the snapshot that the event's odds belong to.
    """

    revision: int
    changes: Sequence[Change]
    snapshot_ids: Mapping[tuple[str, str], int]
    sources: Sequence[FetchOutcome]
