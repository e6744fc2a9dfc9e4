"""The gate: it leaves out the smallest wrong part, counts it, and keeps the neighbours exactly."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from odds_service.errors import SourceError
from odds_service.model.event import EventStatus
from odds_service.model.market import (
    MarketKey,
    MarketStatus,
    ObservedMarket,
    Outcome,
    observed_market,
)
from odds_service.model.observation import (
    ANY,
    Completeness,
    Observation,
    ObservedBookmaker,
    ObservedEvent,
    Scope,
    UnmappedSample,
)
from odds_service.model.text import as_text, is_plain, is_text, plain_name
from odds_service.sources.base import Offer, Pull
from odds_service.sources.boundary import Gate, Limits
from odds_service.sources.fields import MOST_NAMES
from tests.support.examples import examples
from tests.support.observations import NOON, observe, observed_event

H2H, TOTALS = MarketKey("h2h"), MarketKey("totals", "2.5")
EVENT = observed_event("e", {"b": {H2H: {"home": 1.5, "away": 2.6}, TOTALS: {"over": 1.9}}})
OTHER = observed_event("other", {"b": {H2H: {"home": 2.0, "away": 1.9}}})
(SHOWN,) = EVENT.bookmakers
LATER = NOON + timedelta(seconds=1)


def passed(given: object, limits: Limits = Limits()) -> tuple[Observation, Counter[str]]:
    """Return what the gate lets through of an observation of `toa`, and its counts."""
    problems: Counter[str] = Counter()
    gate = Gate("toa", limits)
    observation = gate.check(given, problems, started_at=NOON, observed_at=LATER)
    again = gate.check(given, Counter(), started_at=NOON, observed_at=LATER)
    assert again == observation  # the quick way gives what the thorough one gave
    assert observation.problems == problems
    return observation, problems


def refusal(given: object) -> tuple[str, Counter[str]]:
    problems: Counter[str] = Counter()
    with pytest.raises(SourceError) as refused:
        Gate("toa").check(given, problems, started_at=NOON, observed_at=LATER)
    return refused.value.kind, problems


def with_market(key: Any, market: Any, beside: ObservedEvent = EVENT) -> Observation:
    """Return two events; the first one's bookmaker has one market more, or another one."""
    (shown,) = beside.bookmakers
    shown = replace(shown, markets={**shown.markets, key: market})
    return observe([replace(beside, bookmakers=(shown,)), OTHER])


def market(*outcomes: Any, key: Any = MarketKey("btts"), **fields: Any) -> ObservedMarket:
    return ObservedMarket(
        key, fields.pop("status", MarketStatus.OPEN), tuple(outcomes), *fields.values()
    )


YES, NO = Outcome("yes", "Yes", 2.0), Outcome("no", "No", 1.8)


def test_what_is_right_passes_unchanged() -> None:
    observation = observe([EVENT, OTHER])
    assert passed(observation) == (observation, Counter())


@pytest.mark.parametrize(
    "given",
    [None, {}, {"events": []}, [EVENT], "text", 7, EVENT, object(), Observation],
    ids=lambda given: type(given).__name__,
)
def test_what_is_no_observation_is_refused(given: object) -> None:
    assert refusal(given) == ("bad_observation", Counter())


@pytest.mark.parametrize(
    "fields",
    [
        {"source": "another"},
        {"source": None},
        {"scope": None},
        {"scope": Scope(listing=7)},  # type: ignore[arg-type]  # what is tested
        {"scope": Scope(listing="a\0b")},
        {"scope": Scope(events=["e"])},  # type: ignore[arg-type]  # what is tested
        {"completeness": "complete"},
        {"events": [EVENT]},
        {"events": None},
    ],
    ids=str,
)
def test_an_observation_of_wrong_types_is_refused(fields: dict[str, Any]) -> None:
    assert refusal(replace(observe([EVENT]), **fields))[0] == "bad_observation"


