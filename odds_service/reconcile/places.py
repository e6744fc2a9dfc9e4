"""The assignment of source events to events."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from odds_service.model.match import Placed, SourceRef

_NONE: AbstractSet[SourceRef] = frozenset()


class Places:
    """The places of source events, indexed by event too."""

    def __init__(self) -> None:
        self._placed: dict[SourceRef, Placed] = {}
        self._members: dict[str, set[SourceRef]] = {}

    @property
    def placed(self) -> Mapping[SourceRef, Placed]:
        """The places by source event."""
        return self._placed

    def of_event(self, event_id: str) -> AbstractSet[SourceRef]:
        """Return the source events of an event."""
        return self._members.get(event_id, _NONE)

    def put(self, ref: SourceRef, placed: Placed) -> None:
        """Place a source event; an empty event id means no event yet."""
        before = self._placed.get(ref)
        if before is not None and before.event_id != placed.event_id:
            self._leave(ref, before.event_id)
        self._placed[ref] = placed
        if placed.event_id:
            self._members.setdefault(placed.event_id, set()).add(ref)

    def pop(self, ref: SourceRef) -> Placed | None:
        """Remove a source event and return its place, or None if it had none."""
        placed = self._placed.pop(ref, None)
        if placed is not None:
            self._leave(ref, placed.event_id)
        return placed

    def _leave(self, ref: SourceRef, event_id: str) -> None:
        members = self._members.get(event_id)
        if members is not None:
            members.discard(ref)
            if not members:
                del self._members[event_id]
