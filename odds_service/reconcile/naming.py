"""Ids of events: given once, kept as long as one of the source events that they stood for."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from odds_service.model.match import SourceRef
from odds_service.reconcile.grouping import Fixtures, Group

Taken = Callable[[str], bool]  # whether an id stands for an event that is none of those at hand


def natural_ids(members: Group, fixtures: Fixtures) -> list[str]:
    """The ids that a group would get on its own, the best first: shared ones, then its own."""
    shared = sorted({pair for ref in members for pair in fixtures[ref].ids.items()})
    return [":".join(pair) for pair in (*shared, *sorted(members))]


def name_groups(
    groups: Sequence[Group], current: Mapping[SourceRef, str], fixtures: Fixtures, taken: Taken
) -> list[str]:
    """An id for each group.

    current: the id that each source event has, or had when it was last shown. Of groups that come
    out of one event, the one whose natural id it is keeps the id, else the one with most of its
    source events. Of several ids that come together, the one that moves the fewest stays, then
    one that is shared by the sources, then the first in the alphabet.
    """
    claims = []
    natural = [natural_ids(members, fixtures) for members in groups]
    for place, members in enumerate(groups):
        had = Counter(current[ref] for ref in members if ref in current)
        shared = {":".join(pair) for ref in members for pair in fixtures[ref].ids.items()}
        for event_id, count in had.items():
            own = event_id in natural[place]
            claims.append((not own, -count, event_id not in shared, event_id, place))
    given: dict[int, str] = {}
    used: set[str] = set()
    for *_, event_id, place in sorted(claims):
        if place not in given and event_id not in used and not taken(event_id):
            given[place] = event_id
            used.add(event_id)
    used |= {event_id for *_, event_id, _ in claims}
    for place, wishes in enumerate(natural):
        if place not in given:
            given[place] = _free(wishes, lambda event_id: event_id in used or taken(event_id))
            used.add(given[place])
    return [given[place] for place in range(len(groups))]


def _free(wishes: Sequence[str], taken: Taken) -> str:
    """The first that is free; when none is (all stand for others), the first with a number."""
    for wish in wishes:
        if not taken(wish):
            return wish
    number = 2
    while taken(f"{wishes[0]}~{number}"):
        number += 1
    return f"{wishes[0]}~{number}"
