"""The changes between any two payloads lead from the one to the other, and no further."""

import random

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from odds_service.detection.comparison import compare_observation
from odds_service.model.change import ChangeKind, MarketChange, Reason
from odds_service.model.market import MarketKey, MarketStatus
from tests.detection.offers import offers
from tests.support.observations import (
    Book,
    Offer,
    Place,
    Shown,
    by_own_ids,
    cached,
    fold,
    observe,
    observed_event,
    offered,
)

H2H = MarketKey("h2h")
TOTALS = MarketKey("totals", "2.5")


def expected(offer: Offer) -> dict[Place, Shown]:
    """Return the odds of an offer, seen once by an empty cache."""
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
    assert [change.kind for change in (*down.changes, *up.changes)] == [
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


def test_an_older_observation_is_discarded() -> None:
    book = Book()
    book.see(observe(offered({"e": {"b": {H2H: {"home": 2.0}}}}), 5))
    older = observe(offered({"e": {"b": {H2H: {"home": 9.0}}}}), 4)
    assert compare_observation(book.events, older, by_own_ids(older)).late == 1
    assert not book.see(older).changes
    assert not book.see(observe([], 4.5)).changes
    assert book.events["e"].sources["toa"].absences == 0


def draws_lost(*shown: dict[str, float | None] | None, sport: str) -> list[tuple[str, str, str]]:
    """Return the draws that an event lost after looks at one `h2h`; None: it was not shown."""
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
