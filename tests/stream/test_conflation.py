"""The net changes of a window: kinds, counts, and suspensions that stay visible."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from odds_service.filters.filtering import Captured, Selected, select
from odds_service.filters.selection import Selection
from odds_service.model.change import Change, ChangeKind, Reason
from odds_service.model.market import MarketKey
from odds_service.serving.reading import window_frames
from odds_service.stream.conflation import Window
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.observations import NOON, Book, Prices, observe, observed_event, offered

H2H = MarketKey("h2h")
OTHER = MarketKey("btts")
LOW: Prices = {"home": 1.5}
HIGH: Prices = {"home": 1.8}
SHUT: Prices = {"home": None}


def window(first: Prices | None, *later: Prices | None) -> list[pb.Change]:
    """Return the conflated changes of a market that was `first`, and then each of `later`."""
    book = Book()
    seen: list[Change] = []
    for minute, prices in enumerate((first, *later)):
        markets = {OTHER: LOW} if prices is None else {OTHER: LOW, H2H: prices}
        found = book.see(observe(offered({"e": {"b": markets}}), minute))
        if minute:
            seen += found.changes
    return conflated(seen)


def conflated(changes: Sequence[Change]) -> list[pb.Change]:
    fold = Window(0)
    fold.add(changes, len(changes))
    return list(pb.Changes.FromString(b"".join(window_frames(fold))).changes)


@pytest.mark.parametrize(
    ("states", "kind", "count", "meanwhile"),
    [
        ((LOW, HIGH), "PRICES", 0, False),
        ((LOW, {"home": 1.6}, HIGH), "PRICES", 2, False),
        ((LOW, SHUT, LOW), "RESUMED", 2, True),
        ((LOW, SHUT, HIGH), "PRICES", 2, True),
        ((LOW, None, LOW), "RESUMED", 2, True),
        ((LOW, HIGH, SHUT), "SUSPENDED", 2, False),
        ((SHUT, HIGH, LOW), "RESUMED", 2, False),
        ((LOW, HIGH, None), "REMOVED", 2, False),
        ((None, LOW, HIGH), "ADDED", 2, False),
        ((LOW, SHUT, LOW, SHUT), "SUSPENDED", 3, True),
    ],
)
def test_the_net_change_of_a_market(
    states: tuple[Prices | None, ...], kind: str, count: int, meanwhile: bool
) -> None:
    (change,) = window(*states)
    assert pb.ChangeKind.Name(change.kind) == f"CHANGE_KIND_{kind}"
    assert change.conflated_count == count
    assert change.suspended_meanwhile is meanwhile
    assert change.HasField("before") is (states[0] is not None)


@pytest.mark.parametrize("states", [(LOW, HIGH, LOW), (None, LOW, None), (None, SHUT, None)])
def test_what_comes_to_nothing_is_left_out(states: tuple[Prices | None, ...]) -> None:
    assert window(*states) == []


OVER: Prices = {"over": 1.9, "under": 1.9}


def lines(*offers: dict[str, Prices]) -> list[pb.Change]:
    """Return the conflated changes of totals that were offered in each of these forms, in order."""
    book = Book()
    seen: list[Change] = []
    for minute, offer in enumerate(offers):
        markets = {MarketKey("totals", line): prices for line, prices in offer.items()}
        found = book.see(observe(offered({"e": {"b": {OTHER: LOW, **markets}}}), minute))
        if minute:
            seen += found.changes
    return conflated(seen)


def reasons(changes: list[pb.Change]) -> list[tuple[str, str]]:
    return [
        (pb.ChangeKind.Name(change.kind).removeprefix("CHANGE_KIND_"), change.reason)
        for change in changes
    ]


def test_a_moved_line_is_told_as_a_move_where_nothing_has_changed_it_further() -> None:
    moved = Reason.LINE_MOVED
    assert reasons(lines({"2.5": OVER}, {"3.5": OVER})) == [("REMOVED", moved), ("ADDED", moved)]
    on = lines({"2.5": OVER}, {"3.5": OVER}, {"3.5": {"over": 1.8, "under": 2.0}})
    assert reasons(on) == [("REMOVED", ""), ("ADDED", "")]
    twice = lines({"2.5": OVER}, {"3.5": OVER}, {"4.5": OVER})
    assert reasons(twice) == [("REMOVED", ""), ("ADDED", "")]
    assert [change.conflated_count for change in twice] == [0, 0]
    back = lines({"2.5": OVER}, {"3.5": OVER}, {"2.5": {"over": 1.8, "under": 2.0}})
    assert reasons(back) == [("PRICES", "")]
    assert not any(change.HasField("other_line") for change in (*on, *twice, *back))


def test_changes_stand_in_the_order_of_the_last_that_each_stands_for() -> None:
    changes = lines(
        {"1.5": OVER, "2.5": OVER, "3.5": OVER},
        {"1.5": {"over": 1.8, "under": 2.0}, "2.5": OVER, "3.5": OVER},
        {"1.5": {"over": 1.8, "under": 2.0}, "2.5": {"over": 1.8, "under": 2.0}, "3.5": OVER},
        {"1.5": {"over": 1.7, "under": 2.1}, "2.5": {"over": 1.8, "under": 2.0}, "3.5": OVER},
    )
    assert [change.after.key.line for change in changes] == [2.5, 1.5]
    assert [change.revision for change in changes] == [change.after.revision for change in changes]


def test_an_event_that_ends_takes_its_markets_along_and_may_come_back() -> None:
    book = Book()
    book.see(observe(offered({"e": {"b": {H2H: LOW}}})))
    seen: list[Change] = []
    for minute, offer in enumerate(
        [{"e": {"b": {H2H: HIGH}}}, {}, {}, {"e": {"b": {H2H: LOW}}}], start=1
    ):
        seen += book.see(observe(offered(offer), minute)).changes
    kinds = [change.kind for change in conflated(seen)]
    assert kinds == [
        pb.CHANGE_KIND_EVENT_ENDED,
        pb.CHANGE_KIND_EVENT_ADDED,
        pb.CHANGE_KIND_ADDED,
    ]
    assert [change.kind for change in conflated(seen[:-2])] == [pb.CHANGE_KIND_EVENT_ENDED]


def test_an_event_that_leaves_the_filter_and_enters_again_keeps_its_markets() -> None:
    """Its start moves out of the window of times and back."""
    until = Selection(start_to=NOON + timedelta(hours=7))
    book = Book()
    book.see(observe([observed_event("e", {"b": {H2H: LOW}})]))
    seen: list[Selected] = []
    for minute, hours in enumerate((8, 6), start=1):
        start = NOON + timedelta(hours=hours)
        then = {"e": book.events["e"].event}
        found = book.see(
            observe([observed_event("e", {"b": {H2H: LOW}}, start_time=start)], minute)
        )
        markets = {
            (source, bookmaker, key): Captured(market, odds.snapshot_id)
            for (source, bookmaker), odds in book.events["e"].bookmakers.items()
            for key, market in odds.markets.items()
        }
        seen += select(until, found.changes, then, lambda *_, then=markets: then)
    changes = [each.change for each in seen]
    updated, resumed = conflated(changes)
    assert (updated.kind, updated.reason) == (pb.CHANGE_KIND_EVENT_UPDATED, Reason.START_MOVED)
    assert (resumed.kind, resumed.suspended_meanwhile) == (pb.CHANGE_KIND_RESUMED, True)
    assert [change.kind for change in conflated(changes[2:])] == [
        pb.CHANGE_KIND_EVENT_ADDED,
        pb.CHANGE_KIND_ADDED,
    ]
    assert conflated([*changes[2:], *changes[:2]]) == []  # came and went


def test_an_event_that_came_and_went_is_nothing() -> None:
    book = Book()
    seen: list[Change] = []
    for minute, offer in enumerate([{"e": {"b": {H2H: HIGH}}}, {}, {}]):
        seen += book.see(observe(offered(offer), minute)).changes
    assert [change.kind for change in seen][-1] is ChangeKind.EVENT_ENDED
    assert conflated(seen) == []
