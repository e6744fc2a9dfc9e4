"""Differences stand for the whole: the same observations arrive, and the same log comes of them."""

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from odds_service.model.market import (
    MarketKey,
    MarketStatus,
    ObservedMarket,
    ObservedMarkets,
    Outcome,
    times_of,
)
from odds_service.model.observation import ANY, Completeness, Observation, ObservedEvent, Scope
from odds_service.workers.messages import BookmakerDelta, EventDelta, RepricedMarket
from odds_service.workers.mirror import Doubt, Mirror
from odds_service.workers.sending import KEPT_S, Sent
from tests.detection.offers import offers
from tests.support.observations import NOON, Book, Offer, cached, observe, observed_event, offered

H2H, TOTALS = MarketKey("h2h"), MarketKey("totals", "2.5")
EVENT = observed_event(
    "e", {"b": {H2H: {"home": 1.5, "away": 2.6}, TOTALS: {"over": 1.9, "under": 1.8}}, "c": {}}
)

encoder, decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(EventDelta)


class Wire:
    """Both ends of the differences of one source, with the bytes between them.

    Args:
        shares: whether equal keys are one object, as behind the gate.
    """

    def __init__(self, *, shares: bool = True) -> None:
        self.sent, self.mirror = Sent(), Mirror()
        self.bytes = 0
        self._keys: dict[MarketKey, MarketKey] | None = {} if shares else None

    def pass_on(self, event: ObservedEvent, now_s: float = 0.0) -> ObservedEvent:
        if self._keys is not None:
            event = with_keys(event, self._keys)
        body = encoder.encode(self.sent.delta(event, now_s))
        self.bytes += len(body)
        return self.mirror.take(decoder.decode(body))

    def pass_whole(self, event: ObservedEvent) -> ObservedEvent:
        """Pass an event on, and return it with the times that its markets have."""
        return whole(self.pass_on(event))

    def pass_all(self, observation: Observation) -> Observation:
        events = tuple(map(self.pass_on, observation.events))
        return replace(observation, events=events)


def with_keys(event: ObservedEvent, known: dict[MarketKey, MarketKey]) -> ObservedEvent:
    """Return an event whose keys are the known ones, where these are equal."""
    books = []
    for shown in event.bookmakers:
        keys = [known.setdefault(MarketKey(*key), MarketKey(*key)) for key in shown.markets]
        markets = {
            key: replace(market, key=key)
            for key, market in zip(keys, shown.markets.values(), strict=True)
        }
        books.append(replace(shown, markets=markets))
    return replace(event, bookmakers=tuple(books))


def whole(event: ObservedEvent) -> ObservedEvent:
    """Return an event whose markets have the times that are kept beside them."""
    books = []
    for shown in event.bookmakers:
        assert isinstance(shown.markets, ObservedMarkets)
        timed = shown.markets.timed()
        assert [market.source_updated_at for market in timed.values()] == times_of(shown.markets)
        books.append(replace(shown, markets=timed))
    return replace(event, bookmakers=tuple(books))


def at_times(event: ObservedEvent, minute: int | None, apart: bool) -> ObservedEvent:
    """Return an event whose markets have times, all the same one unless `apart`."""
    if minute is None:
        return event
    at = NOON + timedelta(minutes=minute)
    books = []
    for shown in event.bookmakers:
        markets = {
            key: msgspec.structs.replace(
                market, source_updated_at=at + timedelta(seconds=place if apart else 0)
            )
            for place, (key, market) in enumerate(shown.markets.items())
        }
        books.append(replace(shown, markets=markets, source_updated_at=at if apart else None))
    return replace(event, bookmakers=tuple(books))


looks = st.fixed_dictionaries(
    {
        "offer": offers,
        "minute": st.one_of(st.none(), st.integers(0, 3)),
        "apart": st.booleans(),
        "markets": st.sampled_from([None, frozenset({"h2h"}), frozenset({"h2h", "totals"})]),
        "elsewhere": st.sampled_from([None, frozenset[str](), frozenset({"player_points"})]),
        "complete": st.booleans(),
        "unreadable": st.sampled_from([frozenset[str](), frozenset({"h2h"}), frozenset({ANY})]),
        "status": st.sampled_from(["", "Other name"]),
        "again": st.booleans(),  # show the offer before once more, with these other fields
        "arrives": st.booleans(),  # or is left out by the service, as when a source is overloaded
    }
)


def observation_of(look: dict[str, object], before: Offer, number: int) -> Observation:
    offer = before if look["again"] else look["offer"]
    events = []
    for event in offered(offer):  # type: ignore[arg-type]  # drawn above
        timed = at_times(event, look["minute"], bool(look["apart"]))  # type: ignore[arg-type]
        books = [replace(b, unreadable=look["unreadable"]) for b in timed.bookmakers]
        events.append(replace(timed, bookmakers=tuple(books), title=look["status"]))
    scope = Scope(listing="soccer_epl", markets=look["markets"], elsewhere=look["elsewhere"])  # type: ignore[arg-type]
    completeness = Completeness.COMPLETE if look["complete"] else Completeness.PARTIAL
    return observe(events, number, scope=scope, completeness=completeness)


