"""GetOdds as of a past cursor or time."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from odds_service.cache import CacheView
from odds_service.model.cursor import Cursor
from odds_service.model.snapshot import EventOdds
from odds_service.model.source import SourceState, assumed_up
from odds_service.serving.errors import Refused, StatusCode, bad_request, refused, unavailable
from odds_service.serving.lagging import wait_for_revision
from odds_service.serving.parts import Past
from odds_service.serving.selection import checked_time
from odds_service.serving.server_context import ServerContext
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

# A caller's clock may be this far ahead of ours; a time further ahead is a mistake.
CLOCKS_APART: Final = timedelta(seconds=2)


async def view_as_of(
    server: ServerContext, request: pb.GetOddsRequest, event_ids: frozenset[str] | None
) -> tuple[CacheView, datetime, list[SourceState]]:
    """Return the odds as of a cursor or time, that time, and the sources as of then.

    If history holds no state of a source, only the times of its odds decide on staleness.

    Raises:
        Refused: The place is not of this log, lies in the future, or is not committed.
        BelowFloor: The place lies before the floor.
    """
    parts = server.parts
    store: object = parts.store
    if not isinstance(store, Past):
        raise refused(StatusCode.UNIMPLEMENTED, "odds of the past are not kept", "NO_PAST")
    at: datetime | None = None
    if request.HasField("as_of_cursor"):
        revision = _revision_of(server, request.as_of_cursor)
        await wait_for_revision(server, revision)
    else:
        at = checked_time("as_of_time", request.as_of_time)
        await _require_settled(server, at)
        await wait_for_revision(server, parts.feed.durable_revision)
        revision = await server.ask(store.revision_at, at)
    past = await server.ask(store.odds_at, revision, sorted(event_ids or ()), at)
    then = past.at or parts.now()
    states = await server.ask(store.sources_at, revision, then)
    judged_by = judged(states, past.events)
    events = {entry.event.id: entry for entry in past.events}
    cursor = Cursor(parts.feed.epoch, past.revision)
    return CacheView(cursor, parts.feed.durable_revision, events, judged_by), then, list(states)


def judged(states: Iterable[SourceState], entries: Iterable[EventOdds]) -> dict[str, SourceState]:
    """Return the states of all sources of past odds; one without a known state counts as up."""
    shown = {source for entry in entries for source, _ in entry.bookmakers}
    return {source: assumed_up(source) for source in shown} | {
        state.source: state for state in states
    }


def _revision_of(server: ServerContext, cursor: pb.Cursor) -> int:
    """Return the revision of a cursor, which must be committed in this log. Raises Refused."""
    if server.verdict(cursor) == pb.INTENT_REASON_EPOCH_CHANGED:
        text = "as_of_cursor is not of this log: its revision was never stored here"
        raise refused(StatusCode.FAILED_PRECONDITION, text, "EPOCH_CHANGED")
    if cursor.revision > server.parts.feed.durable_revision:
        raise _not_durable(server, f"revision {cursor.revision} is not committed yet")
    return cursor.revision


async def _require_settled(server: ServerContext, at: datetime) -> None:
    """Check that all changes up to a time are in the log and committed. Raises Refused.

    Otherwise two calls with the same time could get different answers.
    """
    # Read the clock in the thread that numbers changes: there, every stamped change is in the log.
    now = await server.ask(_settled, server)
    if at > now + CLOCKS_APART:
        raise bad_request("as_of_time", f"lies in the future: it is {now.isoformat()} here")
    if at >= now:
        retry_s = (at - now).total_seconds() + 0.01
        raise unavailable("as_of_time is not over yet", "NOT_SETTLED", retry_s)
    waiting = _first_waiting_at(server)
    if waiting is not None and waiting <= at:
        raise _not_durable(server, "not all changes up to as_of_time are committed yet")


async def _settled(server: ServerContext) -> datetime:
    parts = server.parts
    return parts.now() if parts.settled is None else parts.settled()


def _first_waiting_at(server: ServerContext) -> datetime | None:
    """Return the detection time of the first uncommitted change, or None if there is none."""
    feed = server.parts.feed
    durable = feed.durable_revision
    for batch in feed.read_after(durable, 1) or ():
        for change in batch.changes:
            if change.revision > durable:
                return change.wall_at or change.detected_at
    return None


def _not_durable(server: ServerContext, text: str) -> Refused:
    durable = str(server.parts.feed.durable_revision)
    return unavailable(text, "NOT_DURABLE_YET", durable_revision=durable)
