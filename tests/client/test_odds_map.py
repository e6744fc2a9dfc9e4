"""The client's map equals the server's odds, or rejects a stream that breaks the contract."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from msgspec.structs import replace

from odds_service.client import (
    Changes,
    Cursor,
    ImageLoaded,
    Lagged,
    MarketKey,
    OddsMap,
    Opened,
    ServiceError,
    SourceStatus,
    StreamGap,
    decode,
)
from odds_service.client.following import WatchFollower
from odds_service.client.rotation import Rotation, Round
from odds_service.filters.selection import EVERYTHING
from odds_service.model.event import EventStatus
from odds_service.model.overround import SUSPECT_BELOW, best_markets
from odds_service.model.snapshot import Reading
from odds_service.serving.calls import _best_fields
from odds_service.serving.odds import OddsView
from odds_service.wire.encode import Wires, source_message
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.client.contract import BOOKMAKERS, EPOCH, EVENTS, LINES, Log, MarketId, Server, held
from tests.support.examples import examples
from tests.support.observations import observe, observed_event
from tests.support.odds_builders import Bookkeeping

places = st.tuples(
    st.just("s"), st.sampled_from(BOOKMAKERS), st.just("totals"), st.sampled_from(LINES)
)


statuses = st.sampled_from(
    [pb.MARKET_STATUS_OPEN, pb.MARKET_STATUS_SUSPENDED, pb.MARKET_STATUS_REMOVED]
)


prices = st.sampled_from([1.5, 2.0, 2.5])


class Watching(RuleBasedStateMachine):
    """A growing log, and a client that follows it over disconnects, images and losses."""

    def __init__(self) -> None:
        super().__init__()
        self.log = Log()
        self.follower = WatchFollower(pb.WatchChangesRequest(), None, wait_for_server=True)
        self.stream: Server | None = None
        self.image: Iterator[pb.WatchChangesResponse] = iter(())
        self.seen: list[int] = []

    @rule(event_id=st.sampled_from(EVENTS))
    def an_event_comes_or_ends(self, event_id: str) -> None:
        self.log.toggle_event(event_id)

    @rule(event_id=st.sampled_from(EVENTS))
    def an_event_leaves_the_filter(self, event_id: str) -> None:
        self.log.leave_filter(event_id)

    @rule(event_id=st.sampled_from(EVENTS), place=places, status=statuses, price=prices)
    def a_market_changes(self, event_id: str, place: MarketId, status: int, price: float) -> None:
        self.log.show(event_id, place, status, price)

    @precondition(lambda self: self.stream is None)
    @rule(too_old=st.booleans())
    def connect(self, too_old: bool) -> None:
        self.stream = Server(self.log, self.follower.request(), too_old=too_old)
        step = self.follower.take(self.stream.open())
        assert isinstance(step, Opened)
        assert step.image is self.stream.imaging
        self.image = self.stream.image() if self.stream.imaging else iter(())

    @precondition(lambda self: self.stream is not None and self.stream.imaging)
    @rule(messages=st.integers(1, 8))
    def the_image_goes_on(self, messages: int) -> None:
        for _ in range(messages):
            message = next(self.image, None)
            if message is None:
                return
            step = self.follower.take(message)
            if isinstance(step, ImageLoaded):
                assert self.follower.odds.whole
                self.seen = list(range(1, self.follower.odds.cut().cursor.revision + 1))
            else:
                assert not self.follower.odds.whole

    @precondition(lambda self: self.stream is not None and not self.stream.imaging)
    @rule(count=st.integers(1, 5))
    def changes_come(self, count: int) -> None:
        assert self.stream is not None
        step = self.follower.take(self.stream.changes(count))
        assert isinstance(step, Changes)
        self.seen += [change.revision for change in step.changes]

    @precondition(lambda self: self.stream is not None and not self.stream.imaging)
    @rule()
    def a_heartbeat_comes(self) -> None:
        assert self.stream is not None
        self.follower.take(self.stream.heartbeat())
        odds = self.follower.odds
        assert odds.whole
        assert odds.cursor == Cursor(EPOCH, self.stream.at)
        assert held(odds) == self.log.states[self.stream.at]
        assert self.seen == list(range(1, self.stream.at + 1))  # each once, in order

    @precondition(lambda self: self.stream is not None and not self.stream.imaging)
    @rule()
    def it_falls_behind(self) -> None:
        assert self.stream is not None
        assume(self.stream.at < self.log.head)
        step = self.follower.take(self.stream.lagged())
        assert isinstance(step, Lagged)
        assert not self.follower.odds.whole
        self.image = self.stream.image()

    @precondition(lambda self: self.stream is not None)
    @rule()
    def the_connection_breaks(self) -> None:
        self.stream = None
        self.follower.ended(ServiceError("UNAVAILABLE", "cut"), Round(Rotation(["s:1"])))


Watching.TestCase.settings = settings(
    max_examples=examples(20), stateful_step_count=40, deadline=None
)
TestWatching = Watching.TestCase


def a_stream(log: Log, chunks: list[int]) -> list[pb.WatchChangesResponse]:
    """Return an image of the log's first third, and the rest in messages of `chunks` changes."""
    early = Log()
    early.changes = log.changes[: log.head // 3]
    early.states = log.states[: log.head // 3 + 1]
    server = Server(early, pb.WatchChangesRequest())
    messages = [server.open(), *server.image()]
    early.changes, early.states = log.changes, log.states
    messages += [server.changes(chunk) for chunk in chunks]
    messages.append(server.changes(log.head))
    messages.append(server.heartbeat())
    return messages


logs = st.lists(
    st.tuples(st.sampled_from(EVENTS), places, statuses, prices), min_size=3, max_size=20
)


@settings(max_examples=examples(30), deadline=None)
@given(shown=logs, chunks=st.lists(st.integers(1, 4), max_size=5), drawn=st.data())
def test_no_message_can_be_lost_or_repeated_unnoticed(
    shown: list[tuple[str, MarketId, int, float]], chunks: list[int], drawn: st.DataObject
) -> None:
    log = Log()
    for event_id, place, status, price in shown:
        log.show(event_id, place, status, price)
    messages = a_stream(log, chunks)
    lost = drawn.draw(st.integers(0, len(messages) - 2))
    twice = drawn.draw(st.booleans())
    broken = messages[: lost + 1] + messages[lost if twice else lost + 1 :]
    if not twice:
        del broken[lost]
    odds = OddsMap()
    try:
        for message in broken:
            odds.take(message)
    except StreamGap:
        return
    # Without a StreamGap, the map lost nothing.
    assert odds.whole
    assert held(odds) == log.now
    assert odds.cursor == Cursor(EPOCH, log.head)


def watched(*messages: pb.WatchChangesResponse) -> OddsMap:
    odds = OddsMap()
    for message in messages:
        odds.take(message)
    return odds


def simple_log() -> Log:
    log = Log()
    log.show("a", ("s", "b1", "totals", 2.5), pb.MARKET_STATUS_OPEN, 2.0)
    return log


def opened_with_image(log: Log) -> list[pb.WatchChangesResponse]:
    server = Server(log, pb.WatchChangesRequest())
    return [server.open(), *server.image()]


def test_a_gap_names_both_revisions() -> None:
    log = simple_log()
    server = Server(log, pb.WatchChangesRequest())
    odds = watched(server.open(), *server.image())
    log.toggle_event("b")
    log.toggle_event("c")
    server.changes(1)
    with pytest.raises(StreamGap, match="follows revision 3, and the one before it ended at 2"):
        odds.take(server.changes(1))


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (pb.WatchChangesResponse(heartbeat=pb.Heartbeat()), "did not begin with"),
        (pb.WatchChangesResponse(), "does not know"),
    ],
)
def test_a_stream_that_begins_wrongly_is_refused(
    message: pb.WatchChangesResponse, says: str
) -> None:
    with pytest.raises(StreamGap, match=says):
        OddsMap().take(message)