@given(st.lists(looks, max_size=8), st.booleans())
def test_the_log_of_differences_is_that_of_whole_observations(
    series: list[dict[str, object]], shares: bool
) -> None:
    wire, plain, mirrored = Wire(shares=shares), Book(), Book()
    offer: Offer = {}
    for number, look in enumerate(series):
        observation = observation_of(look, offer, number)
        offer = offer if look["again"] else look["offer"]  # type: ignore[assignment]
        passed = wire.pass_all(observation)
        assert replace(passed, events=tuple(map(whole, passed.events))) == observation
        if look["arrives"]:
            plain.see(observation)
            mirrored.see(passed)
            assert mirrored.log == plain.log
            assert mirrored.events == plain.events


shown_markets = st.builds(
    lambda key, prices, names, active, status, minute: ObservedMarket(
        key,
        status,
        tuple(
            Outcome(*outcome, price, active)
            for outcome, price in zip(
                (("over", names[0]), ("under", names[1])), prices, strict=True
            )
        ),
        None if minute is None else NOON + timedelta(minutes=minute),
    ),
    st.sampled_from([MarketKey("totals", line) for line in ("1.5", "2.5", "3.5")]),
    st.tuples(*[st.sampled_from([None, 1.5, 2.0])] * 2),
    st.sampled_from([("Over", "Under"), ("Over", "Unter")]),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([MarketStatus.OPEN, MarketStatus.OPEN, MarketStatus.SUSPENDED]),
    st.sampled_from([0, 1, 2, None]),
)


@given(
    st.lists(st.lists(shown_markets, unique_by=lambda market: market.key, max_size=3), max_size=8),
    st.booleans(),
)
def test_markets_of_any_order_arrive_as_they_are_shown(
    series: list[list[ObservedMarket]], shares: bool
) -> None:
    wire = Wire(shares=shares)
    for markets in series:
        by_key = {market.key: market for market in markets}
        book = replace(EVENT.bookmakers[0], markets=by_key)
        shown = replace(EVENT, bookmakers=(book,))
        assert wire.pass_whole(shown) == shown


LINES = [MarketKey("totals", line) for line in ("1.5", "2.5", "3.5")]
EDITS = ("stay", "stay", "time", "price", "price, time stays", "name", "gone")


def edited(market: ObservedMarket | None, key: MarketKey, edit: str, at: int) -> ObservedMarket:
    """Return a market after an edit of a look; `at` is the number of the look."""
    time = NOON + timedelta(seconds=at)
    price = 1.5 + at / 100
    if market is None:
        return ObservedMarket(key, MarketStatus.OPEN, (Outcome("over", "Over", price),), time)
    if edit == "time":
        return replace(market, source_updated_at=time)
    if edit.startswith("price"):
        outcomes = (replace(market.outcomes[0], price=price),)
        stays = edit != "price"
        return replace(
            market,
            outcomes=outcomes,
            source_updated_at=market.source_updated_at if stays else time,
        )
    if edit == "name":
        return replace(market, outcomes=(replace(market.outcomes[0], name=f"Over {at}"),))
    return market


@given(
    st.lists(
        st.tuples(
            st.tuples(*[st.sampled_from(EDITS)] * len(LINES)),
            st.booleans(),  # every market gets a new time, as most answers of some sources do
            st.booleans(),  # the bookmaker has a time of its own
            st.sampled_from([True, True, False]),  # it arrives
        ),
        max_size=10,
    )
)
def test_edits_of_the_look_before_arrive_with_their_times(
    series: list[tuple[tuple[str, ...], bool, bool, bool]],
) -> None:
    wire, plain, mirrored = Wire(), Book(), Book()
    markets: dict[MarketKey, ObservedMarket] = {}
    for at, (edits, all_retimed, own_time, arrives) in enumerate(series, 1):
        for key, edit in zip(LINES, edits, strict=True):
            market = edited(markets.pop(key, None), key, edit, at)
            if edit != "gone":
                markets[key] = edited(market, key, "time", at) if all_retimed else market
        book = replace(
            EVENT.bookmakers[0],
            markets=dict(markets),
            source_updated_at=NOON + timedelta(seconds=at) if own_time else None,
        )
        observation = observe([replace(EVENT, bookmakers=(book,))], at)
        passed = wire.pass_all(observation)
        assert tuple(map(whole, passed.events)) == observation.events
        if arrives:
            plain.see(observation)
            mirrored.see(passed)
            assert mirrored.log == plain.log
            assert mirrored.events == plain.events


def test_what_has_not_changed_is_the_same_object_and_a_few_bytes() -> None:
    wire = Wire()
    first = wire.pass_on(EVENT)
    whole = wire.bytes
    later = replace(EVENT, bookmakers=tuple(replace(b) for b in EVENT.bookmakers))
    again = wire.pass_on(later)
    assert again.bookmakers is first.bookmakers
    assert wire.bytes - whole < whole / 20


