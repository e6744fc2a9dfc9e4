"""Merges and splits of events: log, cache, database and a client's map agree on them."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from odds_service.bridge import open_bridge
from odds_service.cache import OddsCache
from odds_service.client import OddsMap
from odds_service.clock import DrivenClock
from odds_service.feed import ChangeFeed
from odds_service.model.change import Change, Commit, EventChange, MarketChange
from odds_service.model.event import EventStatus
from odds_service.model.market import MarketKey
from odds_service.model.match import SourceRef
from odds_service.model.observation import Completeness, Observation, ObservedEvent, Scope
from odds_service.model.snapshot import EventOdds, told_statuses
from odds_service.model.source import SourceState
from odds_service.pipeline.channels import WriteQueue
from odds_service.pipeline.detect import Detector
from odds_service.reconcile import Reconciler
from odds_service.storage import open_store
from odds_service.store import WriteGroup
from odds_service.wire.encode import change_wire, event_message
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.examples import examples
from tests.support.observations import NOON, cached, fold, observed_event

H2H, TOTALS = MarketKey("h2h"), MarketKey("totals", "2.5")
SOURCES = ("a", "b", "c")


class Rig:
    """A detector and a reconciler over a cache with several sources."""

    def __init__(self, events: Iterable[EventOdds] = (), revision: int = 0) -> None:
        self.feed = ChangeFeed("e", revision)
        states = [SourceState(source=source, interval_s=1e9) for source in SOURCES]
        self.cache = OddsCache(self.feed, events=events, sources=states)
        self.queue = WriteQueue(10**6)
        self.reconciler = Reconciler(self.cache.events.values())
        self.at = NOON
        self.first = revision
        self.detector = Detector(
            self.cache, self.feed, self.queue, self.reconciler, DrivenClock(lambda: self.at)
        )

    def see(self, source: str, *events: ObservedEvent, whole: bool = True) -> list[Change]:
        """Show all events of one source a minute later; only some of them unless `whole`."""
        self.at += timedelta(minutes=1)
        kind = Completeness.COMPLETE if whole else Completeness.PARTIAL
        return self.detector.apply(
            Observation(
                source=source,
                scope=Scope(listing="all"),
                completeness=kind,
                started_at=self.at,
                observed_at=self.at,
                events=events,
            )
        ).changes

    def batches(self) -> list[Commit]:
        return list(self.feed.read_after(self.first, 10**6) or [])

    def log(self) -> list[Change]:
        return [change for batch in self.batches() for change in batch.changes]

    def groups(self) -> set[frozenset[SourceRef]]:
        return {
            frozenset((carried.source, carried.source_event_id) for carried in e.sources.values())
            for e in self.cache.events.values()
        }

    def check(self) -> None:
        """Assert that cache, log and a client's map agree, and events hold what sources show."""
        if not self.first:
            assert fold(self.log()) == cached(self.cache.events)
        for event_id, entry in self.cache.events.items():
            assert entry.event.id == event_id
            assert entry.event.source_ids == {
                name: carried.source_event_id for name, carried in entry.sources.items()
            }
            assert entry.event.told == told_statuses(entry.sources)
            started = EventStatus.IN_PLAY in entry.event.told.values()  # none has by the clock
            assert entry.event.status is (EventStatus.IN_PLAY if started else EventStatus.SCHEDULED)
            assert {source for source, _ in entry.bookmakers} <= entry.sources.keys()
            for key, odds in entry.bookmakers.items():
                assert (odds.event_id, odds.key) == (event_id, key)
                for market in odds.markets.values():
                    assert market.outcomes[0].name == "Home"
                    # Each bookmaker's name tells whose odds they are.
                    assert odds.bookmaker == f"of {entry.sources[odds.source].source_event_id}"
        client = followed(self.log())
        assert {id_: entry.event for id_, entry in client.events.items()} == {
            id_: entry.event for id_, entry in self.cache.events.items()
        }
        assert cached_by(client) == cached(self.cache.events)


