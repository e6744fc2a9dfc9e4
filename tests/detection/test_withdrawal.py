"""Odds that the settings no longer ask for are withdrawn, and no others."""

from hypothesis import given, settings
from hypothesis import strategies as st

from odds_service.detection.numbering import number
from odds_service.detection.withdrawal import doubt, due_for_withdrawal, withdraw
from odds_service.model.asks import Asks, AsksChange, Form, changed_asks
from odds_service.model.change import MarketChange, Reason
from odds_service.model.market import MarketKey
from odds_service.model.observation import Scope
from odds_service.model.overround import Standing, standing
from odds_service.model.snapshot import Reading
from odds_service.model.source import SourceState, SourceStatus
from tests.support.observations import NOON, Book, cached, fold, observe, observed_event

TYPES, BOOKMAKERS, LISTINGS = ("h2h", "spreads", "totals"), ("a", "b", "c"), ("epl", "nfl")


def subsets(names: tuple[str, ...]) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(names), min_size=1)


asked = st.builds(
    lambda markets, bookmakers, listings: Asks(
        kind="the-odds-api",
        forms={"odds": Form(markets=markets, bookmakers=bookmakers)},
        listings=listings,
    ),
    subsets(TYPES),
    st.none() | subsets(BOOKMAKERS),
    subsets(LISTINGS),
)
settings_files = st.dictionaries(st.sampled_from(["toa", "other"]), asked)


def shown_under(asks: dict[str, Asks]) -> Book:
    """Return a book that has seen everything these settings can show."""
    book = Book()
    for source, each in asks.items():
        for listing in sorted(each.listings or ()):
            offer = {
                name: {MarketKey(market): {"home": 2.0} for market in each.markets or ()}
                for name in each.bookmakers or BOOKMAKERS
            }
            scope = Scope(listing=listing)
            book.see(observe([observed_event(listing, offer)], source=source, scope=scope))
    return book


def applied(book: Book, changed: dict[str, AsksChange], step: int = 1) -> int:
    """Withdraw in slices; return the number of slices."""
    slices = 0
    while due := due_for_withdrawal(book.events, changed):
        intents = withdraw(book.events, due[:step], changed, NOON)
        found = number(book.events, intents, first_revision=len(book.log) + 1, detected_at=NOON)
        assert found.changes
        book.take(found)
        slices += 1
    return slices


@settings(deadline=None)
@given(settings_files, settings_files)
def test_nothing_stays_that_the_second_settings_cannot_show(
    first: dict[str, Asks], second: dict[str, Asks]
) -> None:
    book = shown_under(first)
    before, logged = cached(book.events), len(book.log)
    applied(book, changed_asks(first, second, first))
    held = cached(book.events)
    assert fold(book.log) == held
    if not second:
        assert held == before
        return
    could = {
        (event, source, bookmaker, key)
        for event, source, bookmaker, key in before
        if source in second
        and event in (second[source].listings or ())
        and bookmaker in (second[source].bookmakers or BOOKMAKERS)
        and key.market in (second[source].markets or ())
    }
    assert held.keys() == could
    assert all(
        change.reason == Reason.NO_LONGER_ASKED
        for change in book.log[logged:]
        if isinstance(change, MarketChange)
    )


def test_equal_settings_sweep_nothing() -> None:
    asks = {"toa": Asks(forms={"odds": Form(markets=frozenset(TYPES))})}
    assert changed_asks(asks, dict(asks), ["toa"]) == {}


def test_a_type_shown_unasked_waits_for_an_answer() -> None:
    book = Book()
    book.see(observe([observed_event("e", {"b": {MarketKey("h2h_lay"): {"home": 2.0}}})]))
    first = Asks(forms={"odds": Form(markets=frozenset({"h2h", "totals"}))})
    second = Asks(forms={"odds": Form(markets=frozenset({"h2h"}))})
    assert applied(book, changed_asks({"toa": first}, {"toa": second}, ["toa"])) == 0


def test_a_source_that_tells_nothing_keeps_what_it_has_while_it_is_configured() -> None:
    book = Book()
    book.see(observe([observed_event("e", {"b": {MarketKey("h2h"): {"home": 2.0}}})]))
    assert applied(book, changed_asks({}, {"toa": Asks(kind="plug-in")}, ["toa"])) == 0
    assert applied(book, changed_asks({}, {"other": Asks(kind="plug-in")}, ["toa"])) == 1
    assert not book.events


def test_another_provider_under_the_same_name_starts_anew() -> None:
    book = Book()
    book.see(observe([observed_event("e", {"b": {MarketKey("h2h"): {"home": 2.0}}})]))
    applied(book, changed_asks({"toa": Asks(kind="one")}, {"toa": Asks(kind="two")}, ["toa"]))
    assert not book.events


def test_stored_odds_are_stale_until_a_look_under_the_new_settings() -> None:
    book = Book()
    event = observed_event("e", {"b": {MarketKey("h2h"): {"home": 2.0}}})
    book.see(observe([event]))
    changed = changed_asks({"toa": Asks()}, {"toa": Asks(kind="two")}, ["toa"])
    book.events = {name: doubt(entry, changed) for name, entry in book.events.items()}
    up = SourceState(source="toa", interval_s=60.0, status=SourceStatus.UP)

    def stands() -> Standing:
        return standing(
            book.events["e"].bookmakers["toa", "b"], up, Reading(NOON), event.start_time
        )

    assert stands() is Standing.STALE
    book.see(observe([event], 0.1))
    assert stands() is Standing.LIVE


def test_only_other_forms_types_are_elsewhere() -> None:
    asks = Asks(forms={"listing": Form(markets=frozenset({"h2h"})),
                       "event": Form(markets=frozenset({"h2h", "totals"}))})  # fmt: skip
    assert asks.elsewhere("listing") == frozenset({"totals"})
    assert asks.elsewhere("event") == frozenset()
    assert asks.elsewhere("unheard of") is None
