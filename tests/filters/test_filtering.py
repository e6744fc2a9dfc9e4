"""A filtered stream folds to the odds that the filter selects, at every place in the log."""

import random
from collections.abc import Callable, Iterable
from datetime import timedelta

import pytest

from odds_service.filters.filtering import ENTERED_FILTER
from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.model.change import Change, ChangeKind, EventChange, MarketChange, Reason
from odds_service.model.market import MarketStatus
from odds_service.serving.reading import LogReader, window_frames
from odds_service.stream.conflation import Window
from odds_service.stream.memory_log import MemoryLog
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.observations import NOON, Place, Shown, shown_of
from tests.support.odds_builders import Bookkeeping, random_observations

SELECTIONS = {
    "everything": EVERYTHING,
    "events": Selection(event_ids=frozenset({"e0", "e1"})),
    "bookmaker": Selection(bookmakers=frozenset({"b1"})),
    "market": Selection(markets=frozenset({"totals"})),
    "other sport": Selection(sports=frozenset({"tennis"})),
    "sport": Selection(sports=frozenset({"soccer"}), markets=frozenset({"h2h"})),
    "not in play": Selection(in_play=False),
    "in play": Selection(in_play=True),
    "starts soon": Selection(
        start_from=NOON, start_to=NOON + timedelta(minutes=45), markets=frozenset({"totals"})
    ),
}


def fold_selected(
    held: dict[Place, Shown], events: set[str], changes: Iterable[Change], *, exact: bool = True
) -> None:
    """Apply selected changes as a client does; with `exact`, check every `before`."""
    for change in changes:
        if isinstance(change, EventChange):
            if change.kind is ChangeKind.EVENT_ENDED:
                for place in [place for place in held if place[0] == change.event_id]:
                    del held[place]
                events.remove(change.event_id)
            elif change.reason == Reason.LEFT_FILTER:
                assert not any(place[0] == change.event_id for place in held)
                events.remove(change.event_id)
            else:
                assert (change.event_id in events) is (change.kind is ChangeKind.EVENT_UPDATED)
                events.add(change.event_id)
        elif isinstance(change, MarketChange):
            place = (change.event_id, change.source, change.bookmaker, change.after.key)
            assert change.event_id in events  # its event came first
            before = change.before
            had = held.pop(place, None)
            if exact:
                assert had == (
                    None
                    if before is None
                    else (before.status, tuple((o.key, o.price, o.active) for o in before.outcomes))
                )
            if change.after.status is not MarketStatus.REMOVED:
                shown = tuple((o.key, o.price, o.active) for o in change.after.outcomes)
                held[place] = (change.after.status, shown)


def read_all(reader: MemoryLog, selection: Selection, revision: int, head: int) -> list[Change]:
    changes: list[Change] = []
    while revision < head:
        selected, revision, _ = reader.after(selection, revision)
        changes += [each.change for each in selected]
    return changes


@pytest.mark.parametrize("name", SELECTIONS)
@pytest.mark.parametrize("seed", range(4))
def test_the_fold_of_the_stream_is_the_filtered_cache(name: str, seed: int) -> None:
    selection = SELECTIONS[name]
    book = Bookkeeping()
    reader = MemoryLog(book.cache, book.feed)
    held: dict[Place, Shown] = {}
    events: set[str] = set()
    live: list[Change] = []
    expected = {0: held.copy()}
    for observation in random_observations(random.Random(seed), 60):
        before = book.feed.head_revision
        book.see(observation)
        head = book.feed.head_revision
        new = read_all(reader, selection, before, head)
        fold_selected(held, events, new)
        live += new
        expected[head] = held.copy()
        assert held == shown_of(selection, dict(book.cache.events))
    head = book.feed.head_revision
    late = MemoryLog(book.cache, book.feed)
    if name in ("not in play", "in play", "starts soon"):
        assert any(
            change.reason in (ENTERED_FILTER, Reason.LEFT_FILTER)
            for change in live
            if isinstance(change, MarketChange)
        )
    for revision in expected:
        # A late read from any place gives the same changes, each as of its time.
        assert read_all(late, selection, revision, head) == [
            change for change in live if change.revision > revision
        ]


@pytest.mark.parametrize("name", SELECTIONS)
def test_pieces_give_the_same_bytes_whatever_the_place_they_are_read_from(name: str) -> None:
    selection = SELECTIONS[name]
    book = Bookkeeping()
    for observation in random_observations(random.Random(9), 40):
        book.see(observation)
    head = book.feed.head_revision

    def revisions(start: int, make: Callable[[], LogReader]) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        revision = start
        reader = make()
        while revision < head:
            piece = reader.read(selection, revision)
            for body in piece.bodies:
                found += [(c.revision, c.kind) for c in pb.Changes.FromString(body).changes]
            assert piece.revision > revision
            revision = piece.revision
        return found

    whole = revisions(0, lambda: LogReader(book.cache, book.feed))
    for start in range(0, head, 7):
        cut = revisions(start, lambda: LogReader(book.cache, book.feed))
        assert cut == [each for each in whole if each[0] > start]


