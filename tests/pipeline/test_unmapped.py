"""Unmapped markets: counted by the source's own names, within bounds."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from odds_service.model.observation import UnmappedSample
from odds_service.pipeline.source_counts import SourceCounts
from odds_service.pipeline.unmapped import MOST_NAMES, NAMES_TOLD, OTHER, Unmapped
from tests.support.observations import NOON, observe, observed_event


def test_the_commonest_names_are_told_and_none_is_lost() -> None:
    unmapped = Unmapped()
    for fetch in range(1, MOST_NAMES + 501):
        unmapped.add({"Corners": 2, f"made up {fetch}": 1}, NOON)
    told = unmapped.commonest()
    assert len(told) == NAMES_TOLD
    assert list(told.items())[:2] == [("Corners", 2 * (MOST_NAMES + 500)), (OTHER, 501)]
    assert unmapped.total == 3 * (MOST_NAMES + 500)


@given(st.text(max_size=300))
def test_a_name_can_be_shown_whatever_it_holds(name: str) -> None:
    unmapped = Unmapped()
    unmapped.add({name: 1}, NOON)
    (told,) = unmapped.commonest()
    assert len(told.encode()) <= 400
    assert "\0" not in told


def test_surrogates_are_no_text() -> None:
    unmapped = Unmapped()
    unmapped.add({"\ud800 goals": 1}, NOON)
    unmapped.add({"\ud800 goals": 1}, NOON)
    assert unmapped.commonest() == {"? goals": 2}


def sample(event_id: str, sport: str = "soccer") -> UnmappedSample:
    return UnmappedSample(sport=sport, event_id=event_id, event_name="A – B", outcomes=("1", "2"))


def test_the_latest_samples_of_three_events_are_kept() -> None:
    unmapped = Unmapped()
    for minute, event_id in enumerate("abcbd"):
        at = NOON + timedelta(minutes=minute)
        unmapped.add({"Corners": 1}, at, samples={"Corners": sample(event_id)})
    (told,) = unmapped.report("ours")
    assert [each.event_id for each in told.samples] == ["d", "b", "c"]
    assert (told.source, told.sport, told.count) == ("ours", "soccer", 5)
    assert told.last_seen_at == NOON + timedelta(minutes=4)


def test_one_name_is_counted_by_sport_and_told_as_one_in_the_status() -> None:
    unmapped = Unmapped()
    for sport, times in (("soccer", 2), ("tennis", 3)):
        unmapped.add({"Winner": times}, NOON, samples={"Winner": sample("e", sport)})
    assert {each.sport: each.count for each in unmapped.report("ours")} == {
        "soccer": 2, "tennis": 3,
    }  # fmt: skip
    assert unmapped.commonest() == {"Winner": 5}


def test_names_beyond_the_bound_have_no_samples() -> None:
    unmapped = Unmapped()
    for number in range(MOST_NAMES + 2):
        name = f"made up {number}"
        unmapped.add({name: 1}, NOON, samples={name: sample("e")})
    rows = {each.name: each for each in unmapped.report("ours")}
    assert len(rows) == MOST_NAMES + 1
    assert (rows[OTHER].count, rows[OTHER].sport, rows[OTHER].samples) == (2, "", ())


def test_counts_without_samples_are_of_the_sport_of_the_answer_if_it_has_one() -> None:
    event = observed_event("e", {})
    for events, sport in (
        ([event], "soccer"),
        ([event, replace(event, source_event_id="f", sport="tennis")], ""),
        ([], ""),
    ):
        counts = SourceCounts()
        counts.add_observation(replace(observe(events), unmapped={"Corners": 1}))
        (told,) = counts.unmapped.report("ours")
        assert (told.sport, told.samples, told.last_seen_at) == (sport, (), NOON)
