"""The client's values."""

import pytest

from odds_service.client import (
    Filter,
)


def test_a_bare_text_is_no_list_of_values() -> None:
    with pytest.raises(TypeError, match="sports takes a list"):
        Filter(sports="soccer")
