"""Changes of markets are values, whether they were decoded or made by hand.

The expected value is decoded at once, by code of this test.
"""

import copy
import gc
import pickle
import threading
from dataclasses import FrozenInstanceError, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from odds_service.client import (
    ChangeKind,
    Market,
    MarketChange,
    MarketKey,
    MarketStatus,
    Outcome,
    UnknownChange,
    decode,
)
from odds_service.client.decode import historical_change
from odds_service.model.price import canonical_line
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.contract.filling import filled

NAMES: Final = [field.name for field in fields(MarketChange)]

texts = st.text(max_size=3)
counts = st.integers(0, 9)
lines = st.none() | st.sampled_from([0.0, -0.0, 2.5, -3.25])
times = st.builds(Timestamp, seconds=st.integers(0, 2**31), nanos=st.integers(0, 10**9 - 1))
outcomes = st.builds(
    pb.Outcome,
    key=texts,
    name=texts,
    price=st.none() | st.sampled_from([0.0, 1.5]),
    active=st.booleans(),
)
markets = st.builds(
    pb.Market,
    key=st.builds(pb.MarketKey, market=texts, line=lines, participant=texts),
    status=st.integers(0, 9),
    outcomes=st.lists(outcomes, max_size=3),
    revision=counts,
    changed_at=times,
    source_updated_at=st.none() | times,
)
messages = st.builds(
    pb.Change,
    revision=counts,
    kind=st.integers(0, 15).filter(lambda kind: kind != pb.CHANGE_KIND_UNSTORED),
    event_id=texts,
    source=texts,
    bookmaker=texts,
    before=st.none() | markets,
    after=markets,
    observed_at=times,
    detected_at=times,
    reason=texts,
    other_line=lines,
    snapshot_id=counts,
    conflated_count=counts,
    suspended_meanwhile=st.booleans(),
)


def at_once(message: pb.Change) -> MarketChange:
    kinds, statuses = list(map(int, ChangeKind)), list(map(int, MarketStatus))

    def moment(at: Timestamp) -> datetime:
        microseconds = at.seconds * 10**6 + at.nanos // 1000
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)

    def market(told: pb.Market) -> Market:
        line = canonical_line(told.key.line) if told.key.HasField("line") else ""
        return Market(
            MarketKey(told.key.market, line, told.key.participant),
            MarketStatus(told.status) if told.status in statuses else MarketStatus.SUSPENDED,
            tuple(
                Outcome(each.key, each.name, each.price if each.HasField("price") else None,
                        each.active)
                for each in told.outcomes
            ),
            told.revision,
            moment(told.changed_at),
            moment(told.source_updated_at) if told.HasField("source_updated_at") else None,
        )  # fmt: skip

    return MarketChange(
        revision=message.revision,
        kind=ChangeKind(message.kind) if message.kind in kinds else ChangeKind.UNSPECIFIED,
        event_id=message.event_id,
        source=message.source,
        bookmaker=message.bookmaker,
        before=market(message.before) if message.HasField("before") else None,
        after=market(message.after),
        observed_at=moment(message.observed_at),
        detected_at=moment(message.detected_at),
        reason=message.reason,
        other_line=canonical_line(message.other_line) if message.HasField("other_line") else None,
        snapshot_id=message.snapshot_id,
        conflated_count=message.conflated_count,
        suspended_meanwhile=message.suspended_meanwhile,
    )


def unread(message: pb.Change) -> MarketChange:
    change = historical_change(message)
    assert isinstance(change, MarketChange)
    return change


@given(messages, st.permutations(NAMES))
def test_in_whatever_order_it_is_looked_at_it_equals_one_decoded_at_once(
    message: pb.Change, order: list[str]
) -> None:
    expected = at_once(message)
    change = unread(message)
    for name in order:
        assert getattr(change, name) == getattr(expected, name), name
        assert type(getattr(change, name)) is type(getattr(expected, name)), name
    assert change == expected
    assert change.key == expected.after.key


@given(messages)
def test_unread_it_compares_hashes_shows_and_copies_like_any_value(message: pb.Change) -> None:
    expected = at_once(message)
    assert unread(message) == expected
    assert expected == unread(message)
    assert unread(message) == unread(message)
    assert hash(unread(message)) == hash(expected)
    assert repr(unread(message)) == repr(expected)
    assert pickle.loads(pickle.dumps(unread(message))) == expected  # noqa: S301  # our own bytes
    assert copy.copy(unread(message)) == expected
    assert copy.deepcopy(unread(message)) == expected
    assert replace(unread(message), revision=99) == replace(expected, revision=99)
    assert replace(unread(message), revision=99) != expected
    assert msgspec.to_builtins(unread(message)) == msgspec.to_builtins(expected)


def test_once_looked_at_it_holds_no_message() -> None:
    message = filled(pb.Change, without=("event", "source_state"))
    change = unread(message)
    assert any(isinstance(each, Message) for each in gc.get_referents(change))
    assert change.revision == message.revision
    assert not any(isinstance(each, Message) for each in gc.get_referents(change))
    message.Clear()
    assert change.before is not None
    assert change.before.outcomes


def test_threads_may_look_at_it_at_once() -> None:
    message = filled(pb.Change, without=("event", "source_state"))
    expected = at_once(message)
    for _ in range(100):
        change = unread(message)
        barrier = threading.Barrier(4)
        found: list[Any] = []

        def look(change: MarketChange = change, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            found.append([getattr(change, name) for name in NAMES])  # noqa: B023  # joined below

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [[getattr(expected, name) for name in NAMES]] * 4


def test_it_has_no_other_names_and_cannot_be_changed() -> None:
    change = unread(filled(pb.Change, without=("event", "source_state")))
    with pytest.raises(AttributeError, match="no attribute 'prise'"):
        change.prise  # type: ignore[attr-defined]  # noqa: B018  # a slip of the pen
    with pytest.raises(FrozenInstanceError):
        change.revision = 3  # type: ignore[misc]  # as a careless caller may


def test_an_unstored_change_is_never_one_of_a_market() -> None:
    message = pb.Change(kind=pb.CHANGE_KIND_UNSTORED, after=pb.Market())
    assert isinstance(historical_change(message), UnknownChange)
    (change,) = decode.history_page(pb.HistoryPage(changes=[message]))
    assert isinstance(change, UnknownChange)
