"""Times without a zone, which nothing could compare, are refused where a source makes them."""

from datetime import datetime

import pytest
from msgspec import Struct
from msgspec.structs import replace

from odds_service.model.market import MarketKey
from odds_service.sources.base import Pull
from tests.support.observations import NOON, observe, observed_event

NAIVE = datetime(2026, 8, 4, 12)  # noqa: DTZ001  # what is refused
EVENT = observed_event("e", {"b": {MarketKey("h2h"): {"home": 2.0}}})


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (observe([EVENT]), "started_at"),
        (observe([EVENT]), "observed_at"),
        (EVENT, "start_time"),
        (EVENT.bookmakers[0], "source_updated_at"),
        (Pull(key="e", event=True), "start_time"),
    ],
)
def test_a_naive_time_is_refused_by_its_name(value: Struct, field: str) -> None:
    """A source that showed one would stop detect, and with it the service."""
    assert replace(value, **{field: NOON}) is not value
    with pytest.raises(ValueError, match=f"{field} 2026-08-04T12:00:00 has no time zone"):
        replace(value, **{field: NAIVE})
