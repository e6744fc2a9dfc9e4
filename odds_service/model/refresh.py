"""The outcome of a refresh: one event fetched out of turn from all sources that carry it."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from odds_service.model.change import Change


class FetchOutcome(Struct, frozen=True):
    """The outcome of the fetch from one source.

    Attributes:
        error_kind: The kind of failure, a word for programs; empty on success.
        error: The failure, for people.
        latency_s: The duration of the fetch in seconds, including the wait for its turn.
    """

    source: str
    error_kind: str
    error: str
    latency_s: float = 0.0


class RefreshOutcome(Struct, frozen=True):
    """The outcome of a refresh.

    Attributes:
        revision: The revision up to which its changes are committed.
        changes: The changes, in order.
        snapshot_ids: (source, bookmaker) -> the snapshot that holds the event's odds.
        sources: The outcome of each fetch.
    """

    revision: int
    changes: Sequence[Change]
    snapshot_ids: Mapping[tuple[str, str], int]
    sources: Sequence[FetchOutcome]
