"""Messages of the bus: every value comes back equal, and nothing else passes.

The strategies are driven by the fields of the model, so a field that is lost on the way fails here
as soon as it exists.
"""

import random
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from odds_service.bus.messages import (
    MOST_BYTES,
    MOST_PARTS,
    PIECE_BYTES,
    VERSION,
    Assembler,
    BadMessage,
    Batch,
    Decoded,
    DecodedBatch,
    DecodedChange,
    DecodedCommit,
    DecodedMarket,
    Freshness,
    Message,
    Opened,
    Part,
    decode,
    encode,
)
from odds_service.model.change import (
    Change,
    Commit,
    EventChange,
    MarketChange,
    SourceChange,
    Timing,
)
from odds_service.model.fold import OddsState, forwards
from odds_service.model.market import Market, Outcome
from odds_service.model.snapshot import Snapshot
from tests.model.test_fold import looks, run_of
from tests.support.any_value import any_of
from tests.support.examples import examples
from tests.support.observations import NOON
from tests.support.odds_builders import Bookkeeping, random_observations
from tests.support.outbox_runs import in_tuples


def numbered(commits: Sequence[Commit], after: int) -> tuple[Commit, ...]:
    """Number changes from `after` + 1 on."""
    found = []
    for commit in commits:
        changes = []
        for change in commit.changes:
            after += 1
            changes.append(replace(change, revision=after))
        found.append(replace(commit, changes=tuple(changes)))
    return tuple(found)


any_commits = st.lists(any_of(Commit, most=2).filter(lambda commit: commit.changes), max_size=2)
any_batches = st.builds(
    lambda batch, commits: replace(batch, commits=numbered(commits, batch.prev_revision)),
    st.builds(Batch, st.text(max_size=8), st.integers(0, 2**40), st.integers(0, 2**40)),
    any_commits,
)
freshness = any_of(Freshness, most=2)


def whole(message: Message) -> Message:
    """Return a message after its way over the bus."""
    (one,) = encode(message)
    return with_all(decode(one))


def with_all(found: Decoded | None) -> Message:
    """Return a decoded message with all its values decoded."""
    assert found is not None
    return found.batch() if isinstance(found, DecodedBatch) else found


@settings(max_examples=examples(100))
@given(any_batches, st.none() | freshness, any_of(datetime | None))
def test_a_batch_comes_back_equal_in_every_field(
    batch: Batch, fresh: Freshness | None, sent_at: datetime | None
) -> None:
    batch = replace(batch, freshness=fresh, sent_at=sent_at)
    assert whole(batch) == batch


@settings(max_examples=examples(40))
@given(any_of(MarketChange) | any_of(EventChange, most=2) | any_of(SourceChange))
def test_a_change_of_each_kind_comes_back_equal(change: Change) -> None:
    change = replace(change, revision=5)
    batch = Batch("e", 4, 0, (Commit((change,)),))
    found = whole(batch)
    assert isinstance(found, Batch)
    (commit,) = found.commits
    assert commit.changes == (change,)
    assert type(commit.changes[0]) is type(change)


def test_a_message_may_carry_no_change() -> None:
    batch = Batch("e", 7, 5)
    assert whole(batch) == batch
    assert batch.revision == 7


def test_a_batch_of_a_writer_that_tells_no_time_has_none() -> None:
    fields = [1, "e", 7, 5, [], None]
    found = decode(bytes([VERSION]) + msgspec.msgpack.encode(fields))
    assert with_all(found) == Batch("e", 7, 5)
    with pytest.raises(BadMessage):  # a time without a zone
        decode(bytes([VERSION]) + msgspec.msgpack.encode([*fields, "2026-11-27T03:00:00"]))


def test_an_epoch_message_comes_back_equal() -> None:
    opened = Opened((("a", 1), ("b", 12)), 12, 14)
    assert whole(opened) == opened
    assert opened.epoch == "b"


@settings(max_examples=60, deadline=None)
@given(looks)
def test_folding_decoded_commits_equals_folding_the_originals(script: list[Any]) -> None:
    original = decoded = OddsState()
    for _, commit, _ in run_of(script).steps:
        batch = whole(Batch("e", commit.first_revision - 1, 0, (commit,)))
        assert isinstance(batch, Batch)
        (again,) = batch.commits
        assert again == in_tuples(commit)
        original, decoded = forwards(original, commit), forwards(decoded, again)
        assert decoded == original


@pytest.mark.parametrize("seed", range(5))
def test_a_log_of_many_commits_a_message_folds_equally(seed: int) -> None:
    book = Bookkeeping()
    for observation in random_observations(random.Random(seed), 60):
        book.see(observation)
    assert any(commit.event_sources for commit in book.batches)
    assert any(getattr(change, "ended", ()) for change in book.log)
    original = decoded = OddsState()
    for start in range(0, len(book.batches), 7):
        commits = book.batches[start : start + 7]
        batch = whole(Batch("e", commits[0].first_revision - 1, 0, commits))
        assert isinstance(batch, Batch)
        assert batch.revision == commits[-1].last_revision
        for one, other in zip(commits, batch.commits, strict=True):
            original, decoded = forwards(original, one), forwards(decoded, other)
        assert decoded == original