@pytest.mark.parametrize("prices", ["2.0", [2.0], {}, True, 2j], ids=str)
def test_a_price_of_another_type_is_a_bug_of_the_source(prices: Any) -> None:
    odd = with_market(MarketKey("btts"), market(Outcome("yes", "Yes", prices), NO))
    observation, problems = passed(odd)
    assert problems == {"bad_market": 1, "bad_observation": 1}
    assert observation.events[1] == OTHER
    (left,) = observation.events[0].bookmakers
    assert left == replace(SHOWN, unreadable=frozenset({"btts"}))
    alone = replace(SHOWN, markets={H2H: market(Outcome("home", "Home", prices), key=H2H)})
    kind, problems = refusal(observe([replace(EVENT, bookmakers=(alone,))]))
    assert kind == "bad_observation"
    assert problems == {"bad_market": 1, "bad_observation": 1}


@pytest.mark.parametrize("markets", [[], [market(YES, NO)], None, "h2h"], ids=str)
def test_markets_that_are_no_mapping_lose_their_bookmaker(markets: Any) -> None:
    odd = replace(
        EVENT, bookmakers=(replace(SHOWN, markets=markets), replace(SHOWN, bookmaker="c"))
    )
    observation, problems = passed(observe([odd, OTHER]))
    assert problems == {"bad_bookmaker": 1, "bad_observation": 1}
    (event, other) = observation.events
    assert other == OTHER
    assert [shown.bookmaker for shown in event.bookmakers] == ["c"]
    assert event.unreadable == {"b"}
    only = replace(EVENT, bookmakers=(replace(SHOWN, markets=markets),))
    assert refusal(observe([only]))[0] == "bad_observation"


BAD_PRICES = (float("nan"), float("inf"), -float("inf"), 0.0, 1.0, -2.0, 1e9, 0, 10**400)


@pytest.mark.parametrize(
    "odd",
    [
        *(market(Outcome("yes", "Yes", price), NO) for price in BAD_PRICES),
        market(YES, YES),
        market(YES, Outcome("yes", "Other", 3.0)),
        market(YES, None),
        market(Outcome("", "Yes", 2.0)),
        market(Outcome("y" * 257, "Yes", 2.0)),
        market(Outcome("yes", "Y" * 257, 2.0)),
        market(Outcome("y\x1bs", "Yes", 2.0)),
        market(Outcome("\u202eyes", "Yes", 2.0)),
        market(Outcome("half \ud83d", "Yes", 2.0)),
        market(Outcome("yes", "Yes", 2.0, 1)),  # type: ignore[arg-type]  # what is tested
        market(YES, NO, status=MarketStatus.REMOVED),
        market(YES, NO, status=1),
        market(YES, NO, key=H2H),
        market(*(Outcome(f"{n}", "runner", 2.0) for n in range(2_001))),
        market(*(Outcome(f"{n:0200}", "r" * 256, 2.0) for n in range(600))),
        market(*(Outcome(f"{n}", "é" * 250, 2.0) for n in range(520))),
        ObservedMarket(MarketKey("btts"), MarketStatus.OPEN, [YES]),  # type: ignore[arg-type]
        None,
        {"outcomes": []},
    ],
    ids=lambda odd: repr(odd)[-60:],
)
def test_a_market_that_is_wrong_is_unreadable_and_its_neighbours_stay(odd: Any) -> None:
    observation, problems = passed(with_market(MarketKey("btts"), odd))
    assert problems["bad_market"] == 1
    assert not problems.keys() - {"bad_market", "bad_observation"}
    event, other = observation.events
    assert other == OTHER
    assert event.bookmakers == (replace(SHOWN, unreadable=frozenset({"btts"})),)