def test_a_change_in_place_of_the_image_is_refused() -> None:
    log = simple_log()
    server = Server(log, pb.WatchChangesRequest())
    odds = watched(server.open())
    with pytest.raises(StreamGap, match="in place of the image"):
        odds.take(server.changes(1))


def test_an_image_that_lacks_a_piece_or_a_market_is_refused() -> None:
    messages = opened_with_image(simple_log())
    with pytest.raises(StreamGap, match="piece 2 of an image"):
        watched(*(m for m in messages if not (m.HasField("image") and m.image.piece == 1)))
    with pytest.raises(StreamGap, match="is not whole"):
        watched(*(m for m in messages if not m.HasField("image")))
    del messages[-2].image.events[0].bookmakers[0].markets[:]
    with pytest.raises(StreamGap, match="1 market holds 1 and 0"):
        watched(*messages)


def test_values_that_were_handed_out_stay_as_they_were() -> None:
    log = simple_log()
    server = Server(log, pb.WatchChangesRequest())
    odds = watched(server.open(), *server.image())
    cut, entry = odds.cut(), odds.events["a"]
    log.show("a", ("s", "b1", "totals", 2.5), pb.MARKET_STATUS_OPEN, 3.0)
    odds.take(server.changes(1))
    key = MarketKey("totals", "2.5")
    for early in (cut.events["a"], entry):
        assert early.bookmakers["s", "b1"].markets[key].outcomes[0].price == 2.0
    assert odds.events["a"].bookmakers["s", "b1"].markets[key].outcomes[0].price == 3.0


