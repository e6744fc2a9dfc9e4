"""What is no text is refused where an observation enters, whatever source it comes from.

Events and bookmakers here; markets, of which there are many, where a change of one is about to be
made (model.difference).
"""

from collections import Counter

from msgspec.structs import replace

from odds_service.model.observation import (
    ANY,
    Completeness,
    Observation,
    ObservedBookmaker,
    ObservedEvent,
)
from odds_service.model.text import as_text, is_text


def with_text_only(observation: Observation, problems: Counter[str]) -> Observation:
    """The observation without the events and bookmakers that are named by what is no text.

    They are counted in `problems` as `bad_event` and `bad_bookmaker`, and are unreadable: what the
    cache has of them stays. Where the listing's own name is none, the whole fetch has failed.
    """
    scope = observation.scope
    if not is_text(observation.reason, *observation.problems):
        told = {as_text(name): times for name, times in observation.problems.items()}
        observation = replace(observation, reason=as_text(observation.reason), problems=told)
    if observation.events and not is_text(scope.listing or ""):
        problems["bad_listing"] += 1
        reason = f"the listing {as_text(scope.listing or '')!r} is not named by text"
        return replace(observation, completeness=Completeness.FAILED, events=(), reason=reason)
    events: list[ObservedEvent] = []
    unreadable: set[str] = set()
    for event in observation.events:
        if not _named_by_text(event):
            problems["bad_event"] += 1
            unreadable.add(event.source_event_id if is_text(event.source_event_id) else ANY)
            continue
        events.append(event)
        if not is_text(*[shown.bookmaker for shown in event.bookmakers]):
            events[-1] = _without_nameless(event, problems)
    if not problems:
        return observation
    return replace(
        observation, events=tuple(events), unreadable=observation.unreadable | unreadable
    )


def _named_by_text(event: ObservedEvent) -> bool:
    shared = event.shared_ids
    return is_text(
        event.source_event_id, event.sport, event.competition, event.home, event.away,
        event.title, *shared, *shared.values(),
    )  # fmt: skip


def _without_nameless(event: ObservedEvent, problems: Counter[str]) -> ObservedEvent:
    kept: list[ObservedBookmaker] = []
    for shown in event.bookmakers:
        if is_text(shown.bookmaker):
            kept.append(shown)
        else:
            problems["bad_bookmaker"] += 1
    return replace(event, bookmakers=tuple(kept), unreadable=event.unreadable | {ANY})
