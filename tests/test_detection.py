"""Detection: the changes between any two payloads lead from the one to the other, and no more."""

import random
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from odds_service.model.change import ChangeKind, EventChange, MarketChange, Reason
from odds_service.model.event import EventStatus
from odds_service.model.market import MarketKey, MarketStatus
from odds_service.model.observation import ANY, Completeness, Scope
from tests.support.examples import examples
from tests.support.observations import (
    NOON,
    Book,
    Offer,
    Place,
    Shown,
    cached,
    fold,
    observe,
    observed_event,
    offered,
)

H2H = MarketKey("h2h")
TOTALS = MarketKey("totals", "2.5")

prices = st.dictionaries(
    st.sampled_from(["home", "draw", "away", "Somebody"]),
    st.one_of(st.none(), st.sampled_from([1.5, 2.0, 3.25])),
    min_size=1,
)
market_keys = st.builds(
    MarketKey,
    st.sampled_from(["h2h", "totals", "player_points"]),
    st.sampled_from(["", "0", "2.5", "-3.5"]),
    st.sampled_from(["", "A Player"]),
)
offers: st.SearchStrategy[Offer] = st.dictionaries(
    st.sampled_from(["e1", "e2", "e3"]),
    st.dictionaries(
        st.sampled_from(["b1", "b2"]), st.dictionaries(market_keys, prices, max_size=4)
    ),
)


def expected(offer: Offer) -> dict[Place, Shown]:
    """What an offer shows, folded without any code of detection."""
    book = Book()
    book.see(observe(offered(offer)))
    return cached(book.events)


@given(st.lists(offers, max_size=5))
def test_changes_lead_from_payload_to_payload(series: list[Offer]) -> None:
    book = Book()
    for minute, offer in enumerate(series):
        book.see(observe(offered(offer), minute))
        assert fold(book.log) == cached(book.events)
        for event_id, bookmakers in offer.items():
            entry = book.events[event_id]
            shown = {key[1]: odds.markets.keys() for key, odds in entry.bookmakers.items()}
            assert shown == {name: m.keys() for name, m in bookmakers.items() if m}
    # What is absent for the second time is gone: two more looks leave exactly the last offer.
    if series:
        for extra in (1, 2):
            book.see(observe(offered(series[-1]), len(series) + extra))
        assert cached(book.events) == expected(series[-1])
        assert book.events.keys() == series[-1].keys()


@given(offers, st.randoms(use_true_random=False))
def test_order_never_matters(offer: Offer, rng: random.Random) -> None:
    events = offered(offer)
    shuffled = [
        observed_event(
            event_id,
            {
                name: {
                    key: dict(rng.sample(list(outcomes.items()), len(outcomes)))
                    for key, outcomes in rng.sample(list(markets.items()), len(markets))
                }
                for name, markets in rng.sample(list(bookmakers.items()), len(bookmakers))
            },
        )
        for event_id, bookmakers in rng.sample(list(offer.items()), len(offer))
    ]
    one, other = Book(), Book()
    one.see(observe(events))
    other.see(observe(shuffled))
    assert one.log == other.log
    assert not one.see(observe(shuffled, 1)).changes


@settings(max_examples=examples(25))
@given(offers, offers)
def test_a_failed_or_partial_fetch_never_removes(first: Offer, second: Offer) -> None:
    book = Book()
    book.see(observe(offered(first)))
    before = cached(book.events)
    for minute in (1, 2, 3):
        found = book.see(observe([], minute, completeness=Completeness.FAILED))
        assert not found.changes
        assert not found.entries
        book.see(observe([], minute, completeness=Completeness.PARTIAL))
        book.see(observe([], minute, unreadable=frozenset({ANY})))
    assert cached(book.events) == before
    book.see(observe(offered(second), 4, completeness=Completeness.PARTIAL))
    assert first.keys() <= book.events.keys()


def test_a_moved_line_is_a_pair_side_by_side() -> None:
    book = Book()
    moved = MarketKey("totals", "3")
    book.see(observe(offered({"e": {"b": {H2H: {"home": 2.0}, TOTALS: {"over": 1.9}}}})))
    found = book.see(observe(offered({"e": {"b": {H2H: {"home": 2.1}, moved: {"over": 2.0}}}}), 1))
    kinds = [
        (change.kind, change.after.key.line, change.other_line, change.reason)
        for change in found.changes
        if isinstance(change, MarketChange)
    ]
    assert kinds == [
        (ChangeKind.PRICES, "", None, ""),
        (ChangeKind.REMOVED, "2.5", "3", Reason.LINE_MOVED),
        (ChangeKind.ADDED, "3", "2.5", Reason.LINE_MOVED),
    ]


