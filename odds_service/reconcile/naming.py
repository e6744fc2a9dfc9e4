"""Ids of events: an event keeps its id as long as it keeps one of its source events."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from odds_service.model.match import SourceRef
from odds_service.reconcile.grouping import Fixtures, Group

Taken = Callable[[str], bool]  # returns True for the ids of events outside the groups


def natural_ids(members: Group, fixtures: Fixtures) -> list[str]:
    """Return the candidate ids for a new group: shared ids first, then the sources' own."""
    shared = sorted({pair for ref in members for pair in fixtures[ref].ids.items()})
    return [":".join(pair) for pair in (*shared, *sorted(members))]


def name_groups(
    groups: Sequence[Group], current: Mapping[SourceRef, str], fixtures: Fixtures, taken: Taken
) -> list[str]:
    """Return an id for each group.

    When one event splits into several groups, its id stays with the group that has it as a natural
    id, else with the group that has most of its source events. When several events merge into one
    group, the id that moves the fewest source events wins, then one that sources share, then the
    alphabetically first.

    Args:
        groups: the groups to name.
        current: source event -> the id of its event; after a departure, of its former event.
        fixtures: source event -> its fixture.
        taken: returns True for the ids of events outside these groups.
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
    """Return the first free id; if all are taken, the first one with a number appended."""
    for wish in wishes:
        if not taken(wish):
            return wish
    number = 2
    while taken(f"{wishes[0]}~{number}"):
        number += 1
    return f"{wishes[0]}~{number}"
