"""The bounds on a source that never stops changing: its ids, or its prices."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from odds_service.detection.source_changes import judge
from odds_service.model.change import EventChange
from odds_service.model.observation import Observation
from odds_service.model.source import Overload, SourceReason, SourceState, SourceStatus
from odds_service.pipeline.churn import BURST_S, HOUR_S, Allowance, Churn, ChurnLimits
from odds_service.pipeline.detect import Detector
from odds_service.reconcile import Reconciler
from tests.pipeline.test_detect import H2H, Stage
from tests.support.observations import Offer, observe, offered

FEW = ChurnLimits(max_events=20, max_new_events_per_h=10, max_changes_per_s=0.1)
MINUTE = timedelta(minutes=1)


def named(*ids: str, price: float = 2.0) -> Offer:
    return {each: {"b": {H2H: {"home": price, "away": 2.0}}} for each in ids}


class Bounded(Stage):
    """A stage with tight bounds and two sources, whose clock is that of its observations."""

    def __init__(self) -> None:
        super().__init__(capacity=1_000_000)
        states = {name: SourceState(source=name, interval_s=60.0) for name in ("toa", "good")}
        self.cache.swap({}, states, None, self.now)
        self.reconciler = Reconciler()
        self.detector = Detector(
            self.cache, self.feed, self.queue, self.reconciler, self.clock, limits=FEW
        )
        self.minute = 0

    async def show(self, offer: Offer, source: str = "toa") -> Observation:
        """Let a source show an offer, and return the observation as applied."""
        shown = replace(observe(offered(offer), self.minute), source=source)
        applied = await self.detector.observe(shown)
        self.detector.judge_sources()
        return applied.observation

    def wait(self, minutes: int = 1) -> None:
        self.minute += minutes
        self.now += minutes * MINUTE

    def state(self, source: str = "toa") -> tuple[SourceStatus, str]:
        state = self.cache.sources[source]
        return state.status, state.reason


UP = (SourceStatus.UP, "")
NEW_EVENTS = (SourceStatus.STALE, SourceReason.TOO_MANY_NEW_EVENTS)
CHANGES = (SourceStatus.STALE, SourceReason.TOO_MANY_CHANGES)


async def test_ids_that_change_at_each_poll_do_not_fill_memory_and_a_neighbour_is_untouched() -> (
    None
):
    stage, good = Bounded(), named("g1", "g2")
    for poll in range(300):
        await stage.show(named(*(f"e{poll}-{each}" for each in range(5))))
        await stage.show(named("g1", "g2", price=2.0 + poll % 2 / 10), "good")
        assert stage.state("good") == UP
        stage.wait()
    counts = stage.detector.counts.of("toa")
    # The first allowance, and what came in before it was used up; then nothing.
    assert 20 <= counts.new_events < 30
    assert counts.new_events + counts.new_events_left_out == 1_500
    assert counts.problems["too_many_new_events"] == counts.new_events_left_out
    assert stage.state() == NEW_EVENTS
    state = stage.cache.sources["toa"]
    assert "limits.max_new_events_per_h: 10" in state.detail
    added = [c for c in stage.agrees() if isinstance(c, EventChange) and c.before is None]
    assert len(added) == counts.new_events + len(good)
    assert {entry.event.id for entry in stage.cache.events.values()} == {"good:g1", "good:g2"}
    assert stage.reconciler.remembered <= counts.new_events


async def test_events_that_are_known_go_on_while_new_ones_are_left_out() -> None:
    stage = Bounded()
    await stage.show(named("known"))
    for poll in range(30):
        stage.wait()
        price = 2.0 + poll / 100
        fresh = named(*(f"e{poll}-{each}" for each in range(5)))
        await stage.show({**named("known", price=price), **fresh})
        (odds,) = stage.cache.events["toa:known"].bookmakers.values()
        assert odds.markets[H2H].outcomes[0].price in (2.0, price)
        assert odds.confirmed_at == stage.now
    assert stage.state() == NEW_EVENTS
    # Its end is seen as ever.
    for _ in range(2):
        stage.wait()
        await stage.show(named("other"))
    assert "toa:known" not in stage.cache.events


async def test_a_source_recovers_once_its_ids_stay() -> None:
    stage = Bounded()
    for poll in range(30):
        await stage.show(named(*(f"e{poll}-{each}" for each in range(5))))
        stage.wait()
    assert stage.state() == NEW_EVENTS
    stays = named(*(f"s{each}" for each in range(5)))
    polls = 0
    while stage.state() != UP:
        await stage.show(stays)
        stage.wait()
        polls += 1
        assert polls < 200
    assert polls >= 30  # not while an hour still has too many
    assert {f"toa:s{each}" for each in range(5)} == stage.cache.events.keys()


async def test_a_large_source_comes_in_at_the_pace_of_the_bound() -> None:
    stage = Bounded()
    offer = named(*(f"s{each:02}" for each in range(45)))
    for _ in range(6 * 60):
        await stage.show(offer)
        stage.wait()
    assert len(stage.cache.events) == 45
    await stage.show(offer)
    assert stage.state() == UP


async def test_prices_that_flip_are_looked_at_less_often_and_show_their_age() -> None:
    stage = Bounded()
    ids = [f"e{each}" for each in range(10)]
    allowed = FEW.max_changes_per_s * BURST_S
    refused = 0
    for poll in range(200):
        seen = await stage.show(named(*ids, price=2.0 + poll % 2 / 10))
        if seen.failure:
            refused += 1
            assert seen.failure == SourceReason.TOO_MANY_CHANGES
            assert seen.events == ()
            (odds, *_) = stage.cache.events["toa:e0"].bookmakers.values()
            assert odds.confirmed_at < stage.now  # not confirmed by an answer that was left out
        stage.wait()
    assert refused > 30
    counts = stage.detector.counts.of("toa")
    assert counts.answers_left_out == refused
    assert counts.changes <= allowed + 200 * 60 * FEW.max_changes_per_s + len(ids)
    assert stage.state() == CHANGES
    assert len(stage.cache.events) == len(ids)  # an answer that is left out ends nothing
    # Half an allowance later it is up again, and the odds are those of its answer.
    stage.wait(10)
    await stage.show(named(*ids, price=3.0))
    stage.wait(10)
    await stage.show(named(*ids, price=3.0))
    assert stage.state() == UP
    (odds, *_) = stage.cache.events["toa:e0"].bookmakers.values()
    assert odds.markets[H2H].outcomes[0].price == 3.0
    stage.agrees()


@given(
    polls=st.lists(
        st.tuples(
            st.sets(st.integers(0, 60), max_size=12),  # ids shown
            st.integers(0, 40),  # minutes until the next poll
        ),
        max_size=60,
    )
)
def test_no_source_brings_more_new_events_than_its_bound(
    polls: list[tuple[set[int], int]],
) -> None:
    churn, now_s = Churn(FEW), 0.0
    known: set[str] = set()
    taken: list[tuple[float, int]] = []
    for ids, minutes in polls:
        offer = named(*sorted(f"e{each}" for each in ids))
        kept, new, left_out = churn.sift(observe(offered(offer)), known.__contains__, now_s)
        shown = {each.source_event_id for each in kept.events}
        fresh = offer.keys() - known
        assert len(fresh) == new + left_out
        assert offer.keys() & known <= shown <= offer.keys()  # nothing known is ever left out
        taken.append((now_s, new))
        assert (churn.overload(now_s) is not None) == (left_out > 0) or not left_out
        for since_s, _ in taken:
            within = sum(number for at_s, number in taken if at_s >= since_s)
            bound = FEW.max_events + (now_s - since_s) / HOUR_S * FEW.max_new_events_per_h
            assert within <= bound + 1e-6
        known = shown  # the rest leaves at once: the ids may come back as new
        now_s += minutes * 60.0


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 50)), max_size=40))
def test_an_allowance_never_gives_more_than_its_capacity_and_its_pace(
    steps: list[tuple[float, float]],
) -> None:
    allowance, now_s, spent = Allowance(0.5, 30.0), 0.0, 0.0
    for wait_s, wanted in steps:
        now_s += wait_s
        given_now = min(wanted, max(0.0, allowance.left(now_s)))
        allowance.take(given_now, now_s)
        spent += given_now
        assert spent <= 30.0 + 0.5 * now_s + 1e-6
        assert allowance.left(now_s) <= 30.0


def test_a_source_above_its_bound_is_stale_unless_it_fails_anyway() -> None:
    over = Overload(SourceReason.TOO_MANY_CHANGES, "many")
    answers = SourceState(source="s", interval_s=60.0, success_boot_s=100.0)
    judged = judge(answers, 101.0, storage_behind=False, overload=over)
    assert (judged.status, judged.reason, judged.detail) == (*CHANGES, "many")
    assert judge(judged, 101.0, storage_behind=False).status is SourceStatus.UP
    fails = replace(answers, consecutive_failures=9, reason="timeout")
    judged = judge(fails, 101.0, storage_behind=False, overload=over)
    assert (judged.status, judged.reason) == (SourceStatus.DOWN, "timeout")