def test_lines_without_a_clear_partner_are_no_move() -> None:
    book = Book()
    book.see(observe(offered({"e": {"b": {TOTALS: {"over": 1.9}}}})))
    lines = {MarketKey("totals", line): {"over": 2.0} for line in ("3", "3.5")}
    found = book.see(observe(offered({"e": {"b": lines}}), 1))
    assert {change.reason for change in found.changes} == {Reason.SOURCE_REMOVED, ""}


def test_no_line_and_line_zero_are_two_markets() -> None:
    book = Book()
    both = {MarketKey("spreads", ""): {"home": 2.0}, MarketKey("spreads", "0"): {"home": 2.0}}
    book.see(observe(offered({"e": {"b": both}})))
    assert len(cached(book.events)) == 2


def test_suspension_and_return() -> None:
    book = Book()
    book.see(observe(offered({"e": {"b": {H2H: {"home": 2.0, "away": 1.8}}}})))
    down = book.see(observe(offered({"e": {"b": {H2H: {"home": None, "away": None}}}}), 1))
    up = book.see(observe(offered({"e": {"b": {H2H: {"home": 2.0, "away": 1.8}}}}), 2))
    assert [change.kind for change in down.changes + up.changes] == [
        ChangeKind.SUSPENDED,
        ChangeKind.RESUMED,
    ]


def test_an_unreadable_market_is_suspended_not_removed() -> None:
    book = Book()
    book.see(observe(offered({"e": {"b": {H2H: {"home": 2.0}, TOTALS: {"over": 1.9}}}})))
    bad = observed_event("e", {"b": {H2H: {"home": 2.0}}}, unreadable={"b": frozenset({"totals"})})
    (change,) = book.see(observe([bad], 1)).changes
    assert isinstance(change, MarketChange)
    assert (change.kind, change.reason) == (ChangeKind.SUSPENDED, Reason.UNREADABLE)
    assert change.after.outcomes == (change.before.outcomes if change.before else None)
    assert not book.see(observe([bad], 2)).changes


def test_an_event_goes_at_its_second_absence_and_its_odds_are_not_confirmed_meanwhile() -> None:
    book = Book()
    offer: Offer = {"e": {"b": {H2H: {"home": 2.0}, TOTALS: {"over": 1.9}}}}
    book.see(observe(offered(offer)))
    assert not book.see(observe([], 1)).changes
    (odds,) = book.events["e"].bookmakers.values()
    assert odds.observed_at - odds.confirmed_at == timedelta(minutes=1)
    assert not book.see(observe(offered(offer), 2)).changes  # back unchanged: the count starts anew
    book.see(observe([], 3))
    (ended,) = book.see(observe([], 4)).changes
    assert isinstance(ended, EventChange)
    assert (ended.kind, ended.reason) == (ChangeKind.EVENT_ENDED, Reason.SOURCE_REMOVED)
    assert [len(odds.markets) for odds in ended.ended] == [2]
    assert not book.events


def test_an_event_gone_after_its_start_has_ended() -> None:
    book = Book()
    playing = observed_event("e", {"b": {H2H: {"home": 2.0}}}, start_time=NOON)
    (added, *_) = book.see(observe([playing])).changes
    assert isinstance(added, EventChange)
    assert added.after.status is EventStatus.IN_PLAY
    book.see(observe([], 1))
    (ended,) = book.see(observe([], 2)).changes
    assert ended.reason == Reason.EVENT_ENDED


def test_an_event_starts_by_the_clock() -> None:
    book = Book()
    event = observed_event("e", {}, start_time=NOON + timedelta(minutes=5))
    book.see(observe([event]))
    (started,) = book.see(observe([event], 5)).changes
    assert (started.kind, started.reason) == (ChangeKind.EVENT_UPDATED, Reason.EVENT_STARTED)
    assert not book.see(observe([event], 6)).changes


