"""An answer confirms what it showed, and removes only what it speaks of."""

from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from odds_service.model.change import ChangeKind, MarketChange, Reason
from odds_service.model.market import MarketKey
from odds_service.model.observation import Observation, Scope
from odds_service.model.overround import Standing, best_markets
from odds_service.model.snapshot import BookmakerOdds, as_last_seen, confirmed_of
from tests.support.observations import NOON, Book, Prices, observe, observed_event

H2H, LAY, TOTALS = MarketKey("h2h"), MarketKey("h2h_lay"), MarketKey("totals", "2.5")
PRICES: Prices = {"home": 2.0, "away": 2.0}


def shows(*markets: MarketKey, minute: float, unreadable: str = "", **scope: Any) -> Observation:
    names = {"b": frozenset({unreadable})} if unreadable else {}
    event = observed_event("e", {"b": dict.fromkeys(markets, PRICES)}, unreadable=names)
    return observe([event], minute, scope=Scope(listing="soccer_epl", **scope))


def odds_of(book: Book) -> BookmakerOdds:
    return book.events["e"].bookmakers["toa", "b"]


def test_a_type_shown_unasked_goes_when_it_is_shown_no_more() -> None:
    book = Book()
    asked: dict[str, Any] = {"markets": frozenset({"h2h"}), "elsewhere": frozenset[str]()}
    book.see(shows(H2H, LAY, minute=0, **asked))
    book.see(shows(H2H, minute=1, **asked))
    assert set(odds_of(book).markets) == {H2H}
    last = book.log[-1]
    assert isinstance(last, MarketChange)
    assert (last.kind, last.reason) == (ChangeKind.REMOVED, Reason.SOURCE_REMOVED)


def test_a_listing_neither_removes_nor_confirms_what_only_a_refresh_asks_for() -> None:
    book = Book()
    book.see(shows(H2H, TOTALS, minute=0, markets=frozenset({"h2h", "totals"})))
    listing: dict[str, Any] = {"markets": frozenset({"h2h"}), "elsewhere": frozenset({"totals"})}
    for minute in (1, 2):
        book.see(shows(H2H, minute=minute, **listing))
    odds = odds_of(book)
    assert set(odds.markets) == {H2H, TOTALS}
    assert confirmed_of(odds, "h2h") == NOON + timedelta(minutes=2)
    assert confirmed_of(odds, "totals") == NOON
    book.see(shows(H2H, TOTALS, minute=3, markets=frozenset({"h2h", "totals"})))
    assert not odds_of(book).lagging


def test_an_unreadable_type_is_not_confirmed() -> None:
    book = Book()
    book.see(shows(H2H, TOTALS, minute=0))
    book.see(shows(H2H, minute=1, unreadable="totals"))
    book.see(shows(H2H, minute=2, unreadable="totals"))
    odds = odds_of(book)
    assert confirmed_of(odds, "h2h") == NOON + timedelta(minutes=2)
    assert confirmed_of(odds, "totals") == NOON


def test_a_bookmaker_with_nothing_readable_is_not_confirmed() -> None:
    book = Book()
    book.see(shows(H2H, minute=0))
    for minute in (1, 2):
        book.see(shows(minute=minute, unreadable="h2h"))
    assert odds_of(book).confirmed_at == NOON
    assert [change.kind for change in book.log if isinstance(change, MarketChange)] == [
        ChangeKind.ADDED,
        ChangeKind.SUSPENDED,
    ]


def test_an_event_without_bookmakers_confirms_none() -> None:
    book = Book()
    book.see(shows(H2H, TOTALS, minute=0))
    listing = Scope(markets=frozenset({"h2h"}), elsewhere=frozenset({"totals"}))
    book.see(observe([observed_event("e", {})], 1, scope=listing))
    odds = odds_of(book)
    assert set(odds.markets) == {TOTALS}
    assert confirmed_of(odds, "totals") == NOON


def test_best_prices_rest_on_the_age_of_their_own_type() -> None:
    book = Book()
    book.see(shows(H2H, TOTALS, minute=0))
    book.see(shows(H2H, minute=9, markets=frozenset({"h2h"}), elsewhere=frozenset({"totals"})))
    late = NOON + timedelta(minutes=5)

    def standing_of(odds: BookmakerOdds) -> Standing:
        return Standing.LIVE if odds.confirmed_at > late else Standing.STALE

    (entry,) = book.events.values()
    event = replace(entry.event, sport="tennis")  # in which two outcomes are all of them
    found = best_markets(event, [odds_of(book)], standing_of)
    assert {best.key: bool(best.prices) for best in found} == {H2H: True, TOTALS: False}
    both = as_last_seen(odds_of(book), ["h2h", "totals"])
    assert (both.confirmed_at, both.observed_at) == (NOON, NOON)
