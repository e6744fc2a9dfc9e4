"""The fold of commits, compared with the cache of the detector that made them."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from odds_service.cache import OddsCache
from odds_service.clock import DrivenClock
from odds_service.feed import ChangeFeed
from odds_service.model.change import (
    ChangeKind,
    Commit,
    EventChange,
    MarketChange,
    SourceChange,
)
from odds_service.model.event import EventStatus
from odds_service.model.fold import EventFold, OddsState, backwards, forwards
from odds_service.model.market import MarketKey
from odds_service.model.observation import Completeness, Observation, ObservedEvent, Scope
from odds_service.model.snapshot import EventOdds
from odds_service.model.source import SourceState
from odds_service.pipeline.channels import WriteQueue
from odds_service.pipeline.detect import Detector
from odds_service.reconcile import Reconciler
from tests.support.observations import NOON, Prices, observed_event

SOURCES: Final = ("a", "b")
KEYS: Final = (MarketKey("h2h"), MarketKey("totals", "2.5"), MarketKey("totals", "3"))


class Rig:
    """A detector with two sources, which keeps each commit with the states before and after it."""

    def __init__(self) -> None:
        self.at = NOON
        self.feed = ChangeFeed("e", 0)
        states = [SourceState(source=source, interval_s=60.0) for source in SOURCES]
        self.cache = OddsCache(self.feed, sources=states)
        queue, clock = WriteQueue(10**6), DrivenClock(lambda: self.at)
        self.detector = Detector(self.cache, self.feed, queue, Reconciler(), clock)
        self.steps: list[tuple[OddsState, Commit, OddsState]] = []

    def state(self) -> OddsState:
        return OddsState(dict(self.cache.events), dict(self.cache.sources))

    def look(self, source: str, events: Sequence[ObservedEvent], *, whole: bool) -> None:
        """Let a source show events two minutes after the last look."""
        self.at += timedelta(minutes=2)
        before, head = self.state(), self.feed.head_revision
        self.detector.apply(
            Observation(
                source=source,
                scope=Scope(listing="all"),
                completeness=Completeness.COMPLETE if whole else Completeness.PARTIAL,
                started_at=self.at,
                observed_at=self.at,
                sequence=round(self.at.timestamp()),
                events=tuple(events),
            )
        )
        for commit in self.feed.read_after(head, 10) or []:
            self.steps.append((before, commit, self.state()))
        before = self.state()  # times and reasons move on without a commit
        self.detector.judge_sources()
        for commit in self.feed.read_after(self.feed.head_revision - 1, 10) or []:
            if self.steps and commit is not self.steps[-1][1]:
                self.steps.append((before, commit, self.state()))


def carried_by_changes(state: OddsState) -> object:
    """Return the part of a state that commits carry: no times, and not how sources carry events."""
    return (
        {
            event_id: (
                entry.event,
                set(entry.sources),
                {
                    key: (odds.event_id, odds.snapshot_id, odds.markets)
                    for key, odds in entry.bookmakers.items()
                },
            )
            for event_id, entry in state.events.items()
        },
        {
            name: announced.announced
            for name, announced in state.sources.items()
            if announced.announced is not None
        },
    )


def sources_of(events: Mapping[str, EventOdds]) -> object:
    """Return how sources carry events, without the fields that only one run knows."""
    return {
        event_id: {
            name: replace(carried, applied=None, absences=0, seen_boot_s=None)
            for name, carried in entry.sources.items()
        }
        for event_id, entry in events.items()
    }


prices: st.SearchStrategy[Prices] = st.fixed_dictionaries(
    {"home": st.sampled_from([1.5, 2.0, None]), "away": st.sampled_from([2.5, None])}
)
offers = st.dictionaries(
    st.sampled_from(["x", "y"]), st.dictionaries(st.sampled_from(KEYS), prices), max_size=2
)
# A shared id joins events of both sources, and different ones separate them again.
shown_events = st.dictionaries(
    st.sampled_from(["1", "2"]),
    st.tuples(
        offers,
        st.sampled_from(["Reds", "Greens"]),
        st.sampled_from(["", "7", "8"]),
        st.sampled_from([None, EventStatus.IN_PLAY]),
        st.sampled_from([0, 30]),
    ),
    max_size=2,
)
looks = st.lists(
    st.tuples(st.sampled_from(SOURCES), shown_events, st.booleans()), min_size=1, max_size=12
)


def event_of(source: str, number: str, told: tuple[Any, ...]) -> ObservedEvent:
    offer, home, shared, status, minutes = told
    event = observed_event(
        f"{source}{number}",
        offer,
        home=f"{home} {number}",
        away=f"Blues {number}",
        start_time=NOON + timedelta(hours=6, minutes=minutes),
    )
    return replace(event, status=status, shared_ids={"sr": shared} if shared else {})


def run_of(script: list[tuple[str, dict[str, Any], bool]]) -> Rig:
    rig = Rig()
    for source, shown, whole in script:
        rig.look(source, [event_of(source, n, told) for n, told in shown.items()], whole=whole)
    return rig


@settings(max_examples=60, deadline=None)
@given(looks)
def test_forwards_from_nothing_gives_the_cache_after_each_commit(
    script: list[tuple[str, dict[str, Any], bool]],
) -> None:
    state = OddsState()
    for _, commit, after in run_of(script).steps:
        state = forwards(state, commit)
        assert carried_by_changes(state) == carried_by_changes(after)
        assert sources_of(state.events) == sources_of(after.events)
        for change in commit.changes:
            if isinstance(change, SourceChange):
                assert state.sources[change.source] == after.sources[change.source]
            elif isinstance(change, MarketChange) and change.event_id in after.events:
                key = change.source, change.bookmaker
                odds = after.events[change.event_id].bookmakers.get(key)
                if odds is not None:
                    folded = state.events[change.event_id].bookmakers[key]
                    assert folded.snapshot() in commit.snapshots
                    assert (
                        folded.confirmed_at <= odds.confirmed_at
                    )  # later where the look that moved it confirmed it too


@settings(max_examples=60, deadline=None)
@given(looks)
def test_backwards_from_the_cache_gives_each_earlier_state(
    script: list[tuple[str, dict[str, Any], bool]],
) -> None:
    steps = run_of(script).steps
    if not steps:
        return
    state = steps[-1][2]
    for before, commit, after in reversed(steps):
        assert carried_by_changes(state) == carried_by_changes(after)
        state = backwards(state, commit)
        for change in commit.changes:
            if isinstance(change, SourceChange):
                assert state.sources[change.source] == before.sources[change.source]
        state = replace(state, events=with_sources_of(state.events, before.events))
    assert carried_by_changes(state) == carried_by_changes(OddsState())


def assert_seen_no_later(state: OddsState, before: OddsState, commit: Commit) -> None:
    """Assert that a fold backwards never dates a bookmaker's confirmation later than it was.

    Ended events are exempt: their ends carry confirmations that a fold forwards has not seen.
    """
    ends = (each for each in commit.changes if isinstance(each, EventChange))
    ended = {end.event_id for end in ends if end.kind is ChangeKind.EVENT_ENDED}
    for event_id in state.events.keys() - ended:
        for key, odds in state.events[event_id].bookmakers.items():
            known = before.events[event_id].bookmakers[key]
            assert odds.confirmed_at <= known.confirmed_at


def with_sources_of(
    events: Mapping[str, EventOdds], before: Mapping[str, EventOdds]
) -> dict[str, EventOdds]:
    """Put back the sources that moved to another event, which no change carries."""
    assert events.keys() == before.keys()
    for event_id, entry in events.items():
        assert entry.sources.keys() <= before[event_id].sources.keys()
        assert entry.event.source_ids.keys() == before[event_id].sources.keys()
    return {
        event_id: replace(entry, sources=before[event_id].sources)
        for event_id, entry in events.items()
    }


@settings(max_examples=40, deadline=None)
@given(looks)
def test_backwards_undoes_forwards(script: list[tuple[str, dict[str, Any], bool]]) -> None:
    state = OddsState()
    for _, commit, _ in run_of(script).steps:
        after = forwards(state, commit)
        again = backwards(after, commit)
        assert_seen_no_later(again, state, commit)
        again = replace(again, events=with_sources_of(again.events, state.events))
        assert carried_by_changes(again) == carried_by_changes(state)
        assert again.sources.keys() - state.sources.keys() == {
            change.source
            for change in commit.changes
            if isinstance(change, SourceChange) and change.source not in state.sources
        }
        state = after


def h2h(home: float) -> dict[str, dict[MarketKey, Prices]]:
    return {"x": {KEYS[0]: {"home": home, "away": 2.5}}}


def test_neither_direction_touches_the_state_it_is_given() -> None:
    rig = Rig()
    rig.look("a", [observed_event("a1", h2h(2.0))], whole=True)
    rig.look("a", [observed_event("a1", h2h(2.1))], whole=True)
    (_, first, after_first), (_, second, _) = (
        step for step in rig.steps if isinstance(step[1].changes[-1], MarketChange | SourceChange)
    )
    kept = dict(after_first.events)
    assert forwards(after_first, second).events != kept
    assert backwards(after_first, first).events == {}
    assert after_first.events == kept


def test_a_source_that_left_is_restored_with_what_it_showed() -> None:
    rig = Rig()
    shared = {"sr": "7"}
    for source in SOURCES:
        event = replace(observed_event(f"{source}1", h2h(2.0)), shared_ids=shared)
        rig.look(source, [event], whole=True)
    for _ in range(2):
        rig.look("b", [], whole=True)
    before, commit, after = next(
        step for step in rig.steps
        if any(getattr(change, "reason", "") == "source_removed" for change in step[1].changes)
    )  # fmt: skip
    (event_id,) = after.events
    assert after.events[event_id].sources.keys() == {"a"}
    restored = backwards(after, commit).events[event_id].sources
    assert sources_of({event_id: replace(before.events[event_id], sources=restored)}) == sources_of(
        before.events
    )


def test_an_event_without_description_takes_changes_of_markets() -> None:
    """After retention, a history begins in the middle of an event's life."""
    rig = Rig()
    rig.look("a", [observed_event("a1", h2h(2.0))], whole=True)
    fold = EventFold()
    for change in rig.steps[0][1].changes:
        if isinstance(change, MarketChange):
            fold.apply(change)
    assert fold.entry() is None
    assert fold.bookmakers["a", "x"].markets.keys() == {KEYS[0]}


def test_the_first_changes_after_a_revision_are_enough_to_get_back_to_it() -> None:
    rig = Rig()
    for home in (2.0, 2.1, 2.2):
        rig.look("a", [observed_event("a1", h2h(home))], whole=True)
    for _ in range(2):
        rig.look("a", [], whole=True)
    rig.look("a", [observed_event("a1", h2h(3.0))], whole=True)
    changes = [
        change for _, commit, _ in rig.steps for change in commit.changes
        if isinstance(change, MarketChange | EventChange)
    ]  # fmt: skip
    second = next(
        change for change in changes
        if isinstance(change, MarketChange) and change.before is not None
    )  # fmt: skip
    end = next(change for change in changes if change.kind is ChangeKind.EVENT_ENDED)
    (entry,) = rig.cache.events.values()
    fold = EventFold(entry)
    fold.undo(end)
    fold.undo(second)
    assert fold.entry() is not None
    assert fold.bookmakers["a", "x"].markets == {KEYS[0]: second.before}