def test_sides_swapped_is_an_event_change_before_its_markets() -> None:
    book = Book()
    spread, mirrored = MarketKey("spreads", "-3.5"), MarketKey("spreads", "3.5")
    book.see(observe([observed_event("e", {"b": {spread: {"home": 1.9}}}, home="A", away="B")]))
    swapped = observed_event("e", {"b": {mirrored: {"home": 1.9}}}, home="B", away="A")
    changes = book.see(observe([swapped], 1)).changes
    assert [(change.kind, change.reason) for change in changes] == [
        (ChangeKind.EVENT_UPDATED, Reason.SIDES_SWAPPED),
        (ChangeKind.REMOVED, Reason.LINE_MOVED),
        (ChangeKind.ADDED, Reason.LINE_MOVED),
    ]


def test_an_older_observation_is_discarded() -> None:
    book = Book()
    book.see(observe(offered({"e": {"b": {H2H: {"home": 2.0}}}}), 5))
    found = book.see(observe(offered({"e": {"b": {H2H: {"home": 9.0}}}}), 4))
    assert found.late == 1
    assert not found.changes
    assert not book.see(observe([], 4.5)).changes
    assert book.events["e"].sources["toa"].absences == 0


def test_only_what_lies_in_the_scope_can_go() -> None:
    book = Book()
    book.see(observe(offered({"e": {"b": {H2H: {"home": 2.0}, TOTALS: {"over": 1.9}}, "c": {}}})))
    book.see(observe(offered({"e": {"c": {H2H: {"home": 2.0}}}}), 1,
                     scope=Scope(events=frozenset("e"), bookmakers=frozenset("c"))))  # fmt: skip
    book.see(observe(offered({"e": {"b": {H2H: {"home": 2.0}}}}), 2,
                     scope=Scope(events=frozenset("e"), markets=frozenset({"h2h"}),
                                 bookmakers=frozenset("b"))))  # fmt: skip
    places = {(place[2], place[3].market) for place in cached(book.events)}
    assert places == {("b", "h2h"), ("b", "totals"), ("c", "h2h")}
    book.see(observe([], 3, scope=Scope(listing="soccer_ligue")))
    book.see(observe([], 4, scope=Scope(listing="soccer_ligue")))
    assert "e" in book.events


def test_two_sources_of_one_event_do_not_flip_flop() -> None:
    book = Book()
    first = observed_event("e", {"b": {H2H: {"home": 2.0}}}, home="Wuhan")
    second = observed_event("e", {"b": {H2H: {"home": 2.2}}}, home="Wuhan Three Towns FC")
    book.see(observe([first]))
    book.see(observe([second], 1, source="other"))
    for minute in (2, 4):
        assert not book.see(observe([first], minute)).changes
        assert not book.see(observe([second], minute + 1, source="other")).changes
    assert len(cached(book.events)) == 2
    book.see(observe([], 6))
    changes = book.see(observe([], 7)).changes  # one source loses it, the other goes on
    assert [change.kind for change in changes] == [ChangeKind.EVENT_UPDATED, ChangeKind.REMOVED]
    assert {place[1] for place in cached(book.events)} == {"other"}


def status_now(book: Book) -> EventStatus:
    return book.events["e"].event.status


def test_sources_that_disagree_on_the_start_do_not_make_it_flip_flop() -> None:
    """One knows the hour only, one says that it has not begun, one that it has."""
    book = Book()
    by_hour = observed_event("e", {}, start_time=NOON + timedelta(minutes=3))
    says_not = replace(by_hour, status=EventStatus.SCHEDULED)
    says_so = replace(by_hour, status=EventStatus.IN_PLAY)
    for minute, source in enumerate(("a", "b", "c")):
        book.see(observe([by_hour], minute, source=source))
    (started,) = book.see(observe([by_hour], 3, source="a")).changes
    assert (started.kind, started.reason) == (ChangeKind.EVENT_UPDATED, Reason.EVENT_STARTED)
    told = [
        change.reason
        for source, shown in (("b", says_not), ("c", says_so))
        for change in book.see(observe([shown], 4, source=source)).changes
    ]
    assert told == [Reason.STATUS_TOLD, Reason.EVENT_STARTED]  # a source knows more than the clock
    assert book.events["e"].event.told == {"b": EventStatus.SCHEDULED, "c": EventStatus.IN_PLAY}
    for minute in (5, 6):
        assert not book.see(observe([says_not], minute, source="b")).changes
        assert not book.see(observe([says_so], minute, source="c")).changes
        assert not book.see(observe([by_hour], minute, source="a")).changes
    later = replace(by_hour, start_time=NOON + timedelta(minutes=30))
    (moved,) = book.see(observe([later], 7, source="a")).changes
    assert moved.reason == Reason.START_MOVED
    assert status_now(book) is EventStatus.IN_PLAY  # c tells so, whatever the start is
    book.see(observe([says_not], 8, source="c"))
    assert status_now(book) is EventStatus.SCHEDULED