def followed(log: Sequence[Change]) -> OddsMap:
    """Return the map of a client that has watched from the beginning."""
    client = OddsMap()
    client.take(pb.WatchChangesResponse(opened=pb.Opened(intent=pb.INTENT_IMAGE)))
    client.take(pb.WatchChangesResponse(image_begin=pb.ImageBegin()))
    client.take(pb.WatchChangesResponse(image_end=pb.ImageEnd()))
    changes = pb.Changes.FromString(b"".join(change_wire(change) for change in log))
    changes.cursor.revision = log[-1].revision if log else 0
    client.take(pb.WatchChangesResponse(changes=changes))
    return client


def cached_by(client: OddsMap) -> object:
    return {
        (event_id, source, bookmaker, key): (
            market.status,
            tuple((o.key, o.price, o.active) for o in market.outcomes),
        )
        for event_id, entry in client.events.items()
        for (source, bookmaker), odds in entry.bookmakers.items()
        for key, market in odds.markets.items()
    }


def showing(
    event_id: str, home: str, away: str, *, price: float = 2.0, minutes: float = 0, **ids: str
) -> ObservedEvent:
    event = observed_event(
        event_id,
        {f"of {event_id}": {H2H: {"home": price}, TOTALS: {"home": None}}},
        home=home,
        away=away,
        start_time=NOON + timedelta(hours=6, minutes=minutes),
    )
    return replace(event, shared_ids=ids)


def told(changes: Iterable[Change]) -> list[tuple[str, str, str, str]]:
    return [
        (change.kind.name, change.reason, change.event_id, change.source)
        for change in changes
        if isinstance(change, EventChange | MarketChange)
    ]


def test_two_events_that_prove_to_be_one() -> None:
    rig = Rig()
    rig.see("a", showing("1", "Reds", "Blues"))
    rig.see("b", showing("9", "Reds of Town", "Azul", sr="7"))
    assert sorted(rig.cache.events) == ["a:1", "sr:7"]
    before = rig.cache.events["a:1"].bookmakers["a", "of 1"]
    changes = rig.see("a", showing("1", "Reds", "Blues", sr="7"))
    assert told(changes) == [
        ("EVENT_ENDED", "merged", "a:1", "a"),
        ("EVENT_UPDATED", "merged", "sr:7", "a"),
        ("ADDED", "merged", "sr:7", "a"),
        ("ADDED", "merged", "sr:7", "a"),
    ]
    ended = changes[0]
    assert isinstance(ended, EventChange)
    assert ended.after.merged_into == "sr:7"
    assert event_message(ended.after).merged_into == "sr:7"
    assert ended.ended == (replace(before, confirmed_boot_s=0.0),)
    (entry,) = rig.cache.events.values()
    assert {carried.match.reason for carried in entry.sources.values()} == {"shared id sr 7"}
    moved = entry.bookmakers["a", "of 1"]
    # Seen again by the very observation; the odds are as old as they were.
    assert moved.confirmed_at == rig.at
    assert {m.changed_at for m in moved.markets.values()} == {
        m.changed_at for m in before.markets.values()
    }
    rig.check()
    assert rig.see("a", showing("1", "Reds", "Blues", sr="7")) == []


def test_an_event_that_is_merged_takes_what_was_told_and_lost_along() -> None:
    rig = Rig()
    home = showing("1", "Reds", "Blues")
    prices = ((2.0, 3.0, 4.0), (1.6, None, 2.4))
    for home_draw_away in prices:
        markets = {
            H2H: {
                key: price
                for key, price in zip(("home", "draw", "away"), home_draw_away, strict=True)
                if price is not None
            }
        }
        shown = replace(
            observed_event("1", {"of 1": markets}, home="Reds", away="Blues"),
            sport="icehockey",
            start_time=home.start_time,
            status=EventStatus.IN_PLAY,
        )
        rig.see("a", shown)
    rig.see("b", replace(showing("9", "Reds of Town", "Azul", sr="7"), sport="icehockey"))
    rig.see("a", replace(shown, shared_ids={"sr": "7"}))
    (entry,) = rig.cache.events.values()
    assert entry.event.id == "sr:7"
    assert entry.event.told == {"a": EventStatus.IN_PLAY}
    assert entry.event.draws_lost == (("a", "of 1", "h2h"),)
    rig.check()