def test_a_moved_time_of_all_markets_leaves_their_number_and_costs_few_bytes() -> None:
    wire = Wire()
    first = wire.pass_on(at_times(EVENT, 1, apart=False))
    before = wire.bytes
    moved = at_times(EVENT, 2, apart=False)
    second = wire.pass_on(moved)
    assert whole(second) == moved
    one, other = (event.bookmakers[0].markets for event in (first, second))
    assert isinstance(one, ObservedMarkets)
    assert isinstance(other, ObservedMarkets)
    assert one.number == other.number
    assert wire.bytes - before < before / 3


def test_a_difference_on_something_unknown_is_doubted() -> None:
    wire = Wire()
    wire.pass_on(EVENT)
    moved = replace(EVENT, home="Another")
    wire.sent.delta(moved, 0.0)  # which is lost
    with pytest.raises(Doubt, match="'e' builds on 2"):
        wire.pass_on(EVENT)
    wire.sent.clear()
    assert wire.pass_whole(EVENT) == EVENT


def test_an_event_that_was_not_sent_for_long_is_forgotten_at_both_ends() -> None:
    wire = Wire()
    other = replace(EVENT, source_event_id="f")
    wire.pass_on(EVENT, 0.0)
    wire.pass_on(other, KEPT_S)
    assert wire.sent.forget(KEPT_S) == []
    (gone,) = wire.sent.forget(KEPT_S + 1)
    assert gone == "e"
    wire.mirror.forget(gone)
    assert len(wire.mirror) == 1
    assert wire.pass_whole(EVENT) == EVENT


@pytest.mark.parametrize(
    "delta",
    [
        EventDelta("e", 0, 1),
        EventDelta("e", 0, 1, replace(EVENT, bookmakers=())),
        EventDelta("e", 0, 1, replace(EVENT, bookmakers=()), (0,)),
        EventDelta("e", 0, 1, replace(EVENT, bookmakers=()), (-1,)),
        EventDelta("e", 7, 8),
    ],
    ids=str,
)
def test_a_difference_that_cannot_stand_alone_is_doubted(delta: EventDelta) -> None:
    with pytest.raises(Doubt):
        Mirror().take(delta)


@pytest.mark.parametrize(
    ("repriced", "reason"),
    [
        (RepricedMarket(2, MarketStatus.OPEN, (1.6, 2.5), None), "there is no market 2"),
        (RepricedMarket(-1, MarketStatus.OPEN, (1.6, 2.5), None), "there is no market -1"),
        (RepricedMarket(1, MarketStatus.OPEN, (1.6,), None), "1 prices for .*totals"),
    ],
    ids=str,
)
def test_prices_that_fit_no_market_are_doubted(repriced: RepricedMarket, reason: str) -> None:
    wire = Wire()
    wire.pass_on(EVENT)
    delta = BookmakerDelta(0, "", None, repriced=(repriced,))
    with pytest.raises(Doubt, match=reason):
        wire.mirror.take(EventDelta("e", 1, 2, None, (delta, 1)))


def test_moved_prices_are_sent_without_the_names_and_keep_the_outcomes_that_stay() -> None:
    wire = Wire()
    first = wire.pass_on(EVENT)
    before = wire.bytes
    (book, other), (home, _) = EVENT.bookmakers, EVENT.bookmakers[0].markets[H2H].outcomes
    market = book.markets[H2H]
    moved = replace(
        market,
        status=MarketStatus.SUSPENDED,
        outcomes=(home, replace(market.outcomes[1], price=2.7)),
        source_updated_at=NOON,
    )
    shown = replace(EVENT, bookmakers=(replace(book, markets={**book.markets, H2H: moved}), other))
    passed = wire.pass_on(shown)
    assert whole(passed) == shown
    assert wire.bytes - before < 50
    one, two = (each.bookmakers[0].markets[H2H].outcomes for each in (first, passed))
    assert one[0] is two[0]


def test_moved_prices_of_one_time_have_one_object_for_it() -> None:
    wire = Wire()
    wire.pass_on(EVENT)
    book, other = EVENT.bookmakers
    moved = {
        key: replace(
            market,
            outcomes=tuple(replace(each, price=9.5) for each in market.outcomes),
            source_updated_at=NOON + timedelta(minutes=1),
        )
        for key, market in book.markets.items()
    }
    passed = wire.pass_on(replace(EVENT, bookmakers=(replace(book, markets=moved), other)))
    times = [market.source_updated_at for market in passed.bookmakers[0].markets.values()]
    assert len(times) == 2
    assert times[0] is times[1] is not None


def test_odds_that_match_are_not_compared_again() -> None:
    """A market that was changed behind the mirror's back is not seen: the numbers agree."""
    wire, book = Wire(), Book()
    book.see(wire.pass_all(observe([EVENT])))
    held = cached(book.events)
    passed = wire.pass_all(observe([EVENT], 1))
    markets = passed.events[0].bookmakers[0].markets
    assert isinstance(markets, ObservedMarkets)
    dict.pop(markets, H2H)
    assert not book.see(passed).changes
    assert cached(book.events) == held