def test_a_map_resumed_at_a_bare_cursor_gives_changes_and_holds_none() -> None:
    log = simple_log()
    log.toggle_event("b")
    odds = OddsMap(Cursor(EPOCH, 1))
    server = Server(log, pb.WatchChangesRequest(resume=log.cursor(1)))
    odds.take(server.open())
    step = odds.take(server.changes(5))
    assert isinstance(step, Changes)
    assert [change.revision for change in step.changes] == [2, 3]
    assert not odds.whole
    assert not odds.events
    with pytest.raises(ValueError, match="not whole"):
        odds.cut()


def test_best_prices_leave_out_what_is_not_live() -> None:
    log = Log()
    for bookmaker, price in (("b1", 2.0), ("b2", 2.1)):
        log.show("a", ("s", bookmaker, "h2h", None), pb.MARKET_STATUS_OPEN, price)
    server = Server(log, pb.WatchChangesRequest())
    odds = watched(server.open())
    for message in server.image():
        if message.HasField("image_begin"):
            message.image_begin.sources.add(source="s", state=pb.SOURCE_HEALTH_UP)
        odds.take(message)
    (best,) = odds.best("a")
    assert [(leg.bookmaker, leg.price) for leg in best.prices] == [("b2", 2.1)]
    log.show("a", ("s", "b2", "h2h", None), pb.MARKET_STATUS_SUSPENDED, 2.1)
    odds.take(server.changes(1))
    (best,) = odds.best("a")
    assert [leg.bookmaker for leg in best.prices] == ["b1"]
    state = pb.SourceState(source="s", state=pb.SOURCE_HEALTH_STALE)
    log.changes.append(
        pb.Change(
            revision=log.head + 1, kind=pb.CHANGE_KIND_SOURCE_STALE, source="s", source_state=state
        )
    )
    odds.take(server.changes(1))
    assert odds.sources["s"].status is SourceStatus.STALE
    assert odds.events["a"].bookmakers["s", "b1"].stale
    (best,) = odds.best("a")
    assert best.prices == ()
    assert odds.best("nowhere") == []


offer_prices = st.sampled_from(
    [("home", "away"), ("home", "draw", "away"), ("over", "under")]
).flatmap(
    lambda keys: st.fixed_dictionaries(
        {key: st.one_of(st.none(), st.floats(1.01, 6.0)) for key in keys}
    )
)


looks = st.lists(
    st.tuples(
        st.sampled_from(["s", "t"]),
        st.sampled_from([None, EventStatus.SCHEDULED, EventStatus.IN_PLAY]),
        st.dictionaries(
            st.sampled_from(BOOKMAKERS),
            st.dictionaries(
                st.sampled_from([MarketKey("h2h"), MarketKey("totals", "2.5")]), offer_prices
            ),
        ),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=examples(30), deadline=None)
@given(
    looks=looks,
    sport=st.sampled_from(["soccer", "icehockey"]),
    later_s=st.sampled_from([0, 200]),
    limit=st.sampled_from([SUSPECT_BELOW, -0.2]),
)
def test_the_clients_best_prices_are_the_servers(
    looks: list[
        tuple[str, EventStatus | None, dict[str, dict[MarketKey, dict[str, float | None]]]]
    ],
    sport: str,
    later_s: int,
    limit: float,
) -> None:
    book = Bookkeeping(sources=("s", "t"))
    for minute, (source, status, offer) in enumerate(looks):
        shown = replace(observed_event("e", offer), sport=sport, competition=sport, status=status)
        book.see(observe([shown], minute / 10, source=source))
    cut = book.cache.view()
    now = book.now + timedelta(seconds=later_s)
    view = OddsView(cut, EVERYTHING, Reading(now), Wires())
    (entry,) = cut.events.values()
    server = best_markets(
        entry.event, view.bookmakers(entry), view.standing, view.markets_of, suspect_below=limit
    )
    reply = pb.GetOddsResponse(
        events=[
            pb.EventOdds.FromString(
                b"".join([*view.event_fields(entry, []), _best_fields(view, entry, limit)])
            )
        ],
        sources=[source_message(state) for state in cut.sources.values()],
        cursor=pb.Cursor(epoch=EPOCH, revision=1),
    )
    odds = decode.odds(reply)
    assert odds.events["e"].event == entry.event
    assert OddsMap(odds).best("e", suspect_below=limit) == server
    told = [
        replace(best, outcomes=told.outcomes)
        for best, told in zip(server, odds.events["e"].best, strict=True)
    ]
    assert list(odds.events["e"].best) == told


def test_a_map_is_not_to_be_used_after_a_gap() -> None:
    odds = OddsMap()
    with pytest.raises(StreamGap):
        odds.take(pb.WatchChangesResponse(heartbeat=pb.Heartbeat()))
    assert not odds.whole
