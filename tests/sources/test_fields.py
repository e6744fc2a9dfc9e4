"""Checks of a struct's fields, made from its annotations."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, defstruct

from odds_service.sources.fields import Wrong, checks_of, repaired, utc

NAIVE: Final = datetime(2026, 8, 4, 12)  # noqa: DTZ001  # what is tested


def test_a_field_that_is_added_later_is_checked_by_its_annotation() -> None:
    wider = defstruct(
        "Wider",
        [("closes_at", datetime | None, None), ("rank", int, 0), ("note", str, "")],
        frozen=True,
    )
    checks = checks_of(wider)
    problems: Counter[str] = Counter()
    assert repaired(wider(closes_at=NAIVE, rank=-1), checks, problems) == {
        "closes_at": None,
        "rank": 0,
    }
    assert problems == {"bad_time": 1, "bad_count": 1}
    with pytest.raises(Wrong):
        repaired(wider(note="a\0b"), checks, problems)
    unknown: type[Struct] = defstruct("Unknown", [("odd", complex)])
    with pytest.raises(TypeError, match="no check is known"):
        checks_of(unknown)


@given(st.datetimes(timezones=st.none() | st.timezones()))
@settings(max_examples=200, deadline=None)
def test_a_time_is_in_utc_and_in_range_or_none(at: Any) -> None:
    found = utc(at)
    # By their seconds: in the hour that a zone skips, datetimes equal nothing of another zone.
    same = found is not None and found.timestamp() == at.timestamp()
    assert found is None or (same and found.tzinfo is UTC and 1970 <= found.year < 2100)