@pytest.mark.parametrize(
    ("key", "lost"),
    [
        (MarketKey("totals", "2.50"), "totals"),
        (MarketKey("totals", "two"), "totals"),
        (MarketKey("totals", "nan"), "totals"),
        (MarketKey("totals", "1e9"), "totals"),
        (MarketKey("totals", 2.5), "totals"),  # type: ignore[arg-type]  # what is tested
        (MarketKey("player_points", "1.5", "p" * 257), "player_points"),
        (MarketKey("player_points", "1.5", "p\u2066"), "player_points"),
        (MarketKey(""), ANY),
        (MarketKey(ANY), ANY),
        (MarketKey("m" * 257), ANY),
        (MarketKey("m\n"), ANY),
        ("btts", ANY),
        (None, ANY),
    ],
    ids=repr,
)
def test_a_market_whose_key_is_wrong_is_unreadable(key: Any, lost: str) -> None:
    observation, problems = passed(with_market(key, market(YES, NO, key=key)))
    assert problems["bad_market"] == 1
    (shown,) = observation.events[0].bookmakers
    assert shown == replace(SHOWN, unreadable=frozenset({lost}))


def test_the_largest_market_passes() -> None:
    largest = market(*(Outcome(f"{n:04}", f"runner {n}", 2.0) for n in range(2_000)))
    observation, problems = passed(with_market(MarketKey("btts"), largest))
    assert not problems
    assert observation.events[0].bookmakers[0].markets[MarketKey("btts")] == largest


def test_outcomes_are_put_into_canonical_order_and_numbers_made_prices() -> None:
    odd = market(Outcome("no", "No", 2), Outcome("yes", "Yes", None))
    observation, problems = passed(with_market(MarketKey("btts"), odd))
    assert not problems
    kept = observation.events[0].bookmakers[0].markets[MarketKey("btts")]
    assert kept.outcomes == (Outcome("yes", "Yes", None, active=False), Outcome("no", "No", 2.0))


class Evil(tzinfo):
    """A zone whose methods all raise."""

    def utcoffset(self, _at: datetime | None) -> timedelta:
        raise RuntimeError("boo")

    def dst(self, _at: datetime | None) -> timedelta:
        raise RuntimeError("boo")

    def tzname(self, _at: datetime | None) -> str:
        raise RuntimeError("boo")


BAD_TIMES: tuple[Any, ...] = (
    datetime(2026, 8, 4, 12),  # noqa: DTZ001  # what is tested
    datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
    datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=12))),
    datetime(1969, 12, 31, 23, 59, tzinfo=UTC),
    datetime(2100, 1, 1, tzinfo=UTC),
    datetime(2026, 8, 4, tzinfo=Evil()),
    1_700_000_000,
    1_700_000_000_000,
    "2026-08-04T12:00:00Z",
    True,
)
bad_times = pytest.mark.parametrize("at", BAD_TIMES, ids=lambda at: repr(at)[:50])


@bad_times
def test_a_wrong_time_is_dropped_and_the_prices_stay(at: Any) -> None:
    shown = replace(
        SHOWN,
        source_updated_at=at,
        markets={H2H: replace(SHOWN.markets[H2H], source_updated_at=at)},
    )
    given = observe([replace(EVENT, bookmakers=(shown,)), OTHER])
    observation, problems = passed(replace(given, started_at=at, observed_at=at))
    assert problems == {"bad_time": 4}
    assert (observation.started_at, observation.observed_at) == (NOON, LATER)
    assert observation.events[1] == OTHER
    assert observation.events[0].bookmakers[0].markets == {H2H: SHOWN.markets[H2H]}
    assert observation.events[0].bookmakers[0].source_updated_at is None


@bad_times
def test_an_event_without_a_start_is_left_out(at: Any) -> None:
    observation, problems = passed(observe([replace(EVENT, start_time=at), OTHER]))
    assert problems["bad_event"] == 1
    assert observation.events == (OTHER,)
    assert observation.unreadable == {"e"}


def test_times_of_other_zones_are_converted() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=5)))
    observation, problems = passed(observe([replace(EVENT, start_time=there)]))
    assert not problems
    assert observation.events[0].start_time == NOON
    assert observation.events[0].start_time.tzinfo is UTC


