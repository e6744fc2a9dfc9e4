"""The replica over a log to which everything happens that a bus can do to it.

Whatever happens, it holds at each revision what an independent fold of the changes gives, it never
goes on over a hole, and it ends with all that the log holds.
"""

import random
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from odds_service.bus.messages import (
    PIECE_BYTES,
    VERSION,
    BadMessage,
    Batch,
    Decoded,
    DecodedBatch,
    Freshness,
    Opened,
    Part,
    decode,
    encode,
    end_revision,
)
from odds_service.cache import OddsCache
from odds_service.feed import ChangeFeed
from odds_service.model.change import Commit, MarketChange, Timing
from odds_service.model.market import Outcome
from odds_service.model.snapshot import BookmakerOdds, Reading
from odds_service.model.source import SourceReason, SourceState, SourceStatus
from odds_service.replica.replica import Replica, Taken, replica_of
from tests.support.examples import examples
from tests.support.observations import NOON, cached
from tests.support.shared_log import READING, SharedLog


def replica_at(log: SharedLog) -> Replica:
    return replica_of(log.load(), lambda: READING)


def sent(batch: Batch) -> Decoded:
    """Return a batch as it arrives over the bus."""
    (one,) = encode(batch)
    return decode(one)


class Reader:
    """A reader that obeys the replica's verdicts, as the follower does.

    Attributes:
        rewinds: The number of times that what it had served no longer existed.
        rebuilds: The number of times that it loaded the database.
    """

    def __init__(self, log: SharedLog) -> None:
        self.log = log
        self.replica = replica_at(log)
        self.served = self.replica.cache, self.replica.feed
        self.rewinds = self.rebuilds = 0
        self._read: list[tuple[int, int]] = []  # (place, number) of messages read
        self._place = log.find(log.durable)

    def read(self, most: int) -> None:
        """Read some messages, or load the odds anew."""
        for _ in range(most):
            self._look_back()
            if self._place < self.log.begins:
                self.rebuild()
            if self._place >= self.log.end:
                return
            entry = self.log.messages[self._place - self.log.begins]
            taken = self._take(self.replica, entry.message)
            if taken is Taken.REBUILD:
                self.rebuild()
                continue
            assert taken is not Taken.RESUBSCRIBE
            self._read.append((self._place, entry.number))
            self._place += 1

    def repeat(self, places: int) -> None:
        """Read some messages again."""
        self._place = max(self.log.begins, self._place - places)
        self.replica.read_anew()

    def skip(self, places: int) -> None:
        """Miss some messages."""
        self._place = min(self.log.end, self._place + places)

    def rebuild(self) -> None:
        """Load the odds anew, and follow the log up to where it ends."""
        self.rebuilds += 1
        epoch, head = self.replica.feed.epoch, self.replica.feed.head_revision
        if self.log.find(self.log.durable) < self.log.end:
            first = decode(self.log.messages[0].message)
            prev = first.first_revision - 1 if isinstance(first, Opened) else first.prev_revision
            if prev > self.log.durable:
                self.log.durable = self.log.told  # the database catches up meanwhile
        shadow = replica_at(self.log)
        self._place = self.log.find(self.log.durable)
        for entry in self.log.messages[self._place - self.log.begins :]:
            taken = self._take(shadow, entry.message)
            assert taken in {Taken.APPLIED, Taken.SKIPPED}, shadow.reason
        self._read.clear()
        self._place = self.log.end
        if not (shadow.stands(epoch, head) and shadow.feed.head_revision >= head):
            self.rewinds += 1
        shadow.move_to(*self.served)
        self.replica = shadow
        self._check(shadow)

    def _take(self, replica: Replica, message: bytes) -> Taken:
        before = replica.feed.cursor, replica.cache.version
        taken = replica.take(decode(message))
        if taken is Taken.REBUILD:
            assert (replica.feed.cursor, replica.cache.version) == before
        self._check(replica)
        return taken

    def _check(self, replica: Replica) -> None:
        view = replica.cache.view()
        assert cached(view.events) == self.log.shown_at(*view.cursor)
        assert view.durable_revision <= view.cursor.revision
        held = replica.feed.read_after(replica.feed.oldest_revision - 1, 10**6)
        assert held is not None
        revisions = [change.revision for commit in held for change in commit.changes]
        oldest = replica.feed.oldest_revision
        assert revisions == list(range(oldest, view.cursor.revision + 1))

    def _look_back(self) -> None:
        """Step back to the last message that is still there, as the log's own reader says."""
        while self._read:
            place, number = self._read[-1]
            at = place - self.log.begins
            if at < 0 or (at < len(self.log.messages) and self.log.messages[at].number == number):
                break
            self._read.pop()
            self._place = place
            self.replica.read_anew()
        self._place = min(self._place, self.log.end)


