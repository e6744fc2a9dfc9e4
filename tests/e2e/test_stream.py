"""The stream's promise as a property: a client always holds the odds that the bookmaker showed.

Real clients over gRPC meet random bodies, cuts, stalls, filters, restarts (clean, hard, and onto a
database that lost its tail), rings of twenty changes, and trimmed histories. At every heartbeat the
client library's map and an independent fold both equal an oracle's fold of the served bodies. A
stream that was cut and resumed anywhere has the same changes as an uninterrupted one, each once and
in order.
"""

import copy
import json
import os
import random
import sys
import tempfile
from bisect import bisect_right
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from odds_service.feed import ChangeFeed
from odds_service.model.cursor import Cursor, is_incomplete, plain_epoch
from odds_service.serving import odds, reading, stored, watch_options
from odds_service.stream import memory_log
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.offer import Offer, hours_from_now
from tests.support.oracle import Identity, Oracle, Outcomes
from tests.support.stream_rig import Rig, Shown, StreamClient, now, selected

RING = 20
CLIENTS = 5
RESTARTS = 3  # at most in one run, since each takes half a second

SOON = Timestamp()
SOON.FromDatetime(hours_from_now(3))
FILTERS = (
    pb.Filter(),
    pb.Filter(bookmakers=["alfa"], markets=["h2h"]),
    pb.Filter(in_play=False),
    pb.Filter(start_to=SOON, bookmakers=["bravo", "carol"]),
    pb.Filter(event_ids=["toa:e0", "toa:e3"]),
)
CONFLATED = Duration(nanos=100_000_000)
LOSSLESS, LATEST = pb.SLOW_READER_POLICY_LOSSLESS, pb.SLOW_READER_POLICY_LATEST

totals: Counter[str] = Counter()


class State(NamedTuple):
    """The oracle's odds, valid for a range of revisions."""

    lowest: int
    highest: int
    markets: dict[Identity, Outcomes]
    starts: dict[str, datetime]


class Saved(NamedTuple):
    """A copy of the database, and the state of the test when it was made."""

    path: Path
    revision: int
    oracle: Oracle
    epochs: list[tuple[str, int]]


class Reference:
    """The changes of a stream that is never cut, by revision, and the spans that it covers."""

    def __init__(self, client: StreamClient) -> None:
        self.client = client
        self.changes: dict[int, list[bytes]] = {}
        self.spans: list[tuple[int, int]] = []

    def add(self, since: int, seen: list[tuple[int, bytes]], upto: int) -> None:
        for revision, change in seen:
            self.changes.setdefault(revision, []).append(change)
        if self.spans and self.spans[-1][1] == since:
            since = self.spans.pop()[0]
        self.spans.append((since, upto))

    def forget_after(self, revision: int) -> None:
        self.changes = {at: c for at, c in self.changes.items() if at <= revision}
        self.spans = [(low, min(high, revision)) for low, high in self.spans if low < revision]

    def between(self, since: int, upto: int) -> list[tuple[int, bytes]] | None:
        """Return all changes in (since, upto], or None unless one span covers them."""
        if not any(low <= since and upto <= high for low, high in self.spans):
            return None
        return [
            (at, change)
            for at in sorted(self.changes)
            if since < at <= upto
            for change in self.changes[at]
        ]