@pytest.mark.parametrize("field", ["source_event_id", "sport", "competition", "shared_ids"])
@pytest.mark.parametrize(
    "text", ["a\0b", "half \ud83d", "\x1b]0;x\x07", "\u202ea", "a\n", "x" * 257, 7], ids=ascii
)
def test_an_id_or_key_that_holds_what_is_barred_loses_its_event(field: str, text: Any) -> None:
    value = {"sr": text} if field == "shared_ids" else text
    observation, problems = passed(observe([replace(EVENT, **{field: value}), OTHER]))
    assert problems["bad_event"] == 1
    assert observation.events == (OTHER,)
    assert observation.unreadable == {ANY if field == "source_event_id" else "e"}


@pytest.mark.parametrize("name", ["", ANY, "b\0", "\u2067b", "b" * 257, None], ids=ascii)
def test_a_bookmaker_without_a_proper_name_is_unreadable(name: Any) -> None:
    odd = replace(EVENT, bookmakers=(SHOWN, replace(SHOWN, bookmaker=name)))
    observation, problems = passed(observe([odd, OTHER]))
    assert problems["bad_bookmaker"] == 1
    event, other = observation.events
    assert (event.bookmakers, other) == ((SHOWN,), OTHER)
    assert event.unreadable == {name if name == "b" else ANY}


@pytest.mark.parametrize(
    ("shown", "kept"),
    [
        ("Reds\x1b[31m FC", "Reds[31m FC"),
        ("Reds\tFC", "Reds FC"),
        ("Reds\r\nFC", "Reds FC"),
        ("\u202eReds\u2069", "Reds"),
        ("Reds\0", "Reds"),
        ("Reds \ud83d", "Reds "),
    ],
    ids=ascii,
)
def test_control_characters_are_taken_out_of_names_and_counted(shown: str, kept: str) -> None:
    odd = with_market(MarketKey("btts"), market(Outcome("yes", shown, 2.0), NO))
    named = replace(odd.events[0], home=shown, away=shown)
    observation, problems = passed(replace(odd, events=(named, OTHER)))
    assert problems == {"bad_character": 3}
    event, other = observation.events
    assert (event.home, event.away, other) == (kept, kept, OTHER)
    assert event.bookmakers[0].markets[MarketKey("btts")].outcomes[0].name == kept


@pytest.mark.parametrize("text", ["מכבי תל אביב", "الأهلي\u200f", "Ünión 🏆", "東京", "a\u200db"])
def test_names_of_all_scripts_stay_whole(text: str) -> None:
    observation, problems = passed(observe([replace(EVENT, home=text)]))
    assert not problems
    assert observation.events[0].home == text


def test_a_name_of_megabytes_loses_its_event() -> None:
    observation, problems = passed(observe([replace(EVENT, home="x" * 5_000_000), OTHER]))
    assert (observation.events, problems) == ((OTHER,), {"bad_event": 1})


def test_an_event_that_has_ended_is_not_shown() -> None:
    observation, problems = passed(observe([replace(EVENT, status=EventStatus.ENDED), OTHER]))
    assert (observation.events, problems) == ((OTHER,), {"bad_event": 1})


def test_bounds_cut_a_listing_to_a_partial_one() -> None:
    late = replace(OTHER, start_time=OTHER.start_time + timedelta(days=1))
    observation, problems = passed(observe([late, EVENT]), Limits(max_events=1, max_markets=1))
    assert problems == {"too_many_events": 1, "too_many_markets": 1}
    assert observation.completeness is Completeness.PARTIAL
    assert observation.reason == "cut to the first 1 event"
    (event,) = observation.events
    (shown,) = event.bookmakers
    assert event.source_event_id == "e"
    assert shown.markets.keys() == {H2H}
    assert shown.unreadable == {"totals"}


