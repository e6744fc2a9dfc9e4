"""The observation of a fetch of one event."""

from collections import Counter
from datetime import datetime
from typing import Final

from odds_service.errors import SourceError
from odds_service.model.observation import (
    Completeness,
    Observation,
    ObservedEvent,
    Scope,
    UnmappedSample,
)
from odds_service.model.source import WRONG_EVENT
from odds_service.sources.markets.coverage import Coverage

UNKNOWN: Final = "unknown_event"  # kind of failure: the provider no longer knows the event


def answer_of_event(
    source: str,
    event_id: str,
    listing: str | None,
    event: ObservedEvent | None,
    *,
    started_at: datetime,
    observed_at: datetime,
    problems: Counter[str],
    coverage: Coverage,
) -> Observation:
    """Return the observation of a fetch of one event with all its markets.

    Args:
        source: the name of the source.
        event_id: the provider's id of the event asked for.
        listing: the tournament that it belongs to; None if unknown.
        event: the answer; None if the provider no longer knows the event.
        started_at: start of the fetch.
        observed_at: end of the fetch.
        problems: name -> number of parts that were skipped.
        coverage: the counts of mapped and unmapped markets.

    Raises:
        SourceError: the answer is about another event.
    """
    if event is not None and event.source_event_id != event_id:
        text = f"asked for event {event_id}, answered with {event.source_event_id}"
        raise SourceError(WRONG_EVENT, text)
    samples = {}
    if event is not None:
        name = " – ".join(filter(None, (event.home, event.away))) or event.title
        samples = {
            market: UnmappedSample(
                sport=event.sport, event_id=event_id, event_name=name, outcomes=outcomes
            )
            for market, outcomes in coverage.outcomes.items()
        }
    return Observation(
        source=source,
        scope=Scope(listing=listing, events=frozenset({event_id})),
        completeness=Completeness.COMPLETE,
        started_at=started_at,
        observed_at=observed_at,
        events=() if event is None else (event,),
        problems=dict(problems),
        mapped=coverage.mapped,
        unmapped=coverage.unmapped,
        unmapped_samples=samples,
    )