def test_odds_that_nobody_looked_at_keep_their_times() -> None:
    rig = Rig()
    rig.see("b", showing("1", "Reds", "Blues"))
    before = rig.cache.events["b:1"].bookmakers["b", "of 1"]
    rig.see("a", showing("2", "Reds", "Blues"), showing("3", "Reds", "Blues"))
    assert len(rig.cache.events) == 3  # two candidates: no guess
    changes = rig.see("a", showing("2", "Greens", "Whites"), showing("3", "Reds", "Blues"))
    assert ("ADDED", "merged", "a:3", "b") in told(changes)
    moved = rig.cache.events["a:3"].bookmakers["b", "of 1"]
    assert (moved.observed_at, moved.confirmed_at) == (before.observed_at, before.confirmed_at)
    rig.check()


def test_a_wrong_match_is_split_and_each_price_is_where_it_belongs() -> None:
    rig = Rig()
    rig.see("a", showing("1", "Reds", "Blues"))
    rig.see("b", showing("9", "Reds", "Blues"))
    assert rig.groups() == {frozenset({("a", "1"), ("b", "9")})}
    assert rig.see("a", showing("1", "Reds", "Blues", sr="1")) != []
    changes = rig.see("b", showing("9", "Reds", "Blues", sr="2"))
    assert told(changes) == [
        ("EVENT_UPDATED", "split", "a:1", "b"),
        ("REMOVED", "split", "a:1", "b"),
        ("REMOVED", "split", "a:1", "b"),
        ("EVENT_ADDED", "split", "sr:2", "b"),
        ("ADDED", "split", "sr:2", "b"),
        ("ADDED", "split", "sr:2", "b"),
    ]
    assert {e.event.id: e.sources for e in rig.cache.events.values()}["a:1"]["a"].match.score == 0
    rig.check()


def test_the_event_keeps_its_id_whatever_is_learnt_of_it() -> None:
    rig = Rig()
    rig.see("a", showing("1", "Reds", "Blues"))
    rig.see("a", showing("1", "Reds", "Blues", sr="7"))
    rig.see("b", showing("9", "Rojos", "Azules", sr="7"))
    rig.see("a", showing("1", "Reds", "Blues FC", minutes=5, sr="7"))
    assert list(rig.cache.events) == ["a:1"]
    for _ in range(2):
        rig.see("a")
    assert list(rig.cache.events) == ["a:1"]  # also when its first source leaves
    for _ in range(2):
        rig.see("b")
    assert not rig.cache.events
    rig.see("b", showing("9", "Rojos", "Azules", sr="7"))
    assert list(rig.cache.events) == ["a:1"]  # and when it comes back
    rig.check()


def test_a_postponed_event_stays_one_while_the_sources_disagree() -> None:
    rig = Rig()
    rig.see("a", showing("1", "Reds", "Blues"))
    rig.see("b", showing("9", "Reds FC", "Blues"))
    rig.see("b", showing("9", "Reds FC", "Blues", minutes=60 * 24 * 3))
    assert len(rig.cache.events) == 1
    again = Rig(rig.cache.events.values(), rig.feed.head_revision)
    again.at = rig.at
    again.see("a", showing("1", "Reds", "Blues"))
    again.see("b", showing("9", "Reds FC", "Blues", minutes=60 * 24 * 3))
    assert told(again.log()) == []
    rig.check()


def test_a_source_that_lists_an_event_anew_under_another_id() -> None:
    rig = Rig()
    rig.see("a", showing("1", "Reds", "Blues"))
    rig.see("b", showing("9", "Reds", "Blues"))
    for _ in range(2):
        rig.see("b", showing("8", "Reds", "Blues"))
        rig.check()
    rig.see("c")
    assert rig.groups() == {frozenset({("a", "1"), ("b", "8")})}
    rig.check()