def test_an_event_that_comes_twice_is_counted_and_the_later_one_stands() -> None:
    newer = replace(EVENT, bookmakers=(replace(SHOWN, source_updated_at=NOON, markets={}),))
    for events in ([EVENT, newer, OTHER], [newer, EVENT, OTHER]):
        observation, problems = passed(observe(events))
        assert problems == {"repeated_event": 1}
        assert observation.events == (newer, OTHER)
    dearer = observed_event("e", {"b": {H2H: {"home": 1.6}}})
    assert passed(observe([EVENT, dearer]))[0].events == passed(observe([dearer, EVENT]))[0].events


def test_a_bookmaker_that_comes_twice_is_counted_and_the_first_stands() -> None:
    twice = replace(EVENT, bookmakers=(SHOWN, replace(SHOWN, markets={})))
    observation, problems = passed(observe([twice]))
    assert problems == {"repeated_bookmaker": 1}
    assert observation.events == (EVENT,)


@pytest.mark.parametrize(
    "given",
    [
        observe([], unreadable=frozenset({ANY})),
        observe([], unreadable=frozenset({"e"}), completeness=Completeness.PARTIAL),
        observe([replace(EVENT, source_event_id="")]),
        observe([replace(EVENT, home="x" * 300), replace(OTHER, home="x" * 300)]),
    ],
    ids=range(4),
)
def test_an_answer_of_which_nothing_could_be_read_has_failed(given: Observation) -> None:
    assert refusal(given)[0] == "wrong_shape"


def test_an_empty_answer_is_none_that_could_not_be_read() -> None:
    observation = observe([])
    assert passed(observation) == (observation, Counter())


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"quota_left": -1}, {"quota_left": None}),
        ({"quota_left": 2**64}, {"quota_left": None}),
        ({"quota_left": "many"}, {"quota_left": None}),
        ({"cost": float("nan")}, {"cost": None}),
        ({"cost": float("inf")}, {"cost": None}),
        ({"cost": 1e9}, {"cost": None}),
        ({"cost": -1.0}, {"cost": None}),
        ({"mapped": -1}, {"mapped": 0}),
        ({"mapped": 1.5}, {"mapped": 0}),
        ({"unmapped": {"a": -1}}, {"unmapped": {}}),
        ({"unmapped": None}, {"unmapped": {}}),
        ({"problems": {"a": 2**70}}, {}),
        ({"problems": [1]}, {}),
    ],
    ids=str,
)
def test_a_number_out_of_bounds_is_dropped(fields: dict[str, Any], kept: dict[str, Any]) -> None:
    observation, problems = passed(replace(observe([EVENT]), **fields))
    assert problems == {"bad_count": 1}
    assert observation.events == (EVENT,)
    assert {name: getattr(observation, name) for name in kept} == kept


SAMPLE = UnmappedSample(sport="soccer", event_id="7", event_name="A – B", outcomes=("1", "X"))


def test_samples_of_unmapped_markets_pass() -> None:
    seen = replace(observe([EVENT]), unmapped={"Corners": 1}, unmapped_samples={"Corners": SAMPLE})
    assert passed(seen) == (seen, Counter())


@pytest.mark.parametrize(
    "given",
    [
        None,
        [SAMPLE],
        {"Corners": "a text"},
        {"Corners": replace(SAMPLE, outcomes=["1"])},
        {"Corners": replace(SAMPLE, outcomes=None)},
        {"Corners": replace(SAMPLE, sport=7)},
        {"Corners": replace(SAMPLE, sport="soc\x1bcer")},
    ],
    ids=str,
)
def test_a_wrong_sample_is_left_out(given: Any) -> None:
    observation, problems = passed(replace(observe([EVENT]), unmapped_samples=given))
    assert problems["bad_sample"] == 1
    assert observation.unmapped_samples == {}
    assert observation.events == (EVENT,)


