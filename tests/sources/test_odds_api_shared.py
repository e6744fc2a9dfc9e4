"""Reading by pairs gives the same as reading by outcomes, and sharing is bounded."""

import json
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from odds_service.model.observation import ObservedEvent
from odds_service.sources import odds_api_shared
from odds_service.sources.odds_api_body import BodyReader, PriceFormat

NAMES = ["Home FC", "Away FC", "Draw", "Over", "Under", "Yes", "No", "A Player", "B\0", ""]

outcomes = st.fixed_dictionaries(
    {"name": st.sampled_from(NAMES), "price": st.sampled_from([1.0, 1.5, 2, 2.5, -110, 1e7])},
    optional={
        "point": st.sampled_from([None, -3.5, 3.5, 0, -0.0, 2.5, 2.50, 1e9]),
        "description": st.sampled_from([None, "", "A Player", "Home FC", "Over", "C\0"]),
    },
)
# Pairs that mirror or share their point, as real ones do, among whatever else there may be.
pairs = st.builds(
    lambda names, prices, point, who, mirrored: [
        {"name": names[0], "price": prices[0], "point": point} | who,
        {"name": names[1], "price": prices[1], "point": -point if mirrored else point} | who,
    ],
    st.permutations(["Home FC", "Away FC", "Over", "Under"]),
    st.tuples(*[st.sampled_from([1.5, 2.5, 0.5])] * 2),
    st.sampled_from([-3.5, 0, 0.5, 3]),
    st.sampled_from([{}, {"description": "A Player"}, {"description": "Away FC"}]),
    st.booleans(),
)
markets = st.fixed_dictionaries(
    {
        "key": st.sampled_from(["h2h", "spreads", "alternate_spreads", "totals", "player_points"]),
        "outcomes": st.one_of(
            st.lists(outcomes, max_size=4),
            st.lists(pairs, max_size=3).map(
                lambda several: [each for two in several for each in two]
            ),
        ),
    },
    optional={"last_update": st.just("2026-08-04T10:00:00Z")},
)


def body(offered: list[dict[str, Any]]) -> msgspec.Raw:
    event = {
        "id": "e1",
        "sport_key": "soccer_epl",
        "commence_time": "2026-08-04T12:00:00Z",
        "home_team": "Home FC",
        "away_team": "Away FC",
        "bookmakers": [{"key": "b", "markets": offered}],
    }
    return msgspec.Raw(json.dumps(event).encode())


def read(
    reader: BodyReader, offered: list[dict[str, Any]], prices: PriceFormat
) -> tuple[ObservedEvent | None, Counter[str], set[str]]:
    problems: Counter[str] = Counter()
    unreadable: set[str] = set()
    return reader.read_event(body(offered), prices, problems, unreadable), problems, unreadable


class CarefulReader(BodyReader):
    """A reader that treats every market as unusual."""

    def _read_pairs(self, *_: object) -> None:
        return None


@given(
    offered=st.lists(markets, max_size=4),
    prices=st.sampled_from([PriceFormat.DECIMAL, PriceFormat.AMERICAN]),
)
def test_pairs_are_read_as_single_outcomes_are(
    offered: list[dict[str, Any]], prices: PriceFormat
) -> None:
    assert read(BodyReader(), offered, prices) == read(CarefulReader(), offered, prices)


def test_sharing_starts_anew_beyond_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(odds_api_shared, "MOST_SHARED", 30)
    reader = BodyReader()
    for number in range(200):
        line = 0.5 + number
        offered = [
            {"key": "totals", "outcomes": [{"name": "Over", "price": 1.5 + number, "point": line},
                                           {"name": "Under", "price": 1.8, "point": line}]},
            {"key": f"player_{number}", "outcomes": [{"name": f"Player {number}", "price": 2.0}]},
        ]  # fmt: skip
        assert read(reader, offered, PriceFormat.DECIMAL) == (
            read(BodyReader(), offered, PriceFormat.DECIMAL)
        )
        kept = reader._shared
        held = sum(map(len, kept._priced.values())) + len(kept._texts)
        held += sum(len(lines) for part in kept._markets.values() for lines in part.values())
        assert held <= 30 + 10  # what one event adds before the count is looked at


def test_equal_values_of_one_reader_are_one_object() -> None:
    sides = [{"name": name, "price": 1.5, "point": 2.5} for name in ("Over", "Under")]
    offered = [{"key": "totals", "outcomes": sides}]
    reader = BodyReader()
    one, other = (read(reader, offered, PriceFormat.DECIMAL)[0] for _ in range(2))
    assert one is not None
    assert other is not None
    (first,), (second,) = (seen.bookmakers[0].markets.values() for seen in (one, other))
    assert first.key is second.key
    assert all(a is b for a, b in zip(first.outcomes, second.outcomes, strict=True))
