"""Many subscribers on one service, some of which never read; takes minutes, so run it by name.

The server and the fast subscribers are the processes of `tools.bench watch`. Stretches with and
without stalled subscribers alternate, so that other load on the machine affects both.
"""

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from odds_service.feed import RING_CHANGES
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.stalled import StalledReader
from tools.benchmarks.watch import Bench, Paced, paced, running

FAST = 200
STALLED = 5
MOST_EACH_BYTES = 8 * 2**20
TURNS = 5
STRETCH_S = 5.0
FILLING_S = 4.0
SMALL_RING = 5_000

LOSSLESS, LATEST = pb.SLOW_READER_POLICY_LOSSLESS, pb.SLOW_READER_POLICY_LATEST

pytestmark = pytest.mark.long


@contextmanager
def with_stalled(
    bench: Bench, count: int, policy: pb.SlowReaderPolicy.ValueType
) -> Iterator[list[StalledReader]]:
    with ExitStack() as opened:
        readers = []
        for _ in range(count):
            # Its filter differs from the others', whose encoded pieces would serve it too.
            chosen = pb.Filter(sports=["soccer"])
            request = pb.WatchChangesRequest(filter=chosen, policy=policy)
            reader = StalledReader(bench.address, request)
            opened.callback(reader.close)
            readers.append(reader)
        yield readers


def read_to(reader: StalledReader, head: int) -> list[pb.WatchChangesResponse]:
    """Open the flow-control window, and read up to the head."""
    messages: list[pb.WatchChangesResponse] = []
    while True:
        for message in reader.read(opening=True):
            messages.append(message)
            kind = message.WhichOneof("message") or ""
            whole = kind in ("changes", "heartbeat", "image_end")
            if whole and getattr(message, kind).cursor.revision >= head:
                return messages


def assert_served(
    messages: list[pb.WatchChangesResponse], policy: pb.SlowReaderPolicy.ValueType
) -> None:
    """Check that the reader got every change, or with LATEST each loss and a new image."""
    at: int | None = None
    reached = 0
    lagged = []
    for message in messages:
        kind = message.WhichOneof("message") or ""
        part = getattr(message, kind)
        assert at is None or part.prev_revision == at
        at = part.cursor.revision
        if kind == "image_end":
            reached = at
        elif kind == "lagged":
            lagged.append((part.lost_from, part.lost_to))
            assert part.lost_from == reached + 1
            reached = part.lost_to
        for change in message.changes.changes:
            assert change.revision == reached + 1
            reached = change.revision
    assert bool(lagged) is (policy == LATEST)


@pytest.mark.parametrize("policy", [LOSSLESS, LATEST])
def test_five_that_never_read_cost_the_others_nothing_and_the_server_little(
    policy: pb.SlowReaderPolicy.ValueType, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs, memory = [], []
    with running("ours", SMALL_RING if policy == LATEST else RING_CHANGES) as bench:
        bench.attach(FAST, filtered=False)
        for _ in range(TURNS):
            without = _after_a_while(bench)
            with with_stalled(bench, STALLED, policy) as readers:
                while bench.do().subscribers != FAST + STALLED:
                    time.sleep(0.05)
                beside = _after_a_while(bench)
                head = bench.do().head
                for reader in readers:
                    assert_served(read_to(reader, head), policy)
            while bench.do().subscribers != FAST:
                time.sleep(0.05)
            pairs.append((without.p99_ms, beside.p99_ms))
            memory.append((beside.rss - without.rss) / STALLED)
    ratios = sorted(beside / without for without, beside in pairs)
    with capsys.disabled():
        shown = [f"{without:.0f}/{beside:.0f}" for without, beside in pairs]
        sys.stdout.write(
            f"\np99 without/with, ms: {shown}; median {statistics.median(ratios):.2f}\n"
        )
        sys.stdout.write(f"memory of each: {[round(each / 1e6, 2) for each in memory]} MB\n")
    assert statistics.median(memory) <= MOST_EACH_BYTES  # including the growth of the log
    assert statistics.median(ratios) <= 1.5


def _after_a_while(bench: Bench) -> Paced:
    """Wait for a stretch of changes, long enough to fill the windows of stalled readers."""
    paced(bench, 1_000, FILLING_S)
    return paced(bench, 1_000, STRETCH_S)


def test_a_thousand_subscribers_for_minutes(capsys: pytest.CaptureFixture[str]) -> None:
    """No change is lost and nobody is behind at the end; half select one bookmaker of ten."""
    with running("ours") as bench:
        before = bench.do().rss
        bench.attach(500, filtered=False)
        bench.attach(500, filtered=True, late=True)
        attached = bench.do()
        assert attached.subscribers == 1_000
        found = paced(bench, 300, 120)
        assert bench.do().subscribers == 1_000
        with capsys.disabled():
            sys.stdout.write(
                f"\n{(attached.rss - before) / 1e6:.1f} kB a subscriber, {found.rss / 1e6:.0f} MB"
                f" in all; {found.seen.messages:,} messages, p50 {found.p50_ms:.1f} ms,"
                f" p99 {found.p99_ms:.1f} ms, max {found.max_ms:.1f} ms\n"
            )
        assert (attached.rss - before) / 1_000 < 50_000
