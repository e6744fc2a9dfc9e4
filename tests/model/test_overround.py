"""Best prices: of live legs and equal outcomes only, with every exclusion named."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odds_service.model.event import Event, EventStatus
from odds_service.model.market import Market, MarketKey, MarketStatus, Outcome
from odds_service.model.overround import (
    SUSPECT_BELOW,
    BestMarket,
    Exclusion,
    Quote,
    Standing,
    Suspicion,
    best_markets,
    best_of_market,
    standing,
)
from odds_service.model.snapshot import BookmakerOdds, Reading
from odds_service.model.source import SourceState, SourceStatus
from tests.support.observations import NOON

H2H = MarketKey("h2h")
OVER_2_5 = MarketKey("totals", "2.5")


def quote(
    bookmaker: str,
    prices: dict[str, float | None],
    *,
    status: MarketStatus = MarketStatus.OPEN,
    standing: Standing = Standing.LIVE,
    minute: float = 0,
    inactive: str = "",
) -> Quote:
    outcomes = tuple(Outcome(key, key, price, key != inactive) for key, price in prices.items())
    return Quote("toa", bookmaker, status, outcomes, NOON + timedelta(minutes=minute), standing)


def only(quotes: list[Quote], key: MarketKey = H2H) -> BestMarket:
    (best,) = best_of_market(key, quotes)
    return best


def test_the_highest_price_of_each_outcome_and_the_booksums() -> None:
    best = only([quote("a", {"home": 2.0, "away": 1.9}), quote("b", {"home": 1.8, "away": 2.1})])
    assert [(leg.outcome, leg.price, leg.bookmaker) for leg in best.prices] == [
        ("home", 2.0, "a"),
        ("away", 2.1, "b"),
    ]
    assert best.overrounds["toa", "a"] == pytest.approx(1 / 2.0 + 1 / 1.9 - 1)
    assert best.overrounds["toa", "b"] == pytest.approx(1 / 1.8 + 1 / 2.1 - 1)
    assert best.combined_overround == pytest.approx(1 / 2.0 + 1 / 2.1 - 1)
    assert (best.combined_overround or 0.0) < 0  # an arbitrage
    assert best.exclusions == {}


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        (quote("x", {"home": 9.0, "away": 9.0}, status=MarketStatus.SUSPENDED), 1),
        (quote("x", {"home": 9.0, "away": 9.0}, standing=Standing.STALE), 2),
        (quote("x", {"home": 9.0, "away": None}), 3),
        (quote("x", {"home": 9.0, "away": 9.0}, inactive="home"), 3),
        (quote("x", {"home": 9.0, "away": 9.0}), 3),  # at a booksum of 0.22, an outcome is missing
        (quote("x", {"home": 9.0, "away": 9.0}, standing=Standing.ABSENT), 4),
    ],
)
def test_a_leg_that_is_not_live_is_left_out_and_named(left_out: Quote, reason: int) -> None:
    best = only([quote("a", {"home": 2.0, "away": 1.8}), left_out])
    assert {leg.bookmaker for leg in best.prices} == {"a"}
    assert best.exclusions == {("toa", "x"): Exclusion(reason)}
    assert list(best.overrounds) == [("toa", "a")]


def test_two_and_three_way_odds_are_never_compared() -> None:
    two, three = best_of_market(
        H2H,
        [
            quote("a", {"home": 2.0, "draw": 3.4, "away": 3.6}),
            quote("b", {"home": 1.5, "away": 2.4}),
        ],
    )
    assert {two.outcomes, three.outcomes} == {("home", "away"), ("home", "draw", "away")}
    for best in (two, three):
        assert best.combined_overround is not None
        assert best.combined_overround > 0
        assert len({leg.bookmaker for leg in best.prices}) == 1


@pytest.mark.parametrize("keys", [("over",), ("a scorer", "another"), ("home", "draw")])
def test_outcomes_that_may_lack_others_have_prices_and_no_overround(keys: tuple[str, ...]) -> None:
    best = only([quote("a", dict.fromkeys(keys, 1.9)), quote("b", dict.fromkeys(keys, 2.0))])
    assert {leg.bookmaker for leg in best.prices} == {"b"}
    assert best.combined_overround is None
    assert best.overrounds == {}


def test_of_equal_prices_the_one_confirmed_last_stands() -> None:
    older = quote("a", {"over": 1.9, "under": 1.9}, minute=1)
    newer = quote("z", {"over": 1.9, "under": 1.9}, minute=2)
    for order in ([older, newer], [newer, older]):
        best = only(order, OVER_2_5)
        assert {leg.bookmaker for leg in best.prices} == {"z"}
        assert best.oldest_confirmed_at == newer.confirmed_at


def test_without_a_live_leg_there_is_no_price_and_no_overround() -> None:
    best = only([quote("a", {"home": 2.0, "away": 1.9}, standing=Standing.STALE)])
    assert best.prices == ()
    assert best.combined_overround is None
    assert best.oldest_confirmed_at is None


def event(**fields: Any) -> Event:
    told: dict[str, Any] = {
        "id": "e", "sport": "tennis", "competition": "tennis_atp", "home": "H", "away": "A",
        "start_time": NOON, "source_ids": {"toa": "e", "site": "e"},
    }  # fmt: skip
    return Event(**(told | fields))


def odds(bookmaker: str, markets: list[MarketKey], price: float) -> BookmakerOdds:
    outcomes = (Outcome("home", "H", price), Outcome("away", "A", price))
    shown = {key: Market(key, MarketStatus.OPEN, outcomes, 1, NOON) for key in markets}
    return BookmakerOdds(1, "e", "toa", bookmaker, NOON, NOON, None, shown)


def test_lay_markets_are_no_offer_and_lines_are_markets_of_their_own() -> None:
    keys = [H2H, MarketKey("h2h_lay"), MarketKey("spreads", "-1.5"), MarketKey("spreads", "-2")]
    found = best_markets(
        event(), [odds("a", keys, 1.9), odds("b", [H2H], 2.0)], lambda _: Standing.LIVE
    )
    assert [best.key for best in found] == sorted(set(keys) - {MarketKey("h2h_lay")})


@pytest.mark.parametrize(
    ("state", "confirmed_s_ago", "expected"),
    [
        (SourceStatus.UP, 0, Standing.LIVE),
        (SourceStatus.UP, 180, Standing.LIVE),
        (SourceStatus.UP, 181, Standing.STALE),
        (SourceStatus.STALE, 0, Standing.STALE),
        (SourceStatus.DOWN, 0, Standing.STALE),
    ],
)
def test_standing_by_source_and_age(
    state: SourceStatus, confirmed_s_ago: float, expected: Standing
) -> None:
    source = SourceState(source="toa", interval_s=60.0, status=state)
    now = NOON + timedelta(seconds=confirmed_s_ago)
    assert standing(odds("a", [H2H], 2.0), source, Reading(now), NOON) is expected


def test_odds_of_an_event_that_is_missing_are_absent_and_of_no_source_stale() -> None:
    shown = odds("a", [H2H], 2.0)
    missing = BookmakerOdds(
        1, "e", "toa", "a", NOON + timedelta(minutes=1), NOON, None, shown.markets
    )
    source = SourceState(source="toa", interval_s=60.0, status=SourceStatus.UP)
    assert standing(missing, source, Reading(NOON), NOON) is Standing.ABSENT
    assert standing(shown, None, Reading(NOON), NOON) is Standing.STALE


def test_odds_of_what_is_near_are_stale_sooner() -> None:
    paces = ((0.0, 10.0), (3_600.0, 60.0), (None, 900.0))
    source = SourceState(source="toa", interval_s=60.0, paces=paces, status=SourceStatus.UP)
    shown = odds("a", [H2H], 2.0)

    def after(seconds: float, starts_in_s: float) -> Standing:
        now = NOON + timedelta(seconds=seconds)
        return standing(shown, source, Reading(now), now + timedelta(seconds=starts_in_s))

    assert [after(30, -60), after(31, -60)] == [Standing.LIVE, Standing.STALE]
    assert [after(180, 3_600), after(181, 3_600)] == [Standing.LIVE, Standing.STALE]
    assert [after(2_700, 3_601), after(2_701, 3_601)] == [Standing.LIVE, Standing.STALE]


def test_what_overlaps_is_compared_but_never_summed() -> None:
    """Two outcomes of a double chance come true, so a booksum of about 2 means nothing."""
    prices: dict[str, float | None] = {"home_draw": 1.4, "home_away": 1.3, "draw_away": 1.6}
    best = only([quote("a", prices), quote("b", prices)], MarketKey("double_chance"))
    assert len(best.prices) == 3
    assert best.combined_overround is None
    assert best.overrounds == {}


def test_a_combination_of_which_one_comes_true_is_summed() -> None:
    prices: dict[str, float | None] = {
        "over_yes": 2.1, "over_no": 6.4, "under_yes": 9.0, "under_no": 3.5
    }  # fmt: skip
    best = only([quote("a", prices)], MarketKey("totals_btts", "2.5"))
    assert best.combined_overround == pytest.approx(1 / 2.1 + 1 / 6.4 + 1 / 9 + 1 / 3.5 - 1)


def shown(
    bookmaker: str,
    markets: dict[MarketKey, dict[str, float | None]],
    source: str = "toa",
    *,
    minute: float = 0,
) -> BookmakerOdds:
    seen_at = NOON + timedelta(minutes=minute)
    held = {
        key: Market(
            key,
            MarketStatus.OPEN,
            tuple(Outcome(name, name, price, price is not None) for name, price in prices.items()),
            1,
            NOON,
        )
        for key, prices in markets.items()
    }
    return BookmakerOdds(1, "e", source, bookmaker, seen_at, seen_at, None, held)


def live(_: BookmakerOdds) -> Standing:
    return Standing.LIVE


THREE: dict[str, float | None] = {"home": 2.0, "draw": 3.4, "away": 3.6}


@pytest.mark.parametrize(
    ("sport", "competition", "market", "included"),
    [
        ("soccer", "soccer_epl", "h2h", True),
        ("Football", "england premier_league", "h2h_h1", True),
        ("soccer", "soccer_epl", "h2h_m15", True),
        ("soccer", "soccer_epl", "draw_no_bet", False),
        ("soccer", "soccer_epl", "h2h_1up", False),
        ("soccer", "soccer_epl", "spreads", False),
        ("handball", "handball_ehf", "h2h", True),
        ("rugbyunion", "rugbyunion_six_nations", "h2h", True),
        ("Rugby Union", "france_top_14", "h2h", True),
        ("cricket", "cricket_test_match", "h2h", True),
        ("cricket", "cricket_the_hundred", "h2h", False),
        ("icehockey", "icehockey_nhl", "h2h", False),
        ("icehockey", "icehockey_nhl", "h2h_3_way", True),
        ("boxing", "boxing_boxing", "h2h", False),
        ("mma", "mma_mixed_martial_arts", "h2h", False),
        ("baseball", "baseball_mlb", "h2h", False),
        ("americanfootball", "americanfootball_nfl", "h2h", False),
        ("aussierules", "aussierules_afl", "h2h", False),
        ("basketball", "basketball_nba", "h2h_q1", False),
    ],
)
def test_two_prices_of_a_market_with_a_draw_are_incomplete(
    sport: str, competition: str, market: str, included: bool
) -> None:
    """Without this rule, a draw missing on one side made an arbitrage of -7.8 %."""
    key = MarketKey(market)
    found = best_markets(
        event(sport=sport, competition=competition),
        [shown("a", {key: {"home": 1.7, "away": 2.4}}), shown("b", {key: THREE})],
        live,
    )
    left_out = {place: reason for best in found for place, reason in best.exclusions.items()}
    assert left_out == ({("toa", "a"): Exclusion.INCOMPLETE} if included else {})
    assert len(found) == (1 if included else 2)


def test_a_market_whose_draw_was_seen_is_incomplete_without_it_at_that_bookmaker_alone() -> None:
    of = event(sport="icehockey", draws_lost=(("toa", "a", "h2h"),))
    quotes = [shown(name, {H2H: {"home": 1.7, "away": 2.4}}) for name in ("a", "b")]
    quotes.append(shown("a", {H2H: {"home": 1.7, "away": 2.4}}, "site"))
    two, three = best_markets(of, quotes, live)
    assert (two.outcomes, set(two.overrounds)) == (("home", "away"), {("toa", "b"), ("site", "a")})
    assert (three.prices, three.exclusions) == ((), {("toa", "a"): Exclusion.INCOMPLETE})


SCHEDULED, IN_PLAY = EventStatus.SCHEDULED, EventStatus.IN_PLAY


@pytest.mark.parametrize(
    ("told", "left_out"),
    [
        ({"toa": SCHEDULED, "site": IN_PLAY}, {"toa"}),
        ({"toa": IN_PLAY, "site": SCHEDULED}, {"site"}),
        ({"toa": SCHEDULED, "site": SCHEDULED}, set()),
        ({"toa": SCHEDULED}, set()),
        ({"site": IN_PLAY}, set()),  # the other source has no status; the clock is not compared
        ({"toa": SCHEDULED, "gone": IN_PLAY}, set()),  # it carries the event no longer
        ({}, set()),
    ],
)
def test_a_leg_from_before_the_start_is_not_combined_with_one_in_play(
    told: dict[str, EventStatus], left_out: set[str]
) -> None:
    (best,) = best_markets(
        event(told=told),
        [shown("a", {H2H: {"home": 1.9, "away": 1.9}}, source) for source in ("toa", "site")],
        live,
    )
    assert best.exclusions == {(source, "a"): Exclusion.STATUS_DISAGREES for source in left_out}


def test_what_is_too_good_to_be_true_is_suspect_and_no_combined_overround() -> None:
    """In one case game 2 of a twin bill, joined to game 1 in play, made an arbitrage of -35 %."""
    quotes = [
        shown("a", {H2H: {"home": 100.0, "away": 1.02}}, "toa", minute=-2),
        shown("b", {H2H: {"home": 1.02, "away": 15.0}}, "site"),
    ]
    (best,) = best_markets(event(told={"site": IN_PLAY}), quotes, live)
    assert best.combined_overround is None
    assert best.suspect_overround == pytest.approx(1 / 100 + 1 / 15 - 1)
    assert best.suspect_reasons == (
        Suspicion.BELOW_LIMIT, Suspicion.SEVERAL_SOURCES, Suspicion.OLD_LEG,
        Suspicion.IN_PLAY_MIXED,
    )  # fmt: skip
    assert len(best.prices) == 2  # shown for a closer look
    assert len(best.overrounds) == 2


def test_the_limit_is_a_setting_and_what_lies_on_it_is_believed() -> None:
    quotes = [quote("a", {"home": 2.0, "away": 1.8}), quote("b", {"home": 1.8, "away": 2.2})]
    combined = 1 / 2.0 + 1 / 2.2 - 1  # -4.5 %
    for limit, suspect in ((-0.03, True), (-0.05, False), (combined, False), (0.0, True)):
        (best,) = best_of_market(H2H, quotes, suspect_below=limit)
        held, told = best.suspect_overround, best.combined_overround
        assert (held, told) == ((combined, None) if suspect else (None, combined))
        assert best.suspect_reasons == ((Suspicion.BELOW_LIMIT,) if suspect else ())


def test_a_bookmaker_that_gives_money_away_by_itself_is_told() -> None:
    best = only([quote("a", {"home": 2.1, "away": 2.1})])
    assert best.suspect_reasons == (Suspicion.BELOW_LIMIT, Suspicion.ONE_BOOKMAKER)


def test_each_runner_of_an_outright_has_its_best_price_whatever_the_lists() -> None:
    winner = MarketKey("outrights")
    (best,) = best_markets(
        event(sport="golf", home="", away="", title="Masters Winner"),
        [
            shown("a", {winner: {"Ann": 5.0, "Bob": 9.0, "Cid": None}}),
            shown("b", {winner: {"Ann": 6.0, "Dee": 3.0}}),
            shown("c", {winner: {"Ann": None}}),
            shown("d", {MarketKey("outrights_lay"): {"Ann": 9.0}}),
        ],
        live,
    )
    assert [(leg.outcome, leg.price, leg.bookmaker) for leg in best.prices] == [
        ("Ann", 6.0, "b"), ("Bob", 9.0, "a"), ("Dee", 3.0, "b"),
    ]  # fmt: skip
    assert (best.combined_overround, best.suspect_overround, best.overrounds) == (None, None, {})
    assert best.exclusions == {("toa", "c"): Exclusion.INCOMPLETE}


told_by = st.dictionaries(
    st.sampled_from(["toa", "site", "gone"]), st.sampled_from([SCHEDULED, IN_PLAY])
)
any_price = st.one_of(st.none(), st.floats(1.01, 50, allow_nan=False))
any_market = st.sampled_from(
    [
        ("home", "away"),
        ("home", "draw", "away"),
        ("home", "draw"),
        ("over", "under"),
        ("Ann", "Bob"),
        ("Ann",),
    ]
).flatmap(  # outcomes are in canonical order, as the gate leaves them; hypothesis shuffles dicts
    lambda keys: st.fixed_dictionaries(dict.fromkeys(keys, any_price)).map(
        lambda drawn: {key: drawn[key] for key in keys}
    )
)
any_odds = st.builds(
    shown,
    st.sampled_from("abc"),
    st.dictionaries(
        st.sampled_from([H2H, OVER_2_5, MarketKey("outrights"), MarketKey("h2h_lay")]), any_market
    ),
    st.sampled_from(["toa", "site"]),
    minute=st.sampled_from([-5, 0]),
)


@settings(deadline=None)
@given(
    told=told_by,
    sport=st.sampled_from(["soccer", "icehockey", "tennis"]),
    lost=st.sets(
        st.tuples(st.sampled_from(["toa", "site"]), st.sampled_from("abc"), st.just("h2h"))
    ),
    bookmakers=st.lists(any_odds, max_size=6, unique_by=lambda odds: odds.key),
    dead=st.sets(st.tuples(st.sampled_from(["toa", "site"]), st.sampled_from("abc"))),
    limit=st.sampled_from([SUSPECT_BELOW, -0.5, 0.0]),
)
def test_legs_agree_in_outcomes_status_and_life_and_nothing_incredible_is_combined(
    told: dict[str, EventStatus],
    sport: str,
    lost: set[tuple[str, str, str]],
    bookmakers: list[BookmakerOdds],
    dead: set[tuple[str, str]],
    limit: float,
) -> None:
    of = event(sport=sport, competition=sport, told=told, draws_lost=tuple(sorted(lost)))
    by_key = {odds.key: odds for odds in bookmakers}

    def stands(odds: BookmakerOdds) -> Standing:
        return Standing.STALE if odds.key in dead else Standing.LIVE

    found = best_markets(of, bookmakers, stands, suspect_below=limit)
    assert found == best_markets(of, list(reversed(bookmakers)), stands, suspect_below=limit)
    for best in found:
        legs = {(leg.source, leg.bookmaker) for leg in best.prices}
        assert legs.isdisjoint(best.exclusions)
        assert legs.isdisjoint(dead)
        tells = {told.get(source) for source, _ in legs} - {None}
        assert len(tells) <= 1
        combined = best.combined_overround
        assert combined is None or combined >= limit
        assert (best.suspect_overround is None) == (best.suspect_reasons == ())
        assert best.suspect_overround is None or best.suspect_overround < limit
        assert combined is None or best.suspect_overround is None
        if best.key.market == "outrights":
            assert (combined, best.suspect_overround, best.overrounds) == (None, None, {})
            continue
        sets = {tuple(o.key for o in by_key[leg].markets[best.key].outcomes) for leg in legs}
        assert len(sets) <= 1
        if legs:
            assert sets == {best.outcomes}
            assert len(best.prices) == len(best.outcomes)
            if best.key == H2H and best.outcomes == ("home", "away"):
                assert sport != "soccer"
                assert not {(*leg, "h2h") for leg in legs} & lost
