"""The simulated default mix beside that of recorded series, measured by one function.

Only h2h, spreads and totals are compared: the recorded series have no other markets. `Mix` explains
the shares.
"""

from datetime import UTC, datetime

import msgspec
import pytest

from odds_service.demo.bookmaker import SimulatedBookmaker
from odds_service.demo.series import Series
from odds_service.demo.settings import SimulationSettings
from tests.demo.mix import Mix, measure
from tests.demo.serving import RECORDED, client_of, needs_recorded

POLLS = 300

# Measured by `measure` over the recorded series: figures, not payloads.
KBO_IN_PLAY = Mix(0.9230, 0.3105, 0.8033, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
NFL_WEEK1 = Mix(0.1249, 0.3015, 1.0000, 0.0036, 0.0138, 0.0344, 0.0580, 0.4062, 0.5625)
NFL_SUNDAY = Mix(0.1047, 0.4634, 0.9992, 0.0035, 0.0074, 0.0163, 0.2716, 0.0750, 0.0690)
WNBA = Mix(0.0784, 0.4891, 0.9790, 0.0013, 0.0016, 0.0019, 0.2632, 0.0926, 0.0000)
RECORDED_MIX = {
    "kbo_inplay_20260804": KBO_IN_PLAY,
    "nfl_week1_20250910-15.zip": NFL_WEEK1,
    "nfl_sunday_20251012.zip": NFL_SUNDAY,
    "wnba_5min_20260804-08.zip": WNBA,
}
# The range is that of the three long series. Twelve bodies of three games in play (KBO) would only
# widen it: to no departures at all, and to nearly every price changed.
SPAN = (NFL_WEEK1, NFL_SUNDAY, WNBA)
# Random figures of a finite run: 5 % beyond the range, or so much absolutely.
TOLERANCE = 0.05
LEAST_TOLERANCE = 0.000_3


def assert_within(mix: Mix, span: tuple[Mix, ...]) -> None:
    for name in Mix.__struct_fields__:
        values = [getattr(recorded, name) for recorded in span]
        lowest = min(values) * (1 - TOLERANCE) - LEAST_TOLERANCE
        highest = max(values) * (1 + TOLERANCE) + LEAST_TOLERANCE
        assert lowest <= getattr(mix, name) <= highest, (name, mix)


async def simulated(settings: SimulationSettings, polls: int = POLLS) -> Mix:
    """Return the mix of a sport's bodies as a client gets them over HTTP."""
    bookmaker = SimulatedBookmaker(settings, now=lambda: datetime(2026, 3, 1, tzinfo=UTC))
    (sport,) = bookmaker.sport_keys
    query = {"apiKey": "k", "regions": "uk,eu", "markets": "h2h,spreads,totals"}
    async with client_of(bookmaker) as client:
        bodies = [
            (await client.get(f"/v4/sports/{sport}/odds", params=query)).content
            for _ in range(polls)
        ]
    return measure(bodies)


@pytest.mark.parametrize("seed", [1, 2])
async def test_default_mix_lies_in_the_range_of_recorded_series(seed: int) -> None:
    assert_within(await simulated(SimulationSettings(seed=seed, sports=1)), SPAN)


async def test_another_mix_is_seen_to_be_outside() -> None:
    """Twice the line moves, or no absences, lie outside the range, so the comparison can fail."""
    restless = await simulated(SimulationSettings(sports=1, line_move_share=1.0), 60)
    steady = await simulated(
        SimulationSettings(
            sports=1, market_absence_share=0, bookmaker_absence_share=0, event_absence_share=0
        ),
        60,
    )
    frozen = msgspec.structs.replace(NFL_WEEK1, stamps_moved=0.5)
    for mix in (restless, steady, frozen):
        with pytest.raises(AssertionError):
            assert_within(mix, SPAN)
    assert_within(NFL_WEEK1, SPAN)


@needs_recorded
@pytest.mark.parametrize("name", RECORDED_MIX)
def test_the_figures_are_those_of_the_recorded_series(name: str) -> None:
    with Series(RECORDED / name) as series:
        (bodies,) = series.bodies.values()
        mix = measure(series.read(body) for body in bodies)
    figures = msgspec.structs.asdict(RECORDED_MIX[name])
    assert msgspec.structs.asdict(mix) == pytest.approx(figures, abs=0.000_06)
