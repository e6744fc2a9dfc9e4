"""Absences: odds are removed only if a complete answer should have shown them."""

from datetime import timedelta

from hypothesis import given, settings

from odds_service.model.change import ChangeKind, EventChange, Reason
from odds_service.model.event import EventStatus
from odds_service.model.market import MarketKey
from odds_service.model.observation import ANY, Completeness, Scope
from tests.detection.offers import offers
from tests.support.observations import (
    NOON,
    Book,
    Offer,
    cached,
    observe,
    observed_event,
    offered,
)

H2H = MarketKey("h2h")
TOTALS = MarketKey("totals", "2.5")


@settings(max_examples=50)
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