def large_batch(changes: int, name_chars: int = 2_000) -> Batch:
    """Return one commit whose messages hold about `name_chars` bytes a change."""
    sample = _sample_commit()
    change = sample.changes[0]
    assert isinstance(change, MarketChange)
    rng = random.Random(1)
    many = tuple(
        replace(
            change,
            revision=revision,
            after=replace(
                change.after, outcomes=(Outcome(rng.randbytes(name_chars // 2).hex(), "x", 2.0),)
            ),
        )
        for revision in range(11, 11 + changes)
    )
    return Batch("e", 10, 3, (Commit(many, timing=Timing("toa", "t", 1.0, 2.0)),))


def _sample_commit() -> Commit:
    book = Bookkeeping()
    for observation in random_observations(random.Random(0), 3):
        book.see(observation)
    return next(
        Commit(tuple(c for c in commit.changes if isinstance(c, MarketChange)))
        for commit in book.batches
        if any(isinstance(change, MarketChange) for change in commit.changes)
    )


def parts_of(batch: Batch) -> list[Part]:
    found = []
    for one in encode(batch):
        part = decode(one)
        assert isinstance(part, Part)
        found.append(part)
    return found


def test_a_large_commit_travels_in_parts_and_applies_with_the_last() -> None:
    batch = large_batch(900)
    pieces = encode(batch)
    assert len(pieces) == 4
    assert max(map(len, pieces)) <= MOST_BYTES
    assembler = Assembler()
    *early, last = [assembler.add(decode(piece)) for piece in pieces]
    assert early == [None, None, None]
    assert with_all(last) == batch
    assert not assembler.incomplete


@pytest.mark.parametrize("changes", [252, 253, 254, 255, 256, 257])
def test_the_limit_is_exact(changes: int) -> None:
    batch = large_batch(changes, 2_000)
    pieces = encode(batch)
    assert max(map(len, pieces)) <= MOST_BYTES
    if len(pieces) == 1:
        assert len(pieces[0]) <= PIECE_BYTES
    else:
        assembler = Assembler()
        assert with_all([assembler.add(decode(piece)) for piece in pieces][-1]) == batch


def test_another_message_closes_an_incomplete_batch() -> None:
    first, *_ = parts_of(large_batch(300))
    opened = Opened((("e", 1), ("f", 11)), 11, 10)
    assembler = Assembler()
    assert assembler.add(first) is None
    assert assembler.incomplete
    assert assembler.add(opened) == opened
    assert not assembler.incomplete
    for part in parts_of(large_batch(300))[:-1]:
        assert assembler.add(part) is None  # from its first part on, it is written again
    assert with_all(assembler.add(parts_of(large_batch(300))[-1])) == large_batch(300)


def wrong_parts() -> Iterator[Any]:
    first, second, *_ = parts_of(large_batch(600))
    yield pytest.param([second], id="without-a-first")
    yield pytest.param([first, replace(second, number=3)], id="one-missing")
    yield pytest.param([first, replace(second, count=7)], id="another-count")
    yield pytest.param([first, replace(second, epoch="f")], id="another-epoch")
    yield pytest.param([first, replace(second, prev_revision=11)], id="another-batch")
    yield pytest.param([first, replace(second, revision=999)], id="another-end")
    yield pytest.param([first, second, second], id="repeated")
    halves = encode(Batch("e", 1, 0))[0]
    yield pytest.param(
        [Part("e", 9, 9, 1, 2, halves[:4]), Part("e", 9, 9, 2, 2, halves[4:])],
        id="not-what-it-says",
    )
    opened = encode(Opened((("e", 1),), 1, 0))[0]
    yield pytest.param(
        [Part("e", 1, 1, 1, 2, opened[:4]), Part("e", 1, 1, 2, 2, opened[4:])], id="no-batch"
    )


@pytest.mark.parametrize("parts", list(wrong_parts()))
def test_parts_that_do_not_fit_are_refused_and_dropped(parts: list[Part]) -> None:
    assembler = Assembler()
    for part in parts[:-1]:
        assert assembler.add(part) is None
    with pytest.raises(BadMessage):
        assembler.add(parts[-1])
    assert not assembler.incomplete


def test_a_batch_beyond_all_bounds_is_refused() -> None:
    with pytest.raises(BadMessage, match="too large for the bus"):
        encode(large_batch(1, MOST_PARTS * PIECE_BYTES))


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (b"", "empty"),
        (bytes([VERSION]), "unreadable"),
        (bytes([VERSION + 1]) + encode(Batch("e", 1, 0))[0][1:], "version 2, not 1"),
        (b"{}", "version 123"),
        (bytes(MOST_BYTES + 1), "longer than"),
        (bytes([VERSION]) + b"\x91" * 200_000, "unreadable"),
        (bytes([VERSION]) + msgspec.msgpack.encode([9, "e"]), "unreadable"),
        (bytes([VERSION]) + msgspec.msgpack.encode([1, "e", -1, 0, [], None]), "unreadable"),
        (bytes([VERSION]) + msgspec.msgpack.encode([1, "e", 0, 0, [[[]]], None]), "unreadable"),
        (bytes([VERSION]) + msgspec.msgpack.encode([2, "e", 0, 0, 3, 2, b""]), "part 3 of 2"),
        (bytes([VERSION]) + msgspec.msgpack.encode([3, [], 0, 0]), "last epoch"),
        (bytes([VERSION]) + msgspec.msgpack.encode([3, [["e", 4]], 5, 3]), "last epoch"),
    ],
)
def test_what_is_no_message_is_refused_by_name(message: bytes, said: str) -> None:
    with pytest.raises(BadMessage, match=said):
        decode(message)


def test_revisions_with_a_hole_are_refused() -> None:
    (commit,) = numbered([_sample_commit()], 7)
    first = commit.first_revision
    fine = Batch("e", first - 1, 0, (commit,))
    assert whole(fine) == fine
    with pytest.raises(BadMessage, match=f"revision {first} where {first - 1} is next"):
        whole(replace(fine, prev_revision=first - 2))


def test_every_truncation_is_refused() -> None:
    commit = numbered([_sample_commit()], 0)
    (message,) = encode(Batch("e", 0, 0, commit, Freshness(dropped=("x",))))
    for length in range(len(message)):
        with pytest.raises(BadMessage):
            decode(message[:length])


@given(st.binary(max_size=200))
def test_garbage_is_a_message_or_refused(garbage: bytes) -> None:
    for message in (garbage, bytes([VERSION]) + garbage):
        try:
            with_all(decode(message))
        except BadMessage:
            continue


@settings(max_examples=examples(200))
@given(st.data())
def test_a_message_with_damaged_bytes_is_a_message_or_refused(data: st.DataObject) -> None:
    commit = numbered([_sample_commit()], 0)
    damaged = bytearray(encode(Batch("e", 0, 0, commit))[0])
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=4)):
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        found = with_all(decode(bytes(damaged)))
    except BadMessage:
        return
    encode(found)


