"""Bounds on the churn of one source: its new events an hour, and its changes a second.

A source whose ids differ at each poll, or whose prices flip to and fro, would fill memory and
tables without end. Events that are known stay served and compared; the bounds concern what is new.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from odds_service.model.change import Change, ChangeKind, SourceChange
from odds_service.model.observation import Completeness, Observation
from odds_service.model.source import Overload, SourceReason

HOUR_S: Final = 3_600.0
BURST_S: Final = 600.0  # of changes at the highest pace: a busy minute is not churn
LEFT_OUT: Final = 5  # ids remembered while they are left out, in multiples of max_events
_SLOT_S: Final = 60.0  # resolution of the count of the last hour


class ChurnLimits(Struct, frozen=True, kw_only=True):
    """The bounds of one source; see the settings' section `limits`.

    Attributes:
        max_events: the most new events at once, as at a first start.
        max_new_events_per_h: the most new events an hour after that.
        max_changes_per_s: the most changes a second in known events, on average over BURST_S.
    """

    max_events: int = 20_000
    max_new_events_per_h: float = 2_000.0
    max_changes_per_s: float = 2_000.0


class Allowance:
    """A token bucket, full at first. It may be overdrawn; time repays the debt."""

    def __init__(self, per_s: float, capacity: float) -> None:
        self.capacity = capacity
        self._per_s = per_s
        self._left = capacity
        self._at_s: float | None = None

    def left(self, boot_s: float) -> float:
        """Return what is left at a boot time, in seconds."""
        if self._at_s is not None:
            refilled = self._left + max(0.0, boot_s - self._at_s) * self._per_s
            self._left = min(self.capacity, refilled)
        self._at_s = boot_s
        return self._left

    def take(self, amount: float, boot_s: float) -> None:
        self._left = self.left(boot_s) - amount


class Churn:
    """The new events and the changes of one source.

    When a source shows more new events than its allowance covers, the rest is left out. From then
    on it takes no new event until fewer than an hour's bound have been offered for the first time
    within an hour, and then those that wait, at the pace of the bound. When it makes more changes
    than its allowance covers, its answers are left out until time has repaid the debt, and it
    counts as overloaded until half of the allowance is there again.
    """

    def __init__(self, limits: ChurnLimits) -> None:
        self._limits = limits
        self._events = Allowance(limits.max_new_events_per_h / HOUR_S, limits.max_events)
        self._changes = Allowance(limits.max_changes_per_s, limits.max_changes_per_s * BURST_S)
        self._left_out: dict[str, float] = {}  # id -> boot time of its last offer, oldest first
        self._offered: deque[tuple[float, int]] = deque()  # slot -> ids offered for the first time
        self._too_many_changes = False

    def sift(
        self, observation: Observation, known: Callable[[str], bool], boot_s: float
    ) -> tuple[Observation, int, int]:
        """Return an observation without the new events that exceed the bound.

        Args:
            observation: a fetch that has not failed.
            known: returns whether the source has an event of that id already.
            boot_s: the time by the boot clock, in seconds.

        Returns:
            The observation, and the numbers of new events that it has and that were left out.
        """
        ids = (event.source_event_id for event in observation.events)
        fresh = [each for each in dict.fromkeys(ids) if not known(each)]
        if not fresh:
            self._expire(boot_s)
            return observation, 0, 0
        first = sum(each not in self._left_out for each in fresh)
        overloaded = bool(self._left_out)
        self._count(first, boot_s)
        self._expire(boot_s)
        room = max(0, int(self._events.left(boot_s)))
        if overloaded and self._offers() > self._limits.max_new_events_per_h:
            room = 0
        taken, left_out = fresh[:room], fresh[room:]
        self._events.take(len(taken), boot_s)
        for each in taken:
            self._left_out.pop(each, None)
        for each in left_out:
            self._left_out.pop(each, None)
            self._left_out[each] = boot_s
        while len(self._left_out) > LEFT_OUT * self._limits.max_events:
            del self._left_out[next(iter(self._left_out))]
        if left_out:
            going = frozenset(left_out)
            kept = tuple(each for each in observation.events if each.source_event_id not in going)
            observation = replace(observation, events=kept)
        return observation, len(taken), len(left_out)

    def holds_off(self, boot_s: float) -> bool:
        """Return whether answers must be left out, since the changes are overdrawn."""
        return self._changes.left(boot_s) < 0

    def add_changes(self, changes: Iterable[Change], boot_s: float) -> int:
        """Count the changes of a commit, except those of events that it adds; return the number."""
        listed = [each for each in changes if not isinstance(each, SourceChange)]
        added = {each.event_id for each in listed if each.kind is ChangeKind.EVENT_ADDED}
        count = sum(each.event_id not in added for each in listed)
        self._changes.take(count, boot_s)
        return count

    def overload(self, boot_s: float) -> Overload | None:
        """Return the bound that the source exceeds, with its numbers; None if it exceeds none."""
        self._expire(boot_s)
        left, capacity = self._changes.left(boot_s), self._changes.capacity
        self._too_many_changes = left < (capacity / 2 if self._too_many_changes else 0)
        if self._left_out:
            return Overload(
                SourceReason.TOO_MANY_NEW_EVENTS,
                f"{self._offers()} events were new within an hour, and {len(self._left_out)} "
                f"are left out (limits.max_new_events_per_h: "
                f"{self._limits.max_new_events_per_h:g})",
            )
        if self._too_many_changes:
            return Overload(
                SourceReason.TOO_MANY_CHANGES,
                f"{capacity - left:.0f} changes too many for its known events within "
                f"{BURST_S:.0f} s (limits.max_changes_per_s: {self._limits.max_changes_per_s:g})",
            )
        return None

    def _count(self, first: int, boot_s: float) -> None:
        slot = boot_s // _SLOT_S
        if self._offered and self._offered[-1][0] == slot:
            first += self._offered.pop()[1]
        self._offered.append((slot, first))

    def _offers(self) -> int:
        return sum(count for _, count in self._offered)

    def _expire(self, boot_s: float) -> None:
        """Forget what was offered more than an hour ago."""
        while self._offered and (self._offered[0][0] + 1) * _SLOT_S <= boot_s - HOUR_S:
            self._offered.popleft()
        while self._left_out:
            oldest = next(iter(self._left_out))
            if self._left_out[oldest] > boot_s - HOUR_S:
                break
            del self._left_out[oldest]


def held_off(observation: Observation) -> Observation:
    """Return the observation of an answer that was left out: it shows nothing, as if it failed."""
    return replace(
        observation,
        events=(),
        completeness=Completeness.FAILED,
        reason="left out, since the source makes too many changes",
        problems={SourceReason.TOO_MANY_CHANGES: 1},
    )
