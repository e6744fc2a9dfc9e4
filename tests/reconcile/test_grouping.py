"""Grouping depends on the events shown now, and not on earlier ones."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odds_service.model.match import SourceRef
from odds_service.model.observation import ObservedEvent
from odds_service.reconcile import Reconciler
from tests.reconcile.showing import gone, observed, partition, shown
from tests.support.examples import examples

ShownBy = tuple[str, ObservedEvent]


def placed(shows: list[ShownBy], *, at_once: bool = False) -> Reconciler:
    """Return a reconciler that saw the events one by one, or each source's together."""
    reconciler = Reconciler()
    if at_once:
        for source in dict.fromkeys(source for source, _ in shows):
            events = [event for by, event in shows if by == source]
            reconciler.place(observed(source, events), {})
    else:
        for source, event in shows:
            reconciler.place(observed(source, [event]), {})
    return reconciler


def refs(shows: list[ShownBy]) -> list[SourceRef]:
    return sorted({(source, event.source_event_id) for source, event in shows})


def groups(*shows: ShownBy) -> set[frozenset[SourceRef]]:
    return partition(placed(list(shows)), refs(list(shows)))


def together(*names: str) -> frozenset[SourceRef]:
    return frozenset((name[0], name) for name in names)


def by(name: str, home: str, away: str, *, minutes: float = 0, **ids: str) -> ShownBy:
    """Return a source and an event that it shows: `a1` is event a1 of source a."""
    return name[0], shown(name, home, away, minutes=minutes, ids=ids)


def why(reconciler: Reconciler, name: str) -> str:
    return reconciler.placed((name[0], name)).match.reason


def test_a_third_source_meets_the_two_by_either() -> None:
    short, long = ("Man Utd", "Spurs"), ("Manchester United FC", "Tottenham Hotspur")
    assert groups(by("a1", *short), by("b1", *long), by("c1", "Manchester Utd", "Tottenham")) == {
        together("a1", "b1", "c1")
    }


def test_two_candidates_near_each_other_are_no_match_until_one_goes() -> None:
    shows = [by("a1", "Nacional", "River Plate"), by("b1", "Nacional", "River Plate"),
             by("b2", "Nacional", "River Plate")]  # fmt: skip
    reconciler = placed(shows)
    assert partition(reconciler, refs(shows)) == {together("a1"), together("b1"), together("b2")}
    assert why(reconciler, "a1") == "in doubt between b b1, b b2"
    reconciler.forget(gone(reconciler, [("b", "b1")]))
    reconciler.place(observed("z", []), {})
    assert partition(reconciler, refs([shows[0], shows[2]])) == {together("a1", "b2")}


def test_an_id_settles_a_doubt() -> None:
    sides = "Nacional", "River Plate"
    assert groups(
        by("a1", *sides, sr="1"), by("b1", *sides, sr="1"), by("b2", *sides, sr="2"),
        by("a2", *sides, sr="2"), by("c1", *sides),
    ) == {together("a1", "b1"), together("a2", "b2"), together("c1")}  # fmt: skip
    # What an id binds elsewhere is no rival: c1 has b2 for itself.
    assert groups(
        by("a1", *sides, sr="1"),
        by("b1", *sides, sr="1"),
        by("b2", *sides),
        by("c1", *sides, sr="3"),
    ) >= {together("a1", "b1")}


def test_sides_the_other_way_round_meet_neither_by_name_nor_by_id() -> None:
    shows = [by("a1", "Norway", "France", sr="7"), by("b1", "France", "Norway", sr="7"),
             by("c1", "France", "Norway")]  # fmt: skip
    reconciler = placed(shows)
    assert partition(reconciler, refs(shows)) == {together("a1"), together("b1", "c1")}
    assert "home and away are the other way round: b b1" in why(reconciler, "a1")


def test_one_sources_two_events_with_one_id_stay_two() -> None:
    shows = [by("a1", "X", "Y", sr="7"), by("a2", "X", "Y", sr="7"), by("b1", "X", "Y", sr="7")]
    assert len(groups(*shows)) == 2