class Streams(RuleBasedStateMachine):
    """One service, its bookmaker, and some clients."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        defaults = ChangeFeed.__init__.__kwdefaults__ or {}
        self.patch.setitem(defaults, "capacity", RING)
        self.patch.setattr(watch_options, "HEARTBEAT_BOUNDS_S", (0.02, 60.0))
        self.patch.setattr(stored, "PAGE_CHANGES", 20)
        self.patch.setattr(memory_log, "_BATCHES", 3)
        self.patch.setattr(reading, "_BODY_BYTES", 16_384)
        self.patch.setattr(odds.image_pieces, "__defaults__", (2_048,))
        self.folder = tempfile.TemporaryDirectory()
        self.rig = Rig(Path(self.folder.name))
        self.offer = Offer()
        self.oracle = Oracle()
        self.states = [State(self.rig.head, self.rig.head, {}, {})]
        self.clients: list[StreamClient] = []
        self.saved: Saved | None = None
        self.polled_at: list[datetime] = []
        self.restarts = 0
        self.references = {
            place: Reference(StreamClient(chosen)) for place, chosen in enumerate(FILTERS)
        }
        for reference in self.references.values():
            reference.client.open(self.rig.address)

    # The rules.

    @initialize(seed=st.integers(0, 2**32))
    def first_odds(self, seed: int) -> None:
        self.poll(seed, 12)
        for place in range(3):
            self.join((seed + place) % len(FILTERS), conflated=place == 2, latest=False)

    @rule(seed=st.integers(0, 2**32), steps=st.integers(0, 12))
    def poll(self, seed: int, steps: int) -> None:
        rng = random.Random(seed)
        body = self.offer.move(rng, steps)
        self._note_head()
        self.rig.poll(body)
        self.oracle.poll(_decoded(body), american=False)
        starts = {e: datetime.fromisoformat(at) for e, (_, _, at) in self.oracle.events.items()}
        head = self.rig.head
        self.states.append(State(head, head, dict(self.oracle.markets), starts))
        self.polled_at.append(now())
        totals["polls"] += 1

    @rule(seed=st.integers(0, 2**32), polls=st.integers(3, 8))
    def polls_in_a_row(self, seed: int, polls: int) -> None:
        for number in range(polls):
            self.poll(seed + number, 10)

    @precondition(lambda self: len(self.clients) < CLIENTS)
    @rule(
        place=st.integers(0, len(FILTERS) - 1),
        conflated=st.booleans(),
        latest=st.integers(0, 3).map(lambda drawn: drawn == 0),
        literal=st.booleans(),
    )
    def join(self, place: int, conflated: bool, latest: bool, literal: bool = True) -> None:
        client = StreamClient(
            FILTERS[place],
            conflate=CONFLATED if conflated else None,
            policy=LATEST if latest else LOSSLESS,
            literal=literal,
        )
        opened = client.open(self.rig.address)
        assert opened.image
        self.clients.append(client)
        totals["clients"] += 1

    @rule(
        place=st.integers(0, len(FILTERS) - 1),
        edge=st.sampled_from(("ring", "floor", "epoch", "head")),
        beside=st.integers(-2, 2),
        epochs_back=st.integers(0, 2),
    )
    def look_from_an_edge(self, place: int, edge: str, beside: int, epochs_back: int) -> None:
        """Resume at a bare cursor where memory, history, an epoch or the log itself ends."""
        self.rig.stored()
        epochs = self.rig.epochs
        epoch, _ = epochs[max(0, len(epochs) - 1 - epochs_back)]
        edges = {
            "ring": self.rig.oldest - 1, "floor": self.rig.floor(),
            "epoch": epochs[-1][1], "head": self.rig.head,
        }  # fmt: skip
        revision = max(0, edges[edge] + beside)
        client = StreamClient(FILTERS[place], start=Cursor(epoch, revision))
        self._resume(client)
        head = self._note_head()
        client.settle(head)
        self.references[place].client.settle(head)
        self._judge(client)
        client.cut()
        totals["looks from an edge"] += 1

    @precondition(lambda self: self.clients)
    @rule(which=st.integers(0, CLIENTS - 1))
    def cut(self, which: int) -> None:
        self._chosen(which).cut()
        totals["cuts"] += 1

    @precondition(lambda self: self.clients)
    @rule(which=st.integers(0, CLIENTS - 1))
    def cut_and_resume(self, which: int) -> None:
        client = self._chosen(which)
        client.cut()
        self._resume(client)
        totals["cuts"] += 1

    @precondition(lambda self: self.clients)
    @rule(which=st.integers(0, CLIENTS - 1), messages=st.integers(1, 8))
    def cut_after_some_messages(self, which: int, messages: int) -> None:
        """Cut inside an image or a window, and again after the first message of the resumption."""
        client = self._chosen(which)
        client.cut()
        self._resume(client, read_only=messages)
        client.cut()
        self._resume(client, read_only=1)
        client.cut()
        self._resume(client)
        totals["cuts"] += 3

    @precondition(lambda self: len(self.clients) < CLIENTS)
    @rule(place=st.integers(0, len(FILTERS) - 1), messages=st.integers(1, 6))
    def join_and_be_cut_inside_the_image(self, place: int, messages: int) -> None:
        client = StreamClient(FILTERS[place], literal=True)
        assert client.open(self.rig.address, read_only=messages).image
        client.cut()
        self.clients.append(client)
        self._resume(client)
        totals["clients"] += 1

    @rule()
    def cut_and_resume_all(self) -> None:
        for client in self.clients:
            client.cut()
            self._resume(client)
            totals["cuts"] += 1

    @precondition(lambda self: any(not client.connected for client in self.clients))
    @rule(which=st.integers(0, CLIENTS - 1))
    def resume(self, which: int) -> None:
        gone = [client for client in self.clients if not client.connected]
        self._resume(gone[which % len(gone)])

    @precondition(lambda self: any(client.connected for client in self.clients))
    @rule(which=st.integers(0, CLIENTS - 1))
    def stall(self, which: int) -> None:
        there = [client for client in self.clients if client.connected]
        there[which % len(there)].stall()
        totals["stalls"] += 1

    @precondition(lambda self: any(client.stalled for client in self.clients))
    @rule()
    def go_on(self) -> None:
        for client in self.clients:
            client.go_on()

    @rule()
    def settle(self) -> None:
        """Let every client that reads reach the head, and compare it with the oracle."""
        head = self._note_head()
        for reference in self.references.values():
            reference.client.settle(head)
        for client in self.clients:
            if client.connected and not client.stalled:
                client.settle(head)
        self._judge()

    @precondition(lambda self: len(self.polled_at) > 4)
    @rule(back=st.integers(0, 4))
    def trim_history(self, back: int) -> None:
        self.rig.stored()
        self.rig.trim(self.polled_at[-1 - back])
        totals["trims"] += 1

    @precondition(lambda self: self.restarts < RESTARTS)
    @rule(kill=st.booleans())
    def restart(self, kill: bool) -> None:
        """Restart in order, or after cancelling everything: a spill file may restore the tail."""
        self.settle_all()
        self.rig.stop(kill=kill)
        self._note_head()
        self._start_again()

    @rule()
    def save(self) -> None:
        self.rig.stored()
        self._note_head()
        path = Path(self.folder.name) / "saved.copy"
        path.unlink(missing_ok=True)
        self.rig.copy_database(path)
        self.saved = Saved(path, self.rig.head, copy.deepcopy(self.oracle), self.rig.epochs)
        # Revisions after the copy may be lost, so the recorded one must be inside it.
        while self.saved.revision != self.states[-1].highest:
            self._note_head()
            self.saved = self.saved._replace(revision=self.states[-1].highest)

    @precondition(lambda self: self.saved is not None and self.restarts < RESTARTS)
    @rule()
    def crash_and_lose_the_tail(self) -> None:
        assert self.saved is not None
        self.settle_all()
        self.rig.stop(kill=True)
        self.rig.put_back(self.saved.path)
        self.oracle = copy.deepcopy(self.saved.oracle)
        self._start_again(lost=True)
        totals["lost tails"] += 1

    # The checks.

    def settle_all(self) -> None:
        for client in self.clients:
            client.go_on()
        self.settle()

    def _chosen(self, which: int) -> StreamClient:
        return self.clients[which % len(self.clients)]

    def _note_head(self) -> int:
        """Extend the last state to the present head; between polls only sources change."""
        head = self.rig.head
        self.states[-1] = self.states[-1]._replace(highest=head)
        return head

    def _start_again(self, *, lost: bool = False) -> None:
        for client in (*self._reference_clients(), *self.clients):
            client.cut()
        self._judge()
        self.rig.start()
        self.restarts += 1
        totals["restarts"] += 1
        first = self.rig.epochs[-1][1]
        if lost:
            assert first <= self.states[-1].highest + 1
            for reference in self.references.values():
                reference.forget_after(first - 1)
            self.states = [
                state._replace(highest=min(state.highest, first - 1))
                for state in self.states
                if state.lowest < first
            ]
            self.offer = Offer()  # its odds differ from the lost ones
        else:
            assert first == self.states[-1].highest + 1
        # Counts of absences are not stored, so they begin again at a start.
        self.oracle.restarted()
        starts = {e: datetime.fromisoformat(at) for e, (_, _, at) in self.oracle.events.items()}
        self.states.append(State(first - 1, first - 1, dict(self.oracle.markets), starts))
        self.saved = None
        for client in self._reference_clients():
            client.open(self.rig.address)

    def _reference_clients(self) -> list[StreamClient]:
        return [reference.client for reference in self.references.values()]

    def _resume(self, client: StreamClient, *, read_only: int | None = None) -> None:
        cursor, oldest, head = client.resume_at, self.rig.oldest, self.rig.head
        opened = client.open(self.rig.address, read_only=read_only)
        expected = self._expected(client, cursor, oldest, head)
        assert opened.reason in expected, (opened, cursor, self.rig.epochs)
        totals["resumes"] += 1
        totals[f"opened {opened.reason}"] += 1

    def _expected(
        self, client: StreamClient, cursor: Cursor | None, oldest_before: int, head_before: int
    ) -> set[str]:
        """Return the reasons that the server may give for a cursor."""
        if cursor is None:
            return {"no_cursor"}
        epoch, revision = plain_epoch(cursor.epoch), cursor.revision
        epochs = [name for name, _ in self.rig.epochs]
        if epoch not in epochs:
            return {"epoch_changed"}
        after = self.rig.epochs[epochs.index(epoch) + 1 :]
        if after and revision >= after[0][1]:
            return {"epoch_changed"}
        if revision > head_before:
            return (
                {"ahead_of_server", "resumed"} if revision <= self.rig.head else {"ahead_of_server"}
            )
        if is_incomplete(cursor.epoch):
            return {"image_incomplete"}
        if revision >= self.rig.oldest - 1:
            return {"resumed"}
        kept = revision >= self.rig.floor() and client.policy != LATEST
        if kept:
            return {"resumed"}
        return {"too_old"} if revision < oldest_before - 1 else {"too_old", "resumed"}

    def _judge(self, *beside: StreamClient) -> None:
        for reference in self.references.values():
            reference.client.check()
            told, since, seen, upto = reference.client.judge()
            self._compare(reference.client, told)
            if since is not None:
                reference.add(since, seen, upto)
        for client in (*self.clients, *beside):
            client.check()
            told, since, seen, upto = client.judge()
            self._compare(client, told)
            if since is None or client.conflated:
                continue
            place = FILTERS.index(client.filter)
            expected = self.references[place].between(since, upto)
            if expected is None:
                totals["spans without a reference"] += 1
                continue
            assert seen == expected, f"changes in ({since}, {upto}] of {client.filter}"
            totals["changes compared"] += len(seen)

    def _compare(self, client: StreamClient, told: list[Shown]) -> None:
        for _epoch, revision, of_map, of_fold in told:
            place = bisect_right(self.states, revision, key=lambda state: state.lowest) - 1
            state = self.states[place]
            if not state.lowest <= revision <= state.highest:
                totals["heartbeats between two polls"] += 1
                continue
            expected = selected(client.filter, state.markets, state.starts)
            assert of_map == expected, f"the map at {revision}, {client.filter}"
            assert of_fold == expected, f"the fold at {revision}, {client.filter}"
            totals["heartbeats compared"] += 1

    def teardown(self) -> None:
        try:
            for client in self.clients:
                client.go_on()
                if not client.connected:
                    self._resume(client)
            self.settle()
        finally:
            for client in (*self._reference_clients(), *self.clients):
                totals.update({f"client {name}": n for name, n in client.counts.items()})
                client.failure = None
                client.cut()
            self.rig.close()
            self.folder.cleanup()
            self.patch.undo()
        totals["runs"] += 1


def _decoded(body: bytes) -> list[dict[str, Any]]:
    decoded: list[dict[str, Any]] = json.loads(body)
    return decoded


QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]  # no shrinking, which takes hours


def test_a_client_holds_what_the_bookmaker_showed_whatever_happens() -> None:
    run_state_machine_as_test(
        Streams,
        settings=settings(
            max_examples=10, stateful_step_count=30, deadline=None, suppress_health_check=QUIET,
            derandomize=True, phases=PHASES, print_blob=True,
        ),
    )  # fmt: skip
    assert totals["heartbeats compared"] > 100
    assert totals["changes compared"] > 100
    assert totals["opened image_incomplete"] > 0


@pytest.mark.long
def test_the_same_for_minutes(capsys: pytest.CaptureFixture[str]) -> None:
    """STREAM_RUNS sets the number of runs; the figures are in docs/reliability.md."""
    run_state_machine_as_test(
        Streams,
        settings=settings(
            max_examples=int(os.environ.get("STREAM_RUNS", "100")), stateful_step_count=60,
            deadline=None, suppress_health_check=QUIET, phases=PHASES, print_blob=True,
            database=None,
        ),
    )  # fmt: skip
    with capsys.disabled():
        for name, count in sorted(totals.items()):
            sys.stdout.write(f"{name}: {count}\n")
