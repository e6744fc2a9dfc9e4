"""Numbering: intents in, consecutive revisions out, each applied to what the ones before left."""

from datetime import timedelta

from msgspec.structs import replace

from odds_service.detection.comparison import compare_observation
from odds_service.detection.departure import purge
from odds_service.detection.intents import (
    EventDifference,
    EventIntent,
    Look,
    OddsArrive,
    OddsConfirmed,
    OddsDiffer,
)
from odds_service.detection.numbering import Numbered, number
from odds_service.detection.source_changes import SourceDifference
from odds_service.model.change import ChangeKind, EventChange, MarketChange, SourceChange
from odds_service.model.difference import Difference
from odds_service.model.market import MarketKey, Outcome, observed_market
from odds_service.model.snapshot import EventOdds, EventSource
from odds_service.model.source import SourceState, SourceStatus
from tests.support.observations import NOON, Book, by_own_ids, observe, observed_event

H2H, TOTALS = MarketKey("h2h"), MarketKey("totals", "2.5")
LATER = NOON + timedelta(minutes=1)
LOOK = Look("toa", LATER, 60.0)
UP = SourceState(source="toa", interval_s=60.0, status=SourceStatus.UP)
CAME_UP = SourceDifference(ChangeKind.SOURCE_UP, UP, replace(UP, announced=SourceStatus.UP))


def entry_of(event_id: str) -> EventOdds:
    """Return an event with two markets of one bookmaker, as after its first look."""
    book = Book()
    prices = {H2H: {"home": 2.0, "away": 1.8}, TOTALS: {"over": 1.9}}
    book.see(observe([observed_event(event_id, {"b": prices})]))
    return book.events[event_id]


def arrival(entry: EventOdds) -> EventIntent:
    """Return the intent that moves the odds of `entry` to a new event."""
    event = replace(entry.event, id="target")
    first = EventDifference(ChangeKind.EVENT_ADDED, "split", None, event)
    (odds,) = entry.bookmakers.values()
    return EventIntent(LOOK, event, entry.sources, first, [OddsArrive(odds, "split")])


def price(home: float) -> Difference:
    outcomes = [Outcome("home", "Home", home), Outcome("away", "Away", 1.8)]
    return Difference(H2H, ChangeKind.PRICES, "", observed_market(H2H, outcomes))


def numbered(*intents: EventIntent, source: SourceDifference | None = None) -> Numbered:
    return number({}, intents, first_revision=11, detected_at=LATER, source=source)


def test_revisions_have_no_gap_and_a_source_comes_last() -> None:
    shown = observe([observed_event(name, {"b": {H2H: {"home": 2.0}}}) for name in "zya"])
    found = number(
        {},
        compare_observation({}, shown, by_own_ids(shown)).intents,
        first_revision=11,
        detected_at=LATER,
        source=CAME_UP,
    )
    assert [change.revision for change in found.changes] == list(range(11, 18))
    assert isinstance(found.changes[-1], SourceChange)
    assert found.changes[-1].after.announced is SourceStatus.UP
    assert [snapshot.event_id for snapshot in found.snapshots] == ["a", "y", "z"]
    commit = found.commit()
    assert commit is not None
    assert (commit.first_revision, commit.last_revision) == (11, 17)


def test_odds_that_move_and_change_in_one_commit_change_from_where_they_moved_to() -> None:
    moved = arrival(entry_of("origin"))
    differ = OddsDiffer(("toa", "b"), [price(2.5)], None, {})
    found = numbered(moved, EventIntent(LOOK, moved.event, moved.sources, odds=[differ]))
    added, changed = found.changes[1], found.changes[-1]
    assert isinstance(added, MarketChange)
    assert isinstance(changed, MarketChange)
    assert changed.before == added.after
    assert (added.snapshot_id, changed.snapshot_id) == (12, 14)
    assert found.replaced == {14: 12}
    entry = found.entries["target"]
    assert entry is not None
    (odds,) = entry.bookmakers.values()
    assert {market.revision for market in odds.markets.values()} == {14, 13}


def test_odds_that_move_keep_their_times_until_they_are_confirmed() -> None:
    entry = entry_of("origin")
    moved = arrival(entry)
    confirmed = OddsConfirmed(("toa", "b"), None, {})
    for intents, confirmed_at in (
        ([moved], NOON),
        ([moved, EventIntent(LOOK, moved.event, moved.sources, odds=[confirmed])], LATER),
    ):
        after = numbered(*intents).entries["target"]
        assert after is not None
        (odds,) = after.bookmakers.values()
        assert (odds.confirmed_at, odds.snapshot_id) == (confirmed_at, 12)
        assert {market.changed_at for market in odds.markets.values()} == {NOON}


def test_an_end_takes_the_odds_along_as_they_are_by_then() -> None:
    moved = arrival(entry_of("origin"))
    (ended,) = purge({"target": EventOdds(moved.event, moved.sources, {})},
                     {"target": {"toa"}}, LATER)  # fmt: skip
    found = numbered(moved, ended)
    last = found.changes[-1]
    assert isinstance(last, EventChange)
    assert [(odds.event_id, odds.snapshot_id) for odds in last.ended] == [("target", 12)]
    assert found.entries == {"target": None}
    assert [carried.departed_at for carried in found.departed] == [LATER]


def test_rows_go_along_with_changes_of_odds_and_events_alone() -> None:
    row = "elsewhere", EventSource("toa", "gone", None, None, departed_at=NOON)
    taken = number({}, [arrival(entry_of("origin"))],
                   first_revision=11, detected_at=LATER, rows=[row])  # fmt: skip
    left = number({}, [], first_revision=11, detected_at=LATER, rows=[row], source=CAME_UP)
    assert (taken.took_rows, taken.event_sources) == (True, [row])
    assert (left.took_rows, left.event_sources) == (False, [])
    assert len(left.changes) == 1


def test_without_changes_there_is_no_commit_and_the_cache_is_confirmed() -> None:
    entry = entry_of("e")
    confirmed = OddsConfirmed(("toa", "b"), None, {})
    found = number(
        {"e": entry},
        [EventIntent(LOOK, entry.event, entry.sources, odds=[confirmed])],
        first_revision=11,
        detected_at=LATER,
    )
    assert found.commit() is None
    (odds,) = found.confirmed
    assert (odds.confirmed_at, odds.confirmed_boot_s) == (LATER, 60.0)
    assert found.entries == {"e": replace(entry, bookmakers={odds.key: odds})}