@pytest.mark.parametrize("named", ["", "Wuhan"])
def test_an_event_without_both_sides_is_found_by_id_alone(named: str) -> None:
    assert groups(by("a1", named, ""), by("b1", named, "")) == {together("a1"), together("b1")}
    assert groups(by("a1", named, "", sr="1"), by("b1", named, "", sr="1")) == {
        together("a1", "b1")
    }


def test_a_source_that_shows_a_match_a_thousand_times_costs_little_and_gets_no_match() -> None:
    shows = [by("a1", "Reds", "Blues", sr="1"), by("b1", "Reds", "Blues", sr="1")]
    shows += [by(f"c{number}", "Reds", "Blues") for number in range(1000)]
    began = time.process_time()
    reconciler = placed(shows, at_once=True)
    assert time.process_time() - began < 20  # without a bound: many minutes
    assert together("a1", "b1") in partition(reconciler, refs(shows))
    assert why(reconciler, "c7") == "in doubt: more than 64 are alike"


NAMES = ["Arsenal", "Arsenal FC", "Arsenal W", "Arsenal U21", "Chelsea", "Chelsea FC", "FC Chelsea",
         "Chelsea W", "Chelsea U21", "Tottenham", "Tottenham Hotspur"]  # fmt: skip


@st.composite
def days(draw: st.DrawFn) -> list[ShownBy]:
    """Draw up to four sources with similar teams of a few clubs, some with ids, right or wrong."""
    shows = []
    for number in range(draw(st.integers(1, 10))):
        source = draw(st.sampled_from("abcd"))
        ids = draw(st.sampled_from([{}, {}, {}, {"sr": "1"}, {"sr": "2"}, {"gs": "1"},
                                    {"sr": "1", "gs": "1"}]))  # fmt: skip
        home, away = draw(st.sampled_from(NAMES)), draw(st.sampled_from(NAMES))
        minutes = draw(st.sampled_from([0, 0, 0, 3, 14, 30]))
        shows.append(by(f"{source}{number}", home, away, minutes=minutes, **ids))
    return shows


@settings(max_examples=examples(40), deadline=None)
@given(days(), st.randoms())
def test_the_order_of_arrival_changes_nothing(shows: list[ShownBy], dice: random.Random) -> None:
    expected = partition(placed(shows), refs(shows))
    shuffled = list(shows)
    dice.shuffle(shuffled)
    assert partition(placed(shuffled), refs(shows)) == expected
    assert partition(placed(shuffled, at_once=True), refs(shows)) == expected
    for members in expected:
        assert len({source for source, _ in members}) == len(members)


@settings(max_examples=examples(40), deadline=None)
@given(days(), days(), st.randoms())
def test_what_was_shown_before_changes_nothing(
    before: list[ShownBy], after: list[ShownBy], dice: random.Random
) -> None:
    """The start is an exception: an event is also found by its first one."""
    reconciler = placed(before)
    left = [ref for ref in refs(before) if dice.random() < 0.5 or ref in refs(after)]
    reconciler.forget(gone(reconciler, left))
    stays = [show for show in before if (show[0], show[1].source_event_id) not in left]
    for source, event in after:
        reconciler.place(observed(source, [event]), {})
    reconciler.place(observed("z", []), {})
    there = stays + after
    assert partition(reconciler, refs(there)) == partition(placed(there), refs(there))


@settings(max_examples=examples(40), deadline=None)
@given(days(), st.randoms())
def test_a_hidden_id_that_shows_itself_gives_what_it_would_have_given_at_once(
    shows: list[ShownBy], dice: random.Random
) -> None:
    hidden = [(source, shown(e.source_event_id, e.home, e.away, start=e.start_time))
              for source, e in shows]  # fmt: skip
    reconciler = placed(hidden)
    revealed = list(shows)
    dice.shuffle(revealed)
    for source, event in revealed:
        reconciler.place(observed(source, [event]), {})
    assert partition(reconciler, refs(shows)) == partition(placed(shows), refs(shows))