# Version 1, as it is on buses out there. New fields come last; all else needs a new version.
FIELDS: dict[type[msgspec.Struct], str] = {
    Batch: "epoch prev_revision durable_revision commits freshness sent_at",
    Commit: "changes snapshots event_sources replaced timing",
    Freshness: "confirmed event_sources sources dropped",
    Snapshot: "snapshot_id event_id source bookmaker observed_at confirmed_at"
    " source_updated_at lagging",
    Part: "epoch prev_revision revision number count piece",
    Opened: "epochs first_revision prev_revision",
    MarketChange: "revision kind reason event_id source bookmaker snapshot_id observed_at"
    " detected_at before after other_line wall_at",
    EventChange: "revision kind reason event_id source observed_at detected_at before after ended"
    " wall_at",
    SourceChange: "revision kind reason source observed_at detected_at before after wall_at",
    Market: "key status outcomes revision changed_at source_updated_at",
    Outcome: "key name price active",
}


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
def test_fields_keep_their_places_and_new_ones_have_a_default(kind: type[msgspec.Struct]) -> None:
    known = FIELDS[kind].split()
    fields = msgspec.structs.fields(kind)
    assert [field.name for field in fields][: len(known)] == known
    assert not any(field.required for field in fields[len(known) :])


def test_what_is_decoded_has_all_fields_of_its_value() -> None:
    for decoded, value in (
        (DecodedBatch, Batch),
        (DecodedCommit, Commit),
        (DecodedChange, MarketChange),
        (DecodedMarket, Market),
    ):
        assert decoded.__struct_fields__ == value.__struct_fields__
        assert decoded.__struct_config__.tag == value.__struct_config__.tag


def test_an_unreadable_market_before_is_refused_once_it_is_asked_for() -> None:
    market = [["h2h", "", ""], 1, [["home", "Home", "dear", True]], 3, NOON, None]
    good = [["h2h", "", ""], 1, [["home", "Home", 2.0, True]], 5, NOON, None]
    change = [1, 5, 2, "", "x1", "toa", "b", 5, NOON, NOON, market, good]
    fields = [1, "e", 4, 0, [[[change], [], [], {}, None]], None]
    found = decode(bytes([VERSION]) + msgspec.msgpack.encode(fields))
    with pytest.raises(BadMessage, match="unreadable market"):
        with_all(found)
    market[1], market[2] = 9, good[2]  # no status has this number
    found = decode(bytes([VERSION]) + msgspec.msgpack.encode(fields))
    with pytest.raises(BadMessage, match="unreadable market"):
        with_all(found)


def test_times_come_back_to_the_microsecond() -> None:
    commit = _sample_commit()
    at = NOON.replace(microsecond=123_457)
    change = replace(commit.changes[0], revision=1, detected_at=at)
    found = whole(Batch("e", 0, 0, (Commit((change,)),)))
    assert isinstance(found, Batch)
    assert found.commits[0].changes[0].detected_at == at
    assert found.commits[0].changes[0].detected_at.tzinfo is not None
