"""Step lines of prices: holds, gaps and ends."""

import pytest

from odds_service.commands.chart_png import points
from odds_service.errors import OddsServiceError
from odds_service.model.market import MarketKey
from tests.commands.books import at, changes_of, moving, shown_by
from tests.support.observations import Prices, observe, observed_event
from tests.support.odds_builders import Bookkeeping


async def test_a_price_holds_until_it_changes_and_a_suspension_is_a_gap() -> None:
    history = shown_by(await changes_of(moving()), "h2h", at(40))
    assert history.title == "Reds – Blues · h2h"
    assert history.steps["home"] == {
        "b1": [(at(0), 2.0), (at(10), 2.2), (at(20), None), (at(30), 2.4)],
        "b2": [(at(0), 2.1)],
    }
    assert (history.begin, history.end) == (at(0), at(40))
    times, prices = points(history.steps["home"]["b1"], history)
    assert times[-1] == at(40)
    assert prices[-2:] == [2.4, 2.4]
    assert prices[2] != prices[2]  # NaN


async def test_an_ended_event_ends_its_lines() -> None:
    book = moving()
    for minute in (50, 60):
        book.see(observe([], minute))
    history = shown_by(await changes_of(book), "h2h", None)
    assert history.end == at(60)
    assert [steps[-1] for steps in history.steps["home"].values()] == 2 * [(at(60), None)]


async def test_more_lines_than_one_have_to_be_chosen_from() -> None:
    book = Bookkeeping()
    offer: dict[str, dict[MarketKey, Prices]] = {
        "b": {MarketKey("totals", line): {"over": 1.9, "under": 1.9} for line in ("10", "2.5")}
    }
    book.see(observe([observed_event("e", offer)]))
    changes = await changes_of(book)
    with pytest.raises(OddsServiceError, match=r"2 markets are of this type.*: 2\.5, 10"):
        shown_by(changes, "totals", None)
    assert list(shown_by(changes, "totals", None, "10").steps) == ["over", "under"]
    with pytest.raises(OddsServiceError, match="nothing to draw"):
        shown_by(changes, "btts", None)


async def test_the_lines_of_a_chart_are_sorted_as_numbers() -> None:
    book = Bookkeeping()
    offer: dict[str, dict[MarketKey, Prices]] = {
        "b": {
            MarketKey("totals", line): {"over": 1.9, "under": 1.9}
            for line in ("10", "-1.5", "9.5", "100", "-10")
        }
    }
    book.see(observe([observed_event("e", offer)]))
    changes = await changes_of(book)
    with pytest.raises(OddsServiceError, match=r": -10, -1\.5, 9\.5, 10, 100$"):
        shown_by(changes, "totals", None)