@pytest.mark.parametrize("name", SELECTIONS)
def test_a_late_stream_reads_the_newest_at_once_and_what_others_read_one_by_one(name: str) -> None:
    selection = SELECTIONS[name]
    rng = random.Random(11)
    book = Bookkeeping()
    shared = LogReader(book.cache, book.feed)
    places: dict[int, list[int]] = {0: []}  # the start of a stream -> the revisions that it got
    at = {0: 0}
    for observation in random_observations(rng, 60):
        book.see(observation)
        head = book.feed.head_revision
        for start, given in places.items():
            if rng.random() < 0.4 and at[start] < head:
                piece = shared.read(selection, at[start])
                for body in piece.bodies:
                    given += [change.revision for change in pb.Changes.FromString(body).changes]
                at[start] = piece.revision
                assert piece.revision == head
        if rng.random() < 0.3:
            places[head], at[head] = [], head
    alone = MemoryLog(book.cache, book.feed)
    for start, given in places.items():
        after = [c.revision for c in read_all(alone, selection, start, book.feed.head_revision)]
        assert given == [revision for revision in after if revision <= at[start]]


@pytest.mark.parametrize("name", SELECTIONS)
@pytest.mark.parametrize("window", [1, 3, 10])
def test_conflated_windows_fold_to_the_same(name: str, window: int) -> None:
    selection = SELECTIONS[name]
    book = Bookkeeping()
    reader = MemoryLog(book.cache, book.feed)
    held: dict[tuple[str, str, str, str, float | None], pb.Market] = {}
    known: set[str] = set()
    revision = 0
    for number, observation in enumerate(random_observations(random.Random(window), 60), 1):
        book.see(observation)
        if number % window:
            continue
        changes = read_all(reader, selection, revision, book.feed.head_revision)
        revision = book.feed.head_revision
        seen = set()
        folded = Window(0)
        folded.add(changes, revision)
        told = list(pb.Changes.FromString(b"".join(window_frames(folded))).changes)
        assert [change.revision for change in told] == sorted(change.revision for change in told)
        assert_moves_are_whole(told)
        for change in told:
            apply(held, known, change)
            if change.HasField("after"):
                line = change.after.key.line if change.after.key.HasField("line") else None
                seen_key = (change.event_id, change.bookmaker, change.after.key.market, line)
                assert seen_key not in seen  # a window has at most one change for each market
                seen.add(seen_key)
        expected = shown_of(selection, dict(book.cache.events))
        assert {
            (event, source, bookmaker, market, line): tuple(
                (o.key, o.price if o.HasField("price") else None, o.active) for o in shown.outcomes
            )
            for (event, source, bookmaker, market, line), shown in held.items()
        } == {
            (event, source, bookmaker, key.market, float(key.line) if key.line else None): outcomes
            for (event, source, bookmaker, key), (_, outcomes) in expected.items()
        }


def assert_moves_are_whole(told: list[pb.Change]) -> None:
    """Assert that a moved line is REMOVED and ADDED side by side, and nothing else is a move."""
    moved = [place for place, change in enumerate(told) if change.reason == Reason.LINE_MOVED]
    for gone, there in zip(moved[::2], moved[1::2], strict=True):
        assert gone + 1 == there
        assert told[gone].kind == pb.CHANGE_KIND_REMOVED
        assert told[there].kind == pb.CHANGE_KIND_ADDED
        assert told[gone].other_line == told[there].after.key.line
        assert told[there].other_line == told[gone].after.key.line
    assert not any(
        change.HasField("other_line")
        for place, change in enumerate(told)
        if place not in set(moved)
    )


def apply(
    held: dict[tuple[str, str, str, str, float | None], pb.Market],
    known: set[str],
    change: pb.Change,
) -> None:
    if change.HasField("event"):
        if change.kind == pb.CHANGE_KIND_EVENT_ENDED or change.reason == Reason.LEFT_FILTER:
            for place in [place for place in held if place[0] == change.event_id]:
                del held[place]
            known.discard(change.event_id)
        else:
            known.add(change.event_id)
    elif change.HasField("after"):
        assert change.event_id in known
        key = change.after.key
        line = key.line if key.HasField("line") else None
        place = (change.event_id, change.source, change.bookmaker, key.market, line)
        if change.after.status == pb.MARKET_STATUS_REMOVED:
            # The same outcomes; the revision may differ, as changes in between were folded away.
            assert list(held.pop(place).outcomes) == list(change.before.outcomes)
        else:
            assert (place in held) is change.HasField("before")
            held[place] = change.after
