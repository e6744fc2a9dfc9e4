"""Equal conflated streams cut their windows at the same places, however they are served."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.model.cursor import Cursor
from odds_service.stream.shared_windows import SharedWindows, WindowSeries
from tests.stream.test_subscription import begun, publish
from tests.support.loopless import Reader, Service, options_of
from tests.support.odds_builders import EPOCH

EQUAL = 50


def streams(service: Service, count: int, interval_s: float = 1.0) -> list[Reader]:
    readers = [Reader(service, options_of(conflate_s=interval_s)) for _ in range(count)]
    for reader in readers:
        reader.run()
    return readers


def let_pass(service: Service, readers: list[Reader], until: float, rng: random.Random) -> None:
    """Publish at random, and run each stream that is due, in random order and 1 ms apart."""
    minute = 100
    while service.now < until:
        if rng.random() < 0.5:
            minute += 1
            publish(service.book, minute)
        due = [r for r in readers if r.waits_until is not None and r.waits_until <= service.now]
        idle = [r for r in readers if r.subscription.revision < service.book.feed.head_revision]
        rng.shuffle(readers)
        for reader in readers:
            if reader in due or reader in idle:
                reader.run()
                service.now += 0.001
        service.now += 0.01


def windows(reader: Reader) -> int:
    return reader.sent.count("SendWindow")


def test_fifty_equal_streams_cost_as_many_encodings_as_one() -> None:
    service = begun()
    readers = streams(service, EQUAL)
    let_pass(service, readers, 20.0, random.Random(1))
    assert {windows(reader) for reader in readers} <= {18, 19, 20}
    assert len(service.encoded) <= 20
    assert service.own_windows == 0


def test_a_stream_that_resumes_elsewhere_meets_the_others_within_two_windows() -> None:
    service = begun()
    readers = streams(service, 10)
    rng = random.Random(2)
    let_pass(service, readers, 5.7, rng)
    late = Reader(service, options_of(conflate_s=1.0), Cursor(EPOCH, 3))
    late.run()
    assert late.sent == ["SendOpened", "SendWindow"]  # its first window waits for nobody
    readers.append(late)
    let_pass(service, readers, 9.0, rng)
    met = len(service.encoded)
    sent = windows(readers[0])
    let_pass(service, readers, 15.0, rng)
    assert len(service.encoded) - met <= windows(readers[0]) - sent + 1


def test_a_stream_that_stalled_gets_one_window_of_its_own() -> None:
    service = begun()
    readers = streams(service, 10)
    stalled = readers[3]
    rng = random.Random(3)
    let_pass(service, readers, 4.0, rng)
    stalled.stalled = True
    let_pass(service, readers, 9.0, rng)
    stalled.stalled = False
    stalled.waits_until = service.now
    before, sent = len(service.encoded), windows(readers[0])
    let_pass(service, readers, 15.0, rng)
    most = max(windows(reader) for reader in readers if reader is not stalled)
    assert len(service.encoded) - before <= most - sent + 2


def test_another_selection_or_interval_has_its_own_series() -> None:
    shared = SharedWindows()
    mine = Selection(markets=frozenset({"h2h"}))
    series = [
        shared.series(EVERYTHING, 1.0), shared.series(EVERYTHING, 2.0), shared.series(mine, 1.0),
    ]  # fmt: skip
    assert len(shared) == len(set(map(id, series))) == 3
    assert shared.series(EVERYTHING, 1.0) is series[0]
    series.clear()
    assert len(shared) == 0


@given(
    steps=st.lists(
        st.tuples(st.floats(0, 3), st.integers(0, 4), st.booleans()), min_size=1, max_size=60
    )
)
@settings(max_examples=300)
def test_boundaries_are_an_interval_apart_and_each_window_goes_forward(
    steps: list[tuple[int, int, bool]],
) -> None:
    series = WindowSeries(1.0)
    now, head = 0.0, 0
    positions = [0] * 5
    free_at = [0.0] * 5
    made: dict[int, float] = {}
    for quarters, member, published in steps:
        now += quarters / 4
        head += published
        position = positions[member]
        if position == head or now < free_at[member]:
            continue
        if now < series.held_until(position, now):
            assert series.held_until(position, now) <= max(made.values()) + 2.0
            continue
        upto = series.boundary_for(position, head, now)
        assert position < upto <= head
        if upto not in made:
            assert not made or now - max(made.values()) >= 1.0
            made[upto] = now
        positions[member], free_at[member] = upto, now + 1.0
        series.handed_over(upto, now)
