"""The commits of the benchmark `cluster`: the odds of `watch`, as a log of nodes has them."""

import time
from collections.abc import Mapping, Sequence

from odds_service.model.change import (
    Change,
    ChangeKind,
    Commit,
    EventChange,
    MarketChange,
    Timing,
)
from odds_service.model.snapshot import EventOdds, EventSource, Snapshot
from tools.benchmarks.watch_server import made_events


def first_commit() -> Commit:
    """Return the commit that adds all events with all their odds, from revision 1 on."""
    changes: list[Change] = []
    snapshots: list[Snapshot] = []
    carried: list[tuple[str, EventSource]] = []
    for entry in made_events():
        event_id = entry.event.id
        carried += [(event_id, source) for source in entry.sources.values()]
        odds = next(iter(entry.bookmakers.values()))
        revision = len(changes) + 1
        changes.append(
            EventChange(
                revision, ChangeKind.EVENT_ADDED, "", event_id, odds.source, odds.observed_at,
                odds.observed_at, None, entry.event,
            )
        )  # fmt: skip
        for odds in entry.bookmakers.values():
            seen_at, snapshot_id = odds.observed_at, len(changes) + 1
            snapshots.append(
                Snapshot(snapshot_id, event_id, odds.source, odds.bookmaker, seen_at, seen_at, None)
            )
            for market in odds.markets.values():
                changes.append(
                    MarketChange(
                        len(changes) + 1, ChangeKind.ADDED, "", event_id, odds.source,
                        odds.bookmaker, snapshot_id, seen_at, seen_at, None, market,
                    )
                )  # fmt: skip
    return Commit(changes, snapshots, carried)


def commit_of(entries: Mapping[str, EventOdds], changes: Sequence[Change]) -> Commit:
    """Return the commit of price changes, as detect makes it.

    Args:
        entries: The events after the changes.
        changes: Changes of markets, each of another bookmaker on an event.
    """
    now_s = time.monotonic()
    snapshots = [
        entries[change.event_id].bookmakers[change.source, change.bookmaker].snapshot()
        for change in changes
        if isinstance(change, MarketChange)
    ]
    return Commit(changes, snapshots, timing=Timing("sim", "all", now_s, now_s))