@settings(max_examples=examples(60))
@given(st.integers(0, 2**32), st.lists(st.sampled_from("wwwwrrrrsslotfjk"), max_size=40))
def test_whatever_happens_to_the_log_a_reader_holds_what_it_says(seed: int, story: str) -> None:
    log = SharedLog(seed)
    reader, rng = Reader(log), random.Random(seed)
    for step in story:
        match step:
            case "w":
                log.write()
            case "r":
                reader.read(rng.randint(1, 6))
            case "s":
                log.store()
            case "l":
                log.lose_tail()
            case "o":
                log.take_over(losing=True)
            case "t":
                log.take_over(losing=False)
            case "f":
                log.trim()
            case "j":
                reader.repeat(rng.randint(0, 5))
            case "k":
                reader.skip(rng.randint(0, 2))
    log.append()
    reader.repeat(3)
    reader.read(10_000)
    if reader.replica.feed.cursor != (log.epoch, log.head):
        # It missed the last messages, or lost what it had: the next message says so.
        log.write()
        log.append()
        reader.read(10_000)
    assert reader.replica.feed.cursor == (log.epoch, log.head)
    assert cached(reader.replica.cache.view().events) == cached(log.events_now())


def test_the_ages_are_those_of_this_machine() -> None:
    log = SharedLog(5)
    replica = replica_at(log)
    for _ in range(6):
        log.write()
    for entry in log.messages:
        replica.take(decode(entry.message))
    shown = [
        odds for entry in replica.cache.view().events.values() for odds in entry.bookmakers.values()
    ]
    truth = {
        (event_id, *key): odds
        for event_id, entry in log.events_now().items()
        for key, odds in entry.bookmakers.items()
    }
    assert shown
    for odds in shown:
        age_s = (READING.wall - odds.confirmed_at).total_seconds()
        assert odds.confirmed_boot_s == 10_000.0 - age_s
        told = truth[odds.event_id, odds.source, odds.bookmaker]
        assert (odds.confirmed_at, odds.observed_at) == (told.confirmed_at, told.observed_at)


def test_what_it_cannot_go_on_from_is_refused_and_changes_nothing() -> None:
    log = SharedLog(3)
    for _ in range(4):
        log.write()
    replica = replica_at(log)
    first, *rest = [decode(entry.message) for entry in log.messages]
    assert replica.take(first) is Taken.SKIPPED  # the epoch is open
    assert replica.take(rest[0]) is Taken.APPLIED
    head = replica.feed.head_revision
    assert replica.take(rest[0]) is Taken.APPLIED or not isinstance(rest[0], DecodedBatch)
    assert replica.feed.head_revision == head
    later = next(
        each for each in rest if isinstance(each, DecodedBatch) and each.prev_revision > head
    )
    assert replica.take(later) is Taken.REBUILD
    assert f"changes after {head} are missing" in replica.reason
    assert isinstance(rest[0], DecodedBatch)
    foreign = replace(rest[0], epoch="e9")
    assert replica.take(foreign) is Taken.REBUILD
    assert "e9" in replica.reason
    lost = Opened((("e1", 1), ("e2", head)), head, head - 1)
    assert replica.take(lost) is Taken.REBUILD
    assert "was lost" in replica.reason
    hole = Opened((("e1", 1), ("e2", head + 5)), head + 5, head)
    assert replica.take(hole) is Taken.REBUILD
    unseen = Opened((("e1", 1), ("e2", head - 1), ("e3", head + 1)), head + 1, head)
    assert replica.take(unseen) is Taken.REBUILD  # our last changes are e1's, the log's are e2's
    assert replica.feed.cursor == ("e1", head)


