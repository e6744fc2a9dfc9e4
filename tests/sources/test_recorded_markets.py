"""The market table on recorded matches of three bookmakers: the mapped share, and no wrong mapping.

Three rules of `sources.markets.agreement` find wrong mappings. A market that two bookmakers share
has outcomes in common; the prices' normalised probabilities differ by less than 0.08; and one
probability fits both prices. A market that one bookmaker has alone has a plausible overround. The
last test breaks the mapping on purpose and shows how much of that the rules find.
"""

from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from typing import Final, NamedTuple

import pytest

from odds_service.model.market import MarketKey, MarketStatus, ObservedMarket, Outcome
from odds_service.model.observation import ObservedEvent
from odds_service.sources.markets.agreement import (
    disagreements,
    overround_of,
    prices_of,
)
from odds_service.sources.markets.coverage import Coverage
from odds_service.sources.markets.table import table
from odds_service.sources.recognise import READERS, recognise
from tests.support.recorded import RECORDED

MATCHES: Final = ("prematch", "wc_nf", "live")
# file -> (markets, mapped at least). What is not: bets on two players, a second list of scores
# (SportyBet), fouls that are counted otherwise, and four keys in play whose meaning nobody told.
MAPPED: Final = {
    ("sportybet", "prematch"): (360, 359),
    ("sportybet", "wc_nf"): (974, 966),
    ("sportybet", "live"): (0, 0),  # it shows none at that minute
    ("betpawa", "prematch"): (79, 79),
    ("betpawa", "wc_nf"): (113, 113),
    ("betpawa", "live"): (46, 46),
    ("bet9ja", "prematch"): (221, 221),
    ("bet9ja", "wc_nf"): (430, 413),
    ("bet9ja", "live"): (23, 19),
}
GOAL: Final = 0.80
# Markets of which bookmakers list other outcomes: some leave the unlikely ones out, or the ones
# that are no bet; where `other` stands for the rest it is not compared.
UNEQUAL_LISTS: Final = {
    "correct_score",
    "double_chance_totals_h1",
    "double_chance_totals_h2",
    "exact_cards_h1",
    "exact_goals",
    "exact_goals_h1",
    "exact_goals_h2",
    "multigoals",
    "multigoals_h1",
    "multigoals_h2",
    "team_exact_cards_h1",
    "team_multigoals",
}

needs_bookmakers = pytest.mark.skipif(
    not all((RECORDED / name).is_dir() for name in READERS),
    reason="no recorded bookmakers beside us",
)
pytestmark = needs_bookmakers


class Read(NamedTuple):
    event: ObservedEvent
    problems: Counter[str]
    coverage: Coverage

    @property
    def markets(self) -> dict[MarketKey, ObservedMarket]:
        (bookmaker,) = self.event.bookmakers
        return dict(bookmaker.markets)


@cache
def read(provider: str, match: str) -> Read:
    body = (RECORDED / provider / f"{match}.json").read_bytes()
    assert recognise(body) == provider
    problems: Counter[str] = Counter()
    coverage = Coverage()
    return Read(READERS[provider](body, problems, coverage), problems, coverage)


def shown(match: str) -> dict[str, dict[MarketKey, ObservedMarket]]:
    return {provider: read(provider, match).markets for provider in READERS}


def shared(match: str) -> Iterator[tuple[str, str, MarketKey]]:
    """Yield pairs of bookmakers with a market of both."""
    markets = shown(match)
    for one, other in combinations(markets, 2):
        for key in markets[one].keys() & markets[other].keys():
            yield one, other, key


@pytest.mark.parametrize(("provider", "match"), MAPPED)
def test_how_much_is_mapped(provider: str, match: str) -> None:
    _, problems, coverage = read(provider, match)
    markets, mapped = MAPPED[provider, match]
    assert coverage.markets == markets
    assert coverage.mapped >= mapped, coverage.unmapped
    assert coverage.share >= GOAL
    assert not problems


