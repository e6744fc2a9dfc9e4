"""Unmapped markets: counted by the source's own names, within bounds."""

from hypothesis import given
from hypothesis import strategies as st

from odds_service.pipeline.unmapped import MOST_NAMES, NAMES_TOLD, OTHER, Unmapped


def test_the_commonest_names_are_told_and_none_is_lost() -> None:
    unmapped = Unmapped()
    for fetch in range(1, MOST_NAMES + 501):
        unmapped.add({"Corners": 2, f"made up {fetch}": 1})
    told = unmapped.commonest()
    assert len(told) == NAMES_TOLD
    assert list(told.items())[:2] == [("Corners", 2 * (MOST_NAMES + 500)), (OTHER, 501)]
    assert unmapped.total == 3 * (MOST_NAMES + 500)


@given(st.text(max_size=300))
def test_a_name_can_be_shown_whatever_it_holds(name: str) -> None:
    unmapped = Unmapped()
    unmapped.add({name: 1})
    (told,) = unmapped.commonest()
    assert len(told.encode()) <= 400
    assert "\0" not in told


def test_surrogates_are_no_text() -> None:
    unmapped = Unmapped()
    unmapped.add({"\ud800 goals": 1})
    unmapped.add({"\ud800 goals": 1})
    assert unmapped.commonest() == {"? goals": 2}
