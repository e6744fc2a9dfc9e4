"""ListMarkets: the table's types, and those that only the odds have."""

from typing import Any

import pytest

from odds_service.model.market import MarketKey
from odds_service.model.market_types import GROUPS
from odds_service.serving import markets
from odds_service.sources.markets.types import market_types
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.client.faces import Face, faces
from tests.contract.calling import refused
from tests.serving.test_restricted import client_of, settings
from tests.support.observations import observe, offered
from tests.support.odds_builders import Bookkeeping, connected, serving

TABLE = market_types()
PLAIN = {(each.sport, each.market) for each in TABLE if "{" not in each.market}


def book_of(*keys: MarketKey, prices: Any = None) -> Bookkeeping:
    book = Bookkeeping(sources=("ours", "hidden"))
    book.market_types = TABLE
    offer = {"e": {"b": {key: prices or {"home": 1.5, "away": 2.5} for key in keys}}}
    book.see(observe(offered(offer), source="ours"))
    return book


async def listed(book: Bookkeeping, *asked: str) -> pb.ListMarketsResponse:
    async with serving(book) as server:
        with connected(server.address) as client:
            reply = await client.call("ListMarkets", pb.ListMarketsRequest(markets=asked))
    assert isinstance(reply, pb.ListMarketsResponse)
    return reply


async def test_the_table_s_types_are_listed_by_group() -> None:
    reply = await listed(book_of(MarketKey("h2h")))
    assert {(each.sport, each.market) for each in reply.markets} == PLAIN
    assert [(each.group, each.name) for each in reply.groups] == list(GROUPS.items())
    order = list(GROUPS)
    places = [order.index(each.group) for each in reply.markets]
    assert places == sorted(places)
    first = reply.markets[0]
    assert (first.market, first.sport, first.name) == ("h2h", "soccer", "Match odds")
    assert (first.group, first.settles) == ("result", "full time")
    assert [(each.key, each.name) for each in first.outcomes] == [
        ("home", "Home"), ("draw", "Draw"), ("away", "Away"),
    ]  # fmt: skip
    h2h = {each.sport: each.settles for each in reply.markets if each.market == "h2h"}
    assert h2h == {
        "soccer": "full time",
        "basketball": "full time, extra time included",
        "tennis": "the whole match",
    }


async def test_a_type_that_only_the_odds_have_is_listed_by_rule() -> None:
    prices = {"under": 1.9, "Some Player": 1.9, "over": 1.9}
    book = book_of(MarketKey("player_points", "20.5", "Some Player"), prices=prices)
    reply = await listed(book)
    (row,) = (each for each in reply.markets if each.market == "player_points")
    assert (row.name, row.group, row.sport) == ("Player points", "players", "soccer")
    assert row.has_line
    assert row.has_participant
    # Names of people are no outcomes of a type.
    assert [(each.key, each.name) for each in row.outcomes] == [
        ("over", "Over"), ("under", "Under"),
    ]  # fmt: skip


async def test_a_type_with_a_minute_takes_its_row_from_the_table() -> None:
    reply = await listed(book_of(MarketKey("h2h_m15")), "h2h_m15", "totals_m20")
    rows = {each.market: each for each in reply.markets}
    assert set(rows) == {"h2h_m15", "totals_m20"}
    shown, asked = rows["h2h_m15"], rows["totals_m20"]
    assert (shown.name, shown.settles) == ("Who leads after 15 minutes", "first 15 minutes")
    assert (shown.sport, asked.sport) == ("soccer", "soccer")
    assert [each.key for each in shown.outcomes] == ["home", "draw", "away"]
    assert asked.name == "Goals over or under the line in 20 minutes"
    assert asked.has_line


async def test_only_the_types_asked_for_are_listed_even_unknown_ones() -> None:
    reply = await listed(book_of(MarketKey("h2h")), "btts", "never_seen", "h2h_p1")
    rows = {each.market: each for each in reply.markets}
    assert set(rows) == {"btts", "never_seen", "h2h_p1"}
    unknown = rows["never_seen"]
    assert (unknown.name, unknown.group, unknown.sport) == ("Never seen", "other", "")
    assert (unknown.settles, list(unknown.outcomes)) == ("", [])
    assert rows["h2h_p1"].settles == "1st period"


async def test_a_restricted_caller_learns_no_type_of_hidden_odds() -> None:
    book = book_of(MarketKey("h2h"), MarketKey("ours_alone"))
    hidden = {"f": {"b1": {MarketKey("theirs_alone"): {"yes": 1.5}}}}
    book.see(observe(offered(hidden), source="hidden"))
    async with serving(book, settings=settings()) as server:
        for name, expected in (("ours", {"ours_alone"}), ("nobody", set())):
            with client_of(server.address, f"token-of-{name}") as client:
                reply = await client.call("ListMarkets", pb.ListMarketsRequest())
            assert {each.market for each in reply.markets} - {each for _, each in PLAIN} == expected


async def test_a_caller_restricted_to_a_bookmaker_learns_no_type_of_others() -> None:
    book = book_of(MarketKey("h2h"))
    shared = {"f": {name: {MarketKey(f"of_{name}"): {"yes": 1.5}} for name in ("b1", "b2")}}
    book.see(observe(offered(shared), source="ours"))
    async with serving(book, settings=settings()) as server:
        with client_of(server.address, "token-of-b1") as client:
            reply = await client.call("ListMarkets", pb.ListMarketsRequest())
    assert {each.market for each in reply.markets} - {each for _, each in PLAIN} == {"of_b1"}


async def test_made_up_types_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markets, "MOST_SEEN", 3)
    reply = await listed(book_of(*(MarketKey(f"made_up_{n}") for n in range(9))))
    assert sum(each.market.startswith("made_up") for each in reply.markets) == 3


async def test_a_malformed_request_is_refused_by_the_name_of_its_field() -> None:
    async with serving(Bookkeeping()) as server:
        with connected(server.address) as client:
            for bad in ([""], ["x" * 257]):
                refusal = await refused(client, "ListMarkets", pb.ListMarketsRequest(markets=bad))
                assert (refusal.code, refusal.field) == ("INVALID_ARGUMENT", "markets")


@faces
async def test_the_client_lists_types(face: Face) -> None:
    async with serving(book_of(MarketKey("h2h"))) as server:
        found = await face(server.address, lambda client: client.market_types(["totals"]))
    assert {each.sport for each in found.markets} == {"soccer", "basketball", "tennis"}
    assert found.markets[0].outcomes == {"over": "Over", "under": "Under"}
    assert [each.group for each in found.groups] == list(GROUPS)