def test_a_status_told_by_the_clock_is_neither_kept_nor_compared() -> None:
    book = Book()
    event = observed_event("e", {}, start_time=NOON + timedelta(minutes=3))
    book.see(observe([event], source="a"))
    book.see(observe([event], 3, source="b"))
    assert status_now(book) is EventStatus.IN_PLAY
    assert book.events["e"].event.told == {}
    assert [carried.told for carried in book.events["e"].sources.values()] == [None, None]
    later = replace(event, start_time=NOON + timedelta(minutes=30))
    book.see(observe([later], 4, source="a"))
    assert status_now(book) is EventStatus.SCHEDULED


def test_the_status_that_a_source_told_goes_with_it() -> None:
    book = Book()
    event = observed_event("e", {"x": {H2H: {"home": 2.0}}})
    book.see(observe([replace(event, status=EventStatus.SCHEDULED)], source="a"))
    book.see(observe([replace(event, status=EventStatus.IN_PLAY)], source="b"))
    assert status_now(book) is EventStatus.IN_PLAY
    for minute in (1, 2):
        book.see(observe([], minute, source="b"))
    assert book.events["e"].event.told == {"a": EventStatus.SCHEDULED}
    assert status_now(book) is EventStatus.SCHEDULED


def draws_lost(*shown: dict[str, float | None] | None, sport: str) -> list[tuple[str, str, str]]:
    """What an event says of lost draws after a bookmaker's `h2h` was shown so; None: not at all."""
    book = Book()
    for minute, prices in enumerate(shown):
        markets = {} if prices is None else {"x": {H2H: prices}}
        event = replace(observed_event("e", markets), sport=sport, competition=sport)
        book.see(observe([event], minute))
    return list(book.events["e"].event.draws_lost)


def test_a_market_that_loses_its_draw_is_remembered_over_its_absence() -> None:
    three: dict[str, float | None] = {"home": 2.0, "draw": 3.0, "away": 4.0}
    two: dict[str, float | None] = {"home": 1.6, "away": 2.4}
    lost = [("toa", "x", "h2h")]
    assert draws_lost(three, two, sport="icehockey") == lost
    assert draws_lost(three, None, two, two, three, sport="icehockey") == lost
    assert draws_lost(two, two, sport="icehockey") == []
    assert draws_lost(two, three, three, sport="icehockey") == []
    assert draws_lost(three, two, sport="soccer") == []  # the sport says it already


def test_the_only_source_may_take_back_that_it_has_started() -> None:
    book = Book()
    event = observed_event("e", {})
    for minute, status in enumerate((EventStatus.IN_PLAY, EventStatus.SCHEDULED)):
        book.see(observe([replace(event, status=status)], minute))
        assert book.events["e"].event.status is status


def test_names_in_other_words_and_source_times_are_no_change() -> None:
    book = Book()
    offer: Offer = {"e": {"b": {H2H: {"home": 2.0}}}}
    book.see(observe(offered(offer)))
    (odds,) = book.events["e"].bookmakers.values()
    assert not book.see(observe(offered(offer), 1)).changes
    (again,) = book.events["e"].bookmakers.values()
    assert again.confirmed_at > odds.confirmed_at
    assert again.snapshot_id == odds.snapshot_id
    assert again.markets is odds.markets


def test_a_removed_outcome_is_a_price_change_and_a_removed_bookmaker_removes_its_markets() -> None:
    book = Book()
    book.see(observe(offered({"e": {"b": {H2H: {"home": 2.0, "draw": 3.0}}, "c": {}}})))
    (change,) = book.see(observe(offered({"e": {"b": {H2H: {"home": 2.0}}}}), 1)).changes
    assert change.kind is ChangeKind.PRICES
    (gone,) = book.see(observe([observed_event("e", {})], 2)).changes
    assert isinstance(gone, MarketChange)
    assert gone.kind is ChangeKind.REMOVED
    assert gone.after.status is MarketStatus.REMOVED
    assert not gone.after.outcomes
    assert "e" in book.events