def test_the_texts_of_samples_are_bounded_and_can_be_shown() -> None:
    hostile = "\x1b[31m\u202e\0\ud800<b>" + "x" * 10_000
    many = {
        f"{number} {hostile}": replace(
            SAMPLE, event_id=hostile, event_name=hostile, outcomes=(hostile,) * 1_000
        )
        for number in range(1_000)
    }
    observation, _ = passed(replace(observe([EVENT]), unmapped_samples=many))
    kept = observation.unmapped_samples
    assert len(kept) == MOST_NAMES
    for name, each in kept.items():
        texts = (name, each.event_id, each.event_name, *each.outcomes)
        assert all(is_text(text) and is_plain(text) for text in texts)
        assert len(name) <= 100
        assert len(each.event_id) <= 256
        assert len(each.event_name) <= 200
        assert len(each.outcomes) == 10
        assert all(len(text) <= 60 for text in each.outcomes)


def test_problems_that_a_source_makes_up_are_bounded() -> None:
    made_up = {f"{n}\0" + "x" * 1_000: 1 for n in range(10_000)}
    observation, problems = passed(replace(observe([EVENT]), problems=made_up))
    assert problems.total() == 10_000
    assert len(problems) <= 201
    assert all(is_text(name) and len(name) <= 100 for name in observation.problems)


def test_the_source_may_go_on_with_the_mappings_that_it_gave() -> None:
    markets = dict(SHOWN.markets)
    given = observe([replace(EVENT, bookmakers=(replace(SHOWN, markets=markets),))])
    observation, _ = passed(given)
    markets[MarketKey("x")] = None  # type: ignore[assignment]  # what a plug-in may do
    assert observation.events == (EVENT,)


# -- offers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [None, [], (), {}, Offer([Pull(key="a")])], ids=repr)  # type: ignore[arg-type]
def test_what_is_no_offer_is_refused(given: object) -> None:
    with pytest.raises(SourceError) as refused:
        Gate("toa").offer(given)
    assert refused.value.kind == "bad_observation"


@pytest.mark.parametrize(
    "pull",
    [
        None,
        "soccer_epl",
        Pull(key=""),
        Pull(key=7),  # type: ignore[arg-type]  # what is tested
        Pull(key="a\0b"),
        Pull(key="k" * 257),
        Pull(key="b", in_play=1),  # type: ignore[arg-type]  # what is tested
        Pull(key="b", shared_ids={"sr": 1}),  # type: ignore[dict-item]  # what is tested
    ],
    ids=lambda pull: repr(pull)[:50],
)
def test_a_pull_that_is_wrong_is_left_out(pull: Any) -> None:
    good = Pull(key="a")
    offer = Gate("toa").offer(Offer((pull, good)))
    assert offer.pulls == (good,)
    assert offer.problems["bad_pull"] == 1
    with pytest.raises(SourceError, match="none of the pulls"):
        Gate("toa").offer(Offer((pull,)))


@bad_times
def test_a_pull_that_starts_at_no_time_is_as_one_without_a_start(at: Any) -> None:
    offer = Gate("toa").offer(Offer((Pull(key="a", start_time=at),)))
    assert offer == Offer((Pull(key="a"),), {"bad_time": 1})


def test_a_pull_of_no_cost_that_can_be_costs_what_is_usual() -> None:
    for cost in (float("nan"), float("inf"), -1.0, "1"):
        offer = Gate("toa").offer(Offer((Pull(key="a", cost=cost),)))  # type: ignore[arg-type]
        assert offer == Offer((Pull(key="a"),), {"bad_count": 1})


def test_a_pull_that_comes_twice_is_counted() -> None:
    offer = Gate("toa").offer(Offer((Pull(key="a"), Pull(key="a", cost=2.0))))
    assert offer == Offer((Pull(key="a"),), {"repeated_pull": 1})


# -- kinds of fault ----------------------------------------------------------------------------

