"""Requests and replies beside the log come back as they were sent; other bytes are refused."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odds_service.bus.bus import MOST_BODY_BYTES
from odds_service.bus.messages import BadMessage
from odds_service.bus.requests import (
    OwnerState,
    RefreshAsk,
    decode_ask,
    decode_outcome,
    decode_state,
    encode_ask,
    encode_outcome,
    encode_state,
)
from odds_service.errors import NotDurableYet, NotFetchedYet, UnknownEvent
from odds_service.model.refresh import FetchOutcome, RefreshOutcome
from tests.support.examples import examples
from tests.support.outbox_runs import commits_of, large_commit


def test_an_ask_and_a_state_come_back_as_they_were() -> None:
    ask = RefreshAsk("ev-1", 12.5)
    assert decode_ask(encode_ask(ask)) == ask
    state = OwnerState("a:1", "e", 12, 10, datetime(2026, 11, 27, tzinfo=UTC), "the bus is away")
    assert decode_state(encode_state(state)) == state


def test_an_outcome_comes_back_as_it_was() -> None:
    outcome = RefreshOutcome(
        99,
        [change for commit in commits_of(3, 6) for change in commit.changes],
        {("toa", "b1"): 7, ("toa", "b2"): 9},
        [FetchOutcome("toa", "", "", 0.25), FetchOutcome("other", "timeout", "too slow", 5.0)],
    )
    found = decode_outcome(encode_outcome("ev-1", outcome))
    assert list(found.changes) == list(outcome.changes)
    assert (found.revision, found.snapshot_ids) == (outcome.revision, outcome.snapshot_ids)
    assert found.sources == outcome.sources


def test_an_outcome_above_the_bound_goes_without_its_changes() -> None:
    outcome = RefreshOutcome(1, large_commit(1, 2).changes, {("a", "b"): 1}, [])
    body = encode_outcome("ev-1", outcome)
    assert len(body) < MOST_BODY_BYTES
    found = decode_outcome(body)
    assert (list(found.changes), found.revision) == ([], 1)
    assert found.snapshot_ids == {("a", "b"): 1}


def test_the_error_of_a_refresh_is_raised_where_it_was_asked_for() -> None:
    with pytest.raises(UnknownEvent, match="'ev-1' is not known"):
        decode_outcome(encode_outcome("ev-1", UnknownEvent("gone")))
    with pytest.raises(NotDurableYet) as durable:
        decode_outcome(encode_outcome("ev-1", NotDurableYet("e", 5)))
    assert (durable.value.epoch, durable.value.revision) == ("e", 5)
    with pytest.raises(NotFetchedYet) as fetched:
        decode_outcome(encode_outcome("ev-1", NotFetchedYet("e", 5, ["toa"])))
    assert (fetched.value.revision, fetched.value.sources) == (5, ("toa",))


@settings(max_examples=examples(200), deadline=None)
@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda body: b"\x01" + body))
def test_foreign_bytes_are_refused(body: bytes) -> None:
    for decode in (decode_ask, decode_state, decode_outcome):
        try:
            decode(body)
        except BadMessage:
            continue
        except (UnknownEvent, NotDurableYet, NotFetchedYet):
            continue  # a valid reply by chance