def test_an_epoch_opens_where_the_last_one_ended() -> None:
    log = SharedLog(3)
    replica = replica_at(log)
    log.write()
    log.take_over(losing=False)
    version = replica.cache.version
    for entry in log.messages:
        assert replica.take(decode(entry.message)) is not Taken.REBUILD
    assert replica.feed.epochs == tuple(log.epochs)
    assert replica.cache.version > version
    assert replica.stands("e1", log.head)
    assert not replica.stands("e1", log.head + 1)
    assert not replica.stands("e0", 1)


def test_a_piece_without_those_before_it_is_read_again() -> None:
    log = SharedLog(3)
    log.write()
    replica = replica_at(log)
    commit = log.commits[0]
    change = next(each for each in commit.changes if isinstance(each, MarketChange))
    name = random.Random(1).randbytes(PIECE_BYTES).hex()
    huge = replace(change, after=replace(change.after, outcomes=(Outcome(name, "x", 2.0),)))
    changes = [huge if each is change else each for each in commit.changes]
    pieces = [
        decode(each) for each in encode(Batch("e1", 0, 0, [replace(commit, changes=changes)]))
    ]
    assert all(isinstance(piece, Part) for piece in pieces)
    assert replica.take(pieces[1]) is Taken.RESUBSCRIBE
    assert [replica.take(piece) for piece in pieces] == [
        *[Taken.SKIPPED] * (len(pieces) - 1), Taken.APPLIED,
    ]  # fmt: skip
    assert replica.feed.head_revision == end_revision(pieces[-1])


def test_clocks_of_the_other_machine_are_dropped() -> None:
    log = SharedLog(3)
    log.write()
    replica = replica_at(log)
    timed = replace(log.commits[0], timing=Timing("toa", "soon", 1.0, 2.0))
    assert replica.take(sent(Batch("e1", 0, 0, [timed]))) is Taken.APPLIED
    held = replica.feed.read_after(0, 1)
    assert held
    assert held[0].timing is None


def test_a_change_holds_the_market_that_it_replaced() -> None:
    log = SharedLog(3)
    replica = replica_at(log)
    for _ in range(8):
        log.write()
    truth = {change.revision: change for commit in log.commits for change in commit.changes}
    shared = 0
    for entry in log.messages:
        before = replica.cache.view().events
        known = replica.feed.head_revision
        batch = decode(entry.message)
        replica.take(batch)
        for commit in (replica.feed.read_after(known, 10) or [])[:1]:
            for change in commit.changes:
                assert change == truth[change.revision]
                if isinstance(change, MarketChange) and change.before is not None:
                    odds = before[change.event_id].bookmakers[change.source, change.bookmaker]
                    held = odds.markets[change.after.key]
                    shared += change.before is held and change.event_id is odds.event_id
    assert shared > 5


def test_a_change_keeps_its_market_before_where_the_odds_have_another() -> None:
    """As where the database refused the last change of a market, and the letter was dropped."""
    log = SharedLog(3)
    for _ in range(8):
        log.write()
    truth = {change.revision: change for commit in log.commits for change in commit.changes}
    replica = replica_at(log)
    other = kept = 0
    for entry in log.messages:
        known = replica.feed.head_revision
        assert replica.take(decode(entry.message)) is not Taken.REBUILD
        for commit in replica.feed.read_after(known, 10) or []:
            for change in commit.changes:
                assert change == truth[change.revision]
                kept += isinstance(change, MarketChange) and change.before is not None
        stale = {
            event_id: replace(
                event,
                bookmakers={key: _aged(odds) for key, odds in event.bookmakers.items()},
            )
            for event_id, event in replica.cache.view().events.items()
        }
        other += len(stale)
        replica.cache.swap_all(stale, {}, (), NOON)
    assert other > 5
    assert kept > 5


