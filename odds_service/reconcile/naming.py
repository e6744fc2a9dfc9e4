"""Ids of events: an id stays with its event as long as one of its source events does."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from odds_service.model.match import SourceRef
from odds_service.reconcile.grouping import Fixtures, Group

Taken = Callable[[str], bool]  # whether an id belongs to an event outside these groups


def natural_ids(members: Group, fixtures: Fixtures) -> list[str]:
    """Return the ids that a new group could get, the best first: shared ones, then its own."""
    shared = sorted({pair for ref in members for pair in fixtures[ref].ids.items()})
    return [":".join(pair) for pair in (*shared, *sorted(members))]


def name_groups(
    groups: Sequence[Group], current: Mapping[SourceRef, str], fixtures: Fixtures, taken: Taken
) -> list[str]:
    """Return an id for each group.

    When one event becomes several groups, its id stays with the group that has it as a natural id,
    else with the group that has most of its source events. When several events become one group,
    the id that moves the fewest source events stays, then one that sources share, then the first
    in the alphabet.

    Args:
        groups: the groups to name.
        current: source event -> the id that it has, or had when it was last shown.
        fixtures: source event -> the values that it is compared by.
        taken: whether an id belongs to an event outside these groups.
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
    """Return the first free id; where all are taken, the first one with a number added."""
    for wish in wishes:
        if not taken(wish):
            return wish
    number = 2
    while taken(f"{wishes[0]}~{number}"):
        number += 1
    return f"{wishes[0]}~{number}"
