"""Subscriptions without a loop: whatever happens, the client's odds equal the server's.

The tests set time, stalls, pages of the database and the stop; see tests.support.loopless.
"""

import itertools
import random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.model.cursor import Cursor, amid, incomplete
from odds_service.model.market import MarketKey
from odds_service.stream.opening import Intent, IntentReason
from odds_service.stream.options import ImageMode, SlowReaderPolicy
from tests.support.loopless import Loss, Reader, Service, options_of
from tests.support.observations import observe, offered, shown_of
from tests.support.odds_builders import EPOCH, Bookkeeping, random_observations

H2H: Final = MarketKey("h2h")
BOOKMAKER: Final = Selection(bookmakers=frozenset({"b1"}))
NOBODY: Final = Selection(bookmakers=frozenset({"nobody"}))


def publish(book: Bookkeeping, minute: int) -> None:
    prices = {"home": 1.5 + minute % 50 / 100}
    book.see(observe(offered({"e": {"b1": {H2H: prices}}}), minute))


def begun(*, capacity: int = 1_000, minutes: int = 3, stored: bool = True) -> Service:
    book = Bookkeeping(capacity=capacity)
    for minute in range(minutes):
        publish(book, minute)
    return Service(book, stored=stored)


def settle(service: Service, readers: list[Reader]) -> None:
    """Let time pass until each stream that has not ended is at the head."""
    head = service.book.feed.head_revision
    for reader in readers:
        reader.stalled = False
    for _ in range(400):
        for reader in readers:
            reader.finish_page()
            reader.run()
        if all(reader.ended or reader.cursor == Cursor(EPOCH, head) for reader in readers):
            return
        service.now += 0.25
    raise AssertionError([(reader.sent[-5:], reader.cursor, head) for reader in readers])


def assert_told_all(service: Service, reader: Reader) -> None:
    """Assert that the map is the server's, and each revision came once or was named as lost."""
    if reader.held is not None:
        current = service.book.cache.view().events
        assert reader.held == shown_of(reader.options.selection, current)
    assert reader.start is not None
    position = reader.start.revision
    losses = iter(merged(reader.losses))
    loss = next(losses, None)
    for after, upto in reader.covered:
        while loss is not None and after > position:
            assert loss.first == position + 1
            position = loss.last
            loss = next(losses, None)
        assert reader.start.intent is Intent.IMAGE or after == position
        assert after >= position
        assert upto > after
        position = upto


def merged(losses: list[Loss]) -> list[Loss]:
    """Join adjacent losses, as where more was published before the image."""
    found: list[Loss] = []
    for loss in losses:
        assert loss.first <= loss.last
        if found and found[-1].last + 1 == loss.first:
            found[-1] = Loss(found[-1].first, loss.last)
        else:
            found.append(loss)
    return found


STEPS = st.one_of(
    st.tuples(st.just("publish"), st.integers(1, 6)),
    st.tuples(st.just("pass"), st.sampled_from([0.01, 0.1, 0.5, 1.0, 3.0])),
    st.tuples(st.just("stall"), st.integers(0, 3)),
    st.tuples(st.just("read"), st.integers(0, 3)),
    st.tuples(st.just("page"), st.integers(0, 3)),
    st.tuples(st.just("drop"), st.integers(0, 3)),
    st.tuples(st.just("cut"), st.integers(0, 3)),
    st.tuples(st.just("trim"), st.integers(1, 20)),
    st.tuples(st.just("refuse"), st.integers(1, 20)),
)


class Story:
    """Readers of all kinds side by side, and the events of a story."""

    def __init__(self, seed: int, *, stored: bool) -> None:
        self.book = Bookkeeping(capacity=25)
        self.to_come = random_observations(random.Random(seed), 10_000)
        for observation in itertools.islice(self.to_come, 5):
            self.book.see(observation)
        self.service = Service(self.book, stored=stored)
        self.readers = [
            Reader(self.service, options)
            for options in (
                options_of(heartbeat_s=1.0),
                options_of(selection=BOOKMAKER, policy=SlowReaderPolicy.LATEST),
                options_of(conflate_s=0.5, heartbeat_s=2.0),
                options_of(conflate_s=0.5, heartbeat_s=2.0, freshness=True),
            )
        ]
        self.past: list[Reader] = []

    def do(self, kind: str, value: float) -> None:
        place = int(value) % len(self.readers)
        if kind == "publish":
            for observation in itertools.islice(self.to_come, int(value)):
                self.book.see(observation)
        elif kind == "pass":
            self.service.now += value
        elif kind == "stall":
            self.readers[place].stalled = True
        elif kind == "read":
            self.readers[place].stalled = False
        elif kind == "page":
            self.readers[place].finish_page()
        elif kind == "drop":
            self.readers[place].drop_image()
        elif kind == "cut":
            self.cut(place)
        elif kind == "trim":
            floor = self.book.feed.oldest_revision - int(value)
            self.book.stored_from = max(self.book.stored_from, floor)
        else:
            self.book.refused.add(max(1, self.book.feed.head_revision - int(value)))
        for reader in self.readers:
            reader.run()

    def cut(self, place: int) -> None:
        """Let the client disconnect, and resume at the cursor of its last message."""
        reader = self.readers[place]
        self.past.append(reader)
        again = Reader(self.service, reader.options, reader.cursor)
        again.held = None if reader.held is None else dict(reader.held)
        self.readers[place] = again


