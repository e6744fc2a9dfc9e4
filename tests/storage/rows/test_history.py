"""Changes as rows of the history, and back."""

from odds_service.storage.rows.history import change_from, history_row
from tests.support.stories import SERIES, Story, random_series


def test_a_change_comes_back_from_its_row() -> None:
    for change in Story(SERIES + random_series(4, 60)).log:
        assert change_from(history_row(change)) == change
