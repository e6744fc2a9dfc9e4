"""Changes as rows of the history, and back."""

import base64
import zlib

from odds_service.storage.rows.history import change_from, history_row
from tests.support.stories import SERIES, Story, random_series


def test_a_change_comes_back_from_its_row() -> None:
    for change in Story(SERIES + random_series(4, 60)).log:
        assert change_from(history_row(change)) == change


def test_the_end_of_an_event_is_read_from_letters_of_earlier_versions() -> None:
    read = 0
    for change in Story(SERIES).log:
        row = history_row(change)
        if row.ended is not None:
            packed = base64.b64encode(zlib.compress(row.ended.encode())).decode()
            assert change_from(row._replace(ended=packed)) == change
            read += 1
    assert read
