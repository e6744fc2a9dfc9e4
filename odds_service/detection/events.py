"""Derivation of an event's names, start and status from its sources."""

from msgspec.structs import replace

from odds_service.detection.intents import Look
from odds_service.model.change import Reason
from odds_service.model.event import Event, EventStatus, status_of
from odds_service.model.observation import ObservedEvent
from odds_service.model.snapshot import EventOdds, told_statuses


def describe(entry: EventOdds | None, event_id: str, observed: ObservedEvent, look: Look) -> Event:
    """Return the event after an answer of a source.

    The source that carried the event first describes it, so that sources which disagree on names or
    the start do not make it flip-flop. Its status is the furthest one reported by any source; the
    clock decides only while no source reports one.

    Args:
        entry: the event in the cache, None for a new event.
        event_id: the id of the event.
        observed: the event as the source shows it.
        look: the source, and the time of its answer.
    """
    source = look.source
    if entry is None:
        known = None
        source_ids = {source: observed.source_event_id}
        told = {}
    else:
        known = entry.event
        source_ids = known.source_ids | {source: observed.source_event_id}
        told = told_statuses(entry.sources)
        told.pop(source, None)
    describes = known is None or next(iter(known.source_ids), source) == source
    start_time = observed.start_time if describes or known is None else known.start_time
    if observed.status is not None:
        told[source] = observed.status
    status = status_of(told, start_time, look.at)
    if known is not None and not describes:
        return replace(known, status=status, source_ids=source_ids, told=told)
    return Event(
        id=event_id,
        sport=observed.sport,
        competition=observed.competition,
        home=observed.home,
        away=observed.away,
        start_time=start_time,
        status=status,
        source_ids=source_ids,
        title=observed.title,
        told=told,
        draws_lost=() if known is None else known.draws_lost,
    )


def reason_of_update(before: Event, after: Event, *, relisted: bool) -> str:
    """Return the most significant reason of an update; the change itself has every difference.

    Args:
        before: the event before the update.
        after: the event after the update.
        relisted: True if the source shows the event in another listing than before.
    """
    if (before.home, before.away) == (after.away, after.home) != (before.away, before.home):
        return Reason.SIDES_SWAPPED
    if before.status is EventStatus.SCHEDULED and after.status is EventStatus.IN_PLAY:
        return Reason.EVENT_STARTED
    if before.start_time != after.start_time:
        return Reason.START_MOVED
    if before.source_ids.keys() != after.source_ids.keys():
        return Reason.SOURCE_JOINED
    if before != after and before == replace(after, told=before.told, status=before.status):
        return Reason.STATUS_TOLD
    if before != after:
        return Reason.RENAMED
    return Reason.LISTING_MOVED if relisted else Reason.REMATCHED
