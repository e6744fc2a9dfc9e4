"""Past states in a memory: the revision of a time, source states, pulls and snapshots."""

from collections.abc import Iterator
from datetime import datetime
from heapq import nlargest

from odds_service.model.change import SourceChange
from odds_service.model.observation import Completeness
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.snapshot import BookmakerKey, Snapshot
from odds_service.model.source import SourceState
from odds_service.storage.memory import Memory
from odds_service.storage.successes import RUNS_SEARCHED, with_success
from odds_service.store import RunPlace, RunsFilter, RunsPage


def revision_at(memory: Memory, at: datetime) -> int:
    """See store.Store.revision_at.

    Changes with a wall clock of their own are judged by it, all others by their detection.
    """
    lowest = memory.last_detected(at)
    stepped = plain = 0
    for change in memory.changes(memory.floor_revision, memory.durable_revision):
        if change.wall_at is None:
            plain = change.revision if change.revision <= lowest else plain
        elif change.wall_at <= at:
            stepped = change.revision
    return stepped if stepped >= lowest else max(plain or memory.floor_revision, stepped)


def sources_at(memory: Memory, revision: int, at: datetime) -> list[SourceState]:
    """See store.Store.sources_at."""
    states = dict(memory.before.sources)
    for change in memory.changes(memory.floor_revision, memory.durable_revision):
        if not isinstance(change, SourceChange) or memory.is_unknown(change.revision):
            continue
        if change.revision <= revision:
            states[change.source] = change.after
        elif change.source not in states and change.before is not None:
            states[change.source] = change.before
    answered: dict[str, datetime] = {}
    for run in successes(memory, at - RUNS_SEARCHED, at):
        answered[run.source] = max(run.finished_at, answered.get(run.source, run.finished_at))
    return [with_success(states[name], answered.get(name)) for name in sorted(states)]


def successes(memory: Memory, begin: datetime, end: datetime) -> Iterator[ScrapeRun]:
    """Yield the successful pulls between two times."""
    for run in memory.runs.values():
        failed = run.outcome == Completeness.FAILED.value
        if not failed and begin <= run.started_at and run.finished_at <= end:
            yield run


def runs_before(memory: Memory, only: RunsFilter, before: RunPlace | None, limit: int) -> RunsPage:
    """See store.Store.runs."""
    places = (
        place
        for place in reversed(memory.runs)  # nearly in order, so nlargest() moves little
        if (before is None or place < before)
        and (not only.sources or place[1] in only.sources)
        and (only.start is None or place[0] >= only.start)
        and (only.end is None or place[0] < only.end)
    )
    found = nlargest(limit + 1, places)
    more = len(found) > limit
    return RunsPage(
        [memory.runs[place] for place in found[:limit]], found[limit - 1] if more else None
    )


def captured(memory: Memory, revision: int) -> dict[tuple[str, BookmakerKey], Snapshot]:
    """Return each bookmaker's last snapshot up to a revision."""
    found: dict[tuple[str, BookmakerKey], Snapshot] = {}
    for snapshot_id in sorted(memory.snapshots):
        if snapshot_id <= revision:
            snapshot = memory.snapshots[snapshot_id]
            found[snapshot.event_id, (snapshot.source, snapshot.bookmaker)] = snapshot
    return found