@given(seed=st.integers(0, 2**16), stored=st.booleans(), steps=st.lists(STEPS, max_size=40))
@settings(max_examples=150)
def test_whatever_happens_a_map_is_the_servers_or_the_loss_is_named(
    seed: int, stored: bool, steps: list[tuple[str, float]]
) -> None:
    story = Story(seed, stored=stored)
    for kind, value in steps:
        story.do(kind, value)
    settle(story.service, story.readers)
    for reader in story.readers:
        assert reader.held is not None
        assert_told_all(story.service, reader)
        held = zip(reader.windows_at, reader.windows_at[1:], strict=False)
        assert all(later - at > reader.options.conflate_s - 1e-6 for at, later in held)


@given(
    seed=st.integers(0, 2**16),
    steps=st.lists(STEPS, max_size=20),
    image=st.sampled_from(ImageMode),
)
@settings(max_examples=60)
def test_a_stop_at_any_moment_tells_where_to_resume(
    seed: int, steps: list[tuple[str, float]], image: ImageMode
) -> None:
    story = Story(seed, stored=True)
    story.readers.append(started(story.service, image=image))
    for kind, value in steps:
        story.do(kind, value)
    story.service.stopping = True
    settle(story.service, story.readers)
    head = story.book.feed.head_revision
    for reader in story.readers:
        assert reader.ended in ("CLOSED", "FINISHED") or image is ImageMode.NEVER
        if reader.cursor == Cursor(EPOCH, head) and reader.held is not None:
            assert_told_all(story.service, reader)
    story.service.stopping = False
    again = [Reader(story.service, reader.options, reader.cursor) for reader in story.readers]
    for reader, before in zip(again, story.readers, strict=True):
        reader.held = before.held
    settle(story.service, again)
    for reader in again:
        if reader.ended is None:
            assert_told_all(story.service, reader)


def started(service: Service, resume: Cursor | None = None, **fields: object) -> Reader:
    reader = Reader(service, options_of(**fields), resume)  # type: ignore[arg-type]  # by name
    reader.run()
    return reader


def test_it_opens_with_an_image_and_then_sends_each_change() -> None:
    service = begun()
    reader = started(service)
    assert reader.sent == ["SendOpened", "SendImageBegin", "SendPiece", "SendImageEnd"]
    publish(service.book, 10)
    reader.run()
    assert reader.sent[4:] == ["SendChanges"]
    assert reader.waits_until == 10.0


@pytest.mark.parametrize(
    ("epoch", "conflate_s", "reason"),
    [
        (EPOCH, 0.0, IntentReason.RESUMED),
        ("another", 0.0, IntentReason.EPOCH_CHANGED),
        (incomplete(EPOCH), 0.0, IntentReason.IMAGE_INCOMPLETE),
        (amid(EPOCH), 0.0, IntentReason.RESUMED),
        (amid(EPOCH), 1.0, IntentReason.IMAGE_INCOMPLETE),
    ],
)
def test_a_cursor_is_resumed_or_the_reason_is_told(
    epoch: str, conflate_s: float, reason: IntentReason
) -> None:
    reader = started(begun(), Cursor(epoch, 2), conflate_s=conflate_s)
    assert reader.start is not None
    assert reader.start.reason is reason
    assert ("SendImageEnd" in reader.sent) is (reason is not IntentReason.RESUMED)


@pytest.mark.parametrize("conflate_s", [0.0, 1.0])
def test_what_left_memory_is_read_from_the_database_with_heartbeats_meanwhile(
    conflate_s: float,
) -> None:
    service = begun(capacity=4, minutes=40)
    reader = started(service, Cursor(EPOCH, 1), conflate_s=conflate_s)
    assert reader.subscription.replaying
    assert reader.sent == ["SendOpened"]
    service.now = 11.0
    reader.run()
    assert reader.sent == ["SendOpened", "SendHeartbeat"]
    for _ in range(40):
        reader.finish_page()
        reader.run()
        service.now += 1.0
    assert not reader.subscription.replaying
    assert reader.cursor.revision == service.book.feed.head_revision
    assert reader.losses == []


def test_latest_is_told_what_is_lost_and_gets_an_image() -> None:
    service = begun(capacity=4)
    reader = started(service, policy=SlowReaderPolicy.LATEST)
    lost_from = service.book.feed.head_revision + 1
    for minute in range(10, 40):
        publish(service.book, minute)
    reader.run()
    assert reader.losses == [Loss(lost_from, service.book.feed.head_revision)]
    assert reader.sent[4:] == ["SendLagged", "SendImageBegin", "SendPiece", "SendImageEnd"]


def test_where_no_image_is_wanted_a_loss_ends_the_stream() -> None:
    service = begun(capacity=4, stored=False)
    reader = started(service, image=ImageMode.NEVER)
    for minute in range(10, 40):
        publish(service.book, minute)
    reader.run()
    assert reader.ended == "TOO_OLD"
    assert reader.losses == []


def test_a_reader_of_nothing_hears_before_the_log_is_trimmed() -> None:
    service = begun(capacity=20)
    reader = started(service, selection=NOBODY, heartbeat_s=60.0)
    for minute in range(10, 40):
        publish(service.book, minute)
        reader.run()
    assert reader.sent[4:] == ["SendHeartbeat"] * 2
    assert reader.cursor.revision > service.book.feed.oldest_revision


def test_an_image_whose_view_was_dropped_begins_anew() -> None:
    book = Bookkeeping()
    events = {f"e{number}": {"b1": {H2H: {"home": 2.0}}} for number in range(3)}
    book.see(observe(offered(events), 0))
    reader = Reader(Service(book), options_of())
    reader.drops_after = 3  # messages: within the image
    reader.run()
    assert reader.sent.count("SendImageBegin") == 2
    assert reader.sent.count("SendImageEnd") == 1
    assert reader.held == shown_of(EVERYTHING, dict(book.cache.events))