NAMES = st.sampled_from(["Reds", "Reds FC", "Reds W", "Blues", "Blues FC", "Greens"])
EVENTS = st.builds(
    lambda number, home, away, ids, price, status: replace(
        showing(str(number), home, away, price=price, **ids), status=status
    ),
    st.integers(1, 4),
    NAMES,
    NAMES,
    st.sampled_from([{}, {}, {"sr": "1"}, {"sr": "2"}]),
    st.sampled_from([1.5, 2.0]),
    st.sampled_from([None, EventStatus.SCHEDULED, EventStatus.IN_PLAY]),
)
SHOWS = st.lists(
    st.tuples(
        st.sampled_from(SOURCES),
        st.lists(EVENTS, max_size=3, unique_by=lambda event: event.source_event_id),
    ),
    min_size=1,
    max_size=8,
)


def own(source: str, events: Iterable[ObservedEvent]) -> list[ObservedEvent]:
    """Return the events with ids and bookmakers that only this source has."""
    return [
        replace(
            event,
            source_event_id=source + event.source_event_id,
            bookmakers=tuple(
                replace(shown, bookmaker=f"of {source}{event.source_event_id}")
                for shown in event.bookmakers
            ),
        )
        for event in events
    ]


@settings(max_examples=examples(40), deadline=None)
@given(SHOWS)
def test_whatever_is_shown_log_cache_and_client_agree(
    shows: list[tuple[str, list[ObservedEvent]]],
) -> None:
    rig = Rig()
    for source, events in shows:
        rig.see(source, *own(source, events))
        rig.check()
    last = {source: own(source, events) for source, events in shows}
    for _ in range(3):  # what was shown last is all that there is, and settled
        for source, events in last.items():
            rig.see(source, *events)
            rig.check()
    for source, events in last.items():
        assert told(rig.see(source, *events)) == []
    again = Rig(rig.cache.events.values(), rig.feed.head_revision)
    again.at = rig.at
    for source, events in last.items():
        again.see(source, *events)
    assert told(again.log()) == []
    assert again.groups() == rig.groups()


async def test_the_database_holds_it_and_a_restart_with_the_same_odds_writes_no_row(
    tmp_path: Path,
) -> None:
    rig = Rig()
    rig.see("a", showing("1", "Reds", "Blues"), showing("2", "Greens", "Whites", sr="8"))
    rig.see("b", showing("9", "Reds of Town", "Azul", sr="7"), showing("8", "Greens", "Whites"))
    rig.see("c", showing("5", "Greens FC", "Whites"))
    rig.see("a", showing("1", "Reds", "Blues", sr="7"), showing("2", "Greens", "Whites", sr="8"))
    last = {
        "a": [showing("1", "Reds", "Blues", sr="7"), showing("2", "Greens", "Whites", sr="8")],
        "b": [
            showing("9", "Reds of Town", "Azul", sr="7"),
            showing("8", "Greens", "Whites", sr="9"),
        ],
        "c": [showing("5", "Greens FC", "Whites")],
    }
    for source, events in last.items():
        rig.see(source, *events)
    reasons = {change.reason for change in rig.log()}
    assert {"merged", "split"} <= reasons
    url = f"sqlite:///{tmp_path / 'odds.db'}"
    async with open_bridge():
        async with open_store(url) as store:
            await store.begin()
            for batch in rig.batches():
                await store.write(WriteGroup([batch]))
            verified = await store.verify()
            assert (verified.faulty, verified.faults) == (0, [])
            assert await store.history(0, 10**9, 10**6) == rig.log()
            rig.check()  # last: it encodes the changes, which then differ in their memo
            merged = next(c for c in rig.log() if c.reason == "merged")
            then = await store.odds_at(merged.revision - 1)
            assert sorted(entry.event.id for entry in then.events) == ["a:1", "sr:7", "sr:8"]
        async with open_store(url) as store:
            stored = await store.begin()
    assert cached({e.event.id: e for e in stored.events}) == cached(rig.cache.events)
    again = Rig(stored.events, stored.revision)
    again.at = rig.at
    for source, events in last.items():
        again.see(source, *events)
    assert told(again.log()) == []
    assert again.groups() == rig.groups()
    for event_id, entry in again.cache.events.items():
        for name, carried in rig.cache.events[event_id].sources.items():
            assert (carried.shown, carried.match) == (
                entry.sources[name].shown,
                entry.sources[name].match,
            )