def _aged(odds: BookmakerOdds) -> BookmakerOdds:
    """Return odds whose markets are not those that the log's next changes name."""
    markets = {key: replace(market, revision=0) for key, market in odds.markets.items()}
    return replace(odds, markets=markets)


def test_an_unreadable_market_before_changes_nothing() -> None:
    market = [["h2h", "", ""], 1, [["home", "Home", "dear", True]], 3, NOON, None]
    after = [["h2h", "", ""], 1, [["home", "Home", 2.0, True]], 1, NOON, None]
    change = [1, 1, 2, "", "x1", "toa", "b", 1, NOON, NOON, market, after]
    fields = [1, "e1", 0, 0, [[[change], [], [], {}, None]], None]
    replica = replica_at(SharedLog(3))
    with pytest.raises(BadMessage, match="unreadable market"):
        replica.take(decode(bytes([VERSION]) + msgspec.msgpack.encode(fields)))
    assert replica.feed.head_revision == 0
    assert not replica.cache.view().events


UP = SourceState(
    source="toa",
    interval_s=10.0,
    status=SourceStatus.UP,
    announced=SourceStatus.UP,
    last_success_at=NOON,
    reason="",
)


class Clock:
    def __init__(self) -> None:
        self.now = Reading(NOON, 500.0)

    def pass_s(self, seconds: float) -> None:
        self.now = Reading(
            self.now.wall + timedelta(seconds=seconds), (self.now.boot_s or 0.0) + seconds
        )


def told(replica: Replica) -> SourceState:
    return replica.cache.view(()).sources["toa"]


def test_a_source_goes_stale_by_itself_once_nobody_tells_of_it() -> None:
    clock = Clock()
    feed = ChangeFeed("e1", 0)
    replica = Replica(OddsCache(feed), feed, lambda: clock.now)
    replica.take(sent(Batch("e1", 0, 0, (), Freshness(sources=(UP,)))))
    assert told(replica).success_boot_s == 500.0
    clock.pass_s(31.0)
    replica.judge(away=False)
    assert told(replica).status is SourceStatus.UP  # the other node judges
    clock.pass_s(-2.0)
    replica.judge(away=True)
    assert told(replica).status is SourceStatus.UP  # not three intervals yet
    clock.pass_s(2.0)
    replica.judge(away=True)
    assert told(replica).status is SourceStatus.STALE
    assert told(replica).reason == SourceReason.UPSTREAM_AWAY
    replica.judge(away=False)
    assert told(replica).status is SourceStatus.UP
    replica.judge(away=True)
    down = replace(UP, status=SourceStatus.DOWN, reason="timeout")
    replica.take(sent(Batch("e1", 0, 0, (), Freshness(sources=(down,)))))
    replica.judge(away=True)
    assert told(replica).reason == "timeout"
    replica.take(sent(Batch("e1", 0, 0, (), Freshness(dropped=("toa",)))))
    replica.judge(away=True)
    assert not replica.cache.view(()).sources


def test_older_freshness_does_not_undo_newer() -> None:
    log = SharedLog(4)
    for _ in range(5):
        log.write()
    replica = replica_at(log)
    batches = [decode(entry.message) for entry in log.messages]
    for batch in batches:
        replica.take(batch)
    view = replica.cache.view()
    for batch in batches:
        assert replica.take(batch) is not Taken.REBUILD
    again = replica.cache.view()
    assert again.events == view.events
    odds = next(iter(next(iter(view.events.values())).bookmakers.values()))
    early = replace(odds.snapshot(), observed_at=NOON - timedelta(1))
    replica.take(sent(Batch("e1", log.head, 0, (), Freshness((early,)))))
    assert replica.cache.view().events == view.events
    old = replace(UP, status=SourceStatus.DOWN)
    late = Batch("e1", 0, 0, [Commit(log.commits[0].changes)], Freshness(sources=(old,)))
    replica.take(sent(late))
    assert "toa" not in replica.cache.view(()).sources
