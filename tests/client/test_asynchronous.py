"""The async client's calls under Trio and asyncio: typed values and clear errors."""

from datetime import timedelta

import pytest

from odds_service.client import (
    AsyncClient,
    Cursor,
    Filter,
    MarketKey,
    ServiceError,
)
from tests.client.faces import Face, faces
from tests.support.observations import NOON, Prices, observe, observed_event
from tests.support.odds_builders import Bookkeeping, serving


@faces
async def test_values_are_typed(face: Face) -> None:
    book = Bookkeeping()
    offer: dict[str, dict[MarketKey, Prices]] = {
        "b1": {
            MarketKey("h2h"): {"home": 1.9, "away": None},
            MarketKey("spreads", "-3.5"): {"home": 1.8, "away": 2.0},
            MarketKey("totals", "0"): {"over": 1.8, "under": 2.0},
        },
        "b2": {MarketKey("spreads", "-3.5"): {"home": 2.1, "away": 1.7}},
    }
    book.see(observe([observed_event("e", offer)]))

    async def work(client: AsyncClient) -> None:
        odds = await client.get_odds(include_best=True)
        assert odds.cursor == Cursor("e1", book.feed.head_revision)
        entry = odds.events["e"]
        assert entry.event.start_time == NOON + timedelta(hours=6)
        shown = entry.bookmakers["toa", "b1"]
        assert shown.observed_at == NOON
        assert set(shown.markets) == {
            MarketKey("h2h"), MarketKey("spreads", "-3.5"), MarketKey("totals", "0")
        }  # fmt: skip
        home, away = shown.markets[MarketKey("h2h")].outcomes
        assert (home.price, home.active) == (1.9, True)
        assert (away.price, away.active) == (None, False)
        spread = next(best for best in entry.best if best.key.market == "spreads")
        assert [(leg.bookmaker, leg.price) for leg in spread.prices] == [("b2", 2.1), ("b1", 2.0)]
        assert spread.oldest_confirmed_at == NOON
        (listed,) = await client.list_events(Filter(bookmakers=["b1"]))
        assert [(b.bookmaker, b.markets) for b in listed.bookmakers] == [("b1", 3)]
        (match,) = listed.matches
        assert listed.event.source_ids == {match.source: match.source_event_id}
        assert (match.home, match.away) == (listed.event.home, listed.event.away)
        assert (match.start_time, match.score) == (listed.event.start_time, 0)
        assert (await client.status()).head_revision == book.feed.head_revision
        assert (await client.get_odds(Filter(sports=["chess"]))).events == {}

    async with serving(book) as server:
        await face(server.address, work)


@faces
async def test_errors_say_what_is_wrong(face: Face) -> None:
    async def wrong(client: AsyncClient) -> None:
        with pytest.raises(ServiceError) as refused:
            await client.get_odds(Filter(sports=[""]))
        assert refused.value.code == "INVALID_ARGUMENT"
        assert refused.value.fields == {"filter.sports": "holds an empty value"}
        with pytest.raises(ServiceError, match="empty value"):
            await anext(client.watch(Filter(sports=[""]), wait_for_server=True))
        with pytest.raises(ServiceError) as refused:
            await client.get_odds(at_least=Cursor("e1", 1_000), timeout_s=0.2)
        assert refused.value.code == "DEADLINE_EXCEEDED"
        with pytest.raises(ServiceError) as refused:
            await client.refresh("e")
        assert refused.value.code == "UNIMPLEMENTED"

    async with serving(Bookkeeping()) as server:
        await face(server.address, wrong)

    async def nobody(client: AsyncClient) -> None:
        for attempt in (client.get_odds(), anext(client.watch()), anext(client.history())):
            with pytest.raises(ServiceError, match="no server answers at") as refused:
                await attempt
            assert refused.value.code == "UNAVAILABLE"

    await face(server.address, nobody)