ODD: tuple[Any, ...] = (
    None, object(), EVENT, SHOWN, YES, H2H, market(YES, NO), *BAD_TIMES, *BAD_PRICES,
)  # fmt: skip
leaves: st.SearchStrategy[Any] = (
    st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.binary(max_size=3)
    | st.datetimes()
    # By their places: hypothesis writes down, and compares, what it chooses from.
    | st.sampled_from(range(len(ODD))).map(ODD.__getitem__)
)
anything: st.SearchStrategy[Any] = (
    leaves
    | st.lists(leaves, max_size=3)
    | st.lists(leaves, max_size=3).map(tuple)
    | st.dictionaries(st.text(max_size=3) | st.just(H2H), leaves, max_size=3)
)


def places(value: Any) -> list[tuple[Any, ...]]:
    """Return the paths to all parts of an observation."""
    found: list[tuple[Any, ...]] = []
    parts: list[tuple[Any, Any]] = []
    if isinstance(value, Struct):
        parts = [(name, getattr(value, name)) for name in value.__struct_fields__]
    elif isinstance(value, Mapping):
        parts = list(value.items())
    elif isinstance(value, tuple):
        parts = list(enumerate(value))
    for name, part in parts:
        found += [(name,), *((name, *rest) for rest in places(part))]
    return found


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    name, *rest = path
    if isinstance(value, Struct):
        return replace(value, **{name: put(getattr(value, name), tuple(rest), new)})
    if isinstance(value, Mapping):
        return {**value, name: put(value[name], tuple(rest), new)}
    parts = list(value)
    parts[name] = put(parts[name], tuple(rest), new)
    return type(value)(*parts) if isinstance(value, MarketKey) else tuple(parts)


FULL = replace(
    observe(
        [
            replace(
                EVENT,
                bookmakers=(replace(SHOWN, source_updated_at=NOON),),
                shared_ids={"sr": "1"},
            )
        ]
    ),
    unmapped={"Corners": 1},
    unmapped_samples={"Corners": SAMPLE},
)
PLACES = places(FULL)


@given(number=st.sampled_from(range(len(PLACES))), value=anything)
@settings(max_examples=examples(100), deadline=None)
def test_anything_in_any_place_leaves_the_neighbours_exact(number: int, value: Any) -> None:
    place = PLACES[number]
    odd = put(FULL, place, value)
    if type(odd.events) is tuple:
        odd = replace(odd, events=(*odd.events, OTHER))
    problems: Counter[str] = Counter()
    try:
        observation = Gate("toa").check(odd, problems, started_at=NOON, observed_at=LATER)
    except SourceError:
        assert place[0] in {"source", "scope", "completeness", "events"}
        return
    if observation.completeness is not Completeness.FAILED:
        assert OTHER in observation.events or any(
            event.source_event_id == "other" for event in observation.events
        )
    if problems.keys() - {"bad_time", "bad_count", "bad_character", "repeated_event"}:
        lost = observation.unreadable or any(
            event.unreadable or any(shown.unreadable for shown in event.bookmakers)
            for event in observation.events
        )
        assert lost or place[0] in {"problems", "unmapped_samples"}


texts = st.text(st.characters(categories=("L", "Cs", "Cc", "Cf")), max_size=4)


@given(st.lists(texts, max_size=4))
@settings(max_examples=examples(60), deadline=None)
def test_text_is_what_can_be_encoded_and_has_no_nul(parts: list[str]) -> None:
    def encodes(text: str) -> bool:
        try:
            return b"\0" not in text.encode()
        except UnicodeEncodeError:
            return False

    assert is_text(*parts) == all(map(encodes, parts))
    assert all(is_text(as_text(part)) for part in parts)
    assert all(as_text(part) == part for part in parts if is_text(part))
    assert all(is_plain(plain_name(part)) and is_text(plain_name(part)) for part in parts)
    assert all(plain_name(part) == part for part in parts if is_plain(part))


def test_a_readers_market_is_one() -> None:
    """The builder that the readers use makes valid markets."""
    built = observed_market(MarketKey("btts"), [NO, YES])
    assert passed(with_market(MarketKey("btts"), built))[1] == Counter()
    shown = ObservedBookmaker(bookmaker="b", markets={MarketKey("btts"): built})
    assert shown.unreadable == frozenset()
