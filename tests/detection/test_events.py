"""Events as several sources describe them: names, starts and statuses."""

from datetime import timedelta

from msgspec.structs import replace

from odds_service.model.change import ChangeKind, Reason
from odds_service.model.event import EventStatus
from odds_service.model.market import MarketKey
from tests.support.observations import (
    NOON,
    Book,
    cached,
    observe,
    observed_event,
)

H2H = MarketKey("h2h")
TOTALS = MarketKey("totals", "2.5")


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
    """One source knows only the start, one tells SCHEDULED, one IN_PLAY."""
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


def test_the_only_source_may_take_back_that_it_has_started() -> None:
    book = Book()
    event = observed_event("e", {})
    for minute, status in enumerate((EventStatus.IN_PLAY, EventStatus.SCHEDULED)):
        book.see(observe([replace(event, status=status)], minute))
        assert book.events["e"].event.status is status