@pytest.mark.parametrize("match", MATCHES)
def test_the_three_are_one_event(match: str) -> None:
    events = [read(provider, match).event for provider in READERS]
    assert len({tuple(event.shared_ids.items()) for event in events}) == 1
    assert all(event.shared_ids for event in events)
    assert len({event.start_time for event in events}) == 1
    assert {event.sport for event in events} == {"soccer"}


@pytest.mark.parametrize("match", MATCHES)
def test_bookmakers_agree(match: str) -> None:
    found = disagreements(table(), "soccer", shown(match))
    assert found == []


def test_enough_is_compared_for_that_to_mean_something() -> None:
    """In play there are hardly any pairs, since two of three bookmakers show no prices."""
    pairs = Counter(
        match
        for match in MATCHES
        for one, other, key in shared(match)
        if prices_of(shown(match)[one][key]).keys() & prices_of(shown(match)[other][key]).keys()
    )
    assert pairs["prematch"] >= 400
    assert pairs["wc_nf"] >= 700
    alone = sum(
        overround_of(table(), "soccer", market) is not None
        for match in ("prematch", "wc_nf")
        for markets in shown(match).values()
        for market in markets.values()
    )
    assert alone >= 1_000


@pytest.mark.parametrize("match", MATCHES)
def test_outcome_keys_are_the_same_or_one_list_is_known_to_be_shorter(match: str) -> None:
    markets = shown(match)
    for one, other, key in shared(match):
        keys = [{o.key for o in markets[name][key].outcomes} for name in (one, other)]
        if keys[0] == keys[1] or min(len(keys[0]), len(keys[1])) == 1:
            continue  # of one side (over, yes) only its price can be compared
        assert key.market in UNEQUAL_LISTS, (one, other, key, keys)


def test_every_line_and_side_is_a_market_of_its_own() -> None:
    for match in ("prematch", "wc_nf"):
        for provider, markets in shown(match).items():
            for key, market in markets.items():
                assert len({o.key for o in market.outcomes}) == len(market.outcomes), provider
                assert key == market.key


def swapped(market: ObservedMarket, one: Outcome, other: Outcome) -> ObservedMarket:
    """Return the market with the prices of two outcomes exchanged."""
    changed = {
        one.key: Outcome(one.key, one.name, other.price),
        other.key: Outcome(other.key, other.name, one.price),
    }
    outcomes = tuple(changed.get(outcome.key, outcome) for outcome in market.outcomes)
    return ObservedMarket(market.key, MarketStatus.OPEN, outcomes)


def test_the_rules_see_what_is_mapped_wrongly() -> None:
    """The rules find every exchange of clearly unequal outcomes, and most exchanged lines."""
    swaps = seen_swaps = lines = seen_lines = 0
    for match in ("prematch", "wc_nf"):
        markets = shown(match)
        for one, other, key in shared(match):
            ours, theirs = markets[one][key], markets[other][key]
            prices = prices_of(theirs)
            booksum = sum(1 / price for price in prices.values())
            compared = prices_of(ours).keys() & prices.keys() - {"other"}
            outcomes = [o for o in theirs.outcomes if o.key in compared]
            for a, b in combinations(outcomes, 2):
                if abs(1 / prices[a.key] - 1 / prices[b.key]) / booksum >= 0.1:
                    swaps += 1
                    wrong = {one: {key: ours}, other: {key: swapped(theirs, a, b)}}
                    seen_swaps += bool(disagreements(table(), "soccer", wrong))
            if len(compared) < 2:
                continue
            for moved in markets[other]:
                if (moved.market, moved.participant) != (key.market, key.participant):
                    continue
                if moved.line != key.line and prices_of(markets[other][moved]):
                    lines += 1
                    wrong = {one: {key: ours}, other: {key: markets[other][moved]}}
                    seen_lines += bool(disagreements(table(), "soccer", wrong))
    assert swaps > 1_000
    assert seen_swaps == swaps
    assert lines > 1_000
    assert seen_lines / lines > 0.9
