"""Tiers of urgency as settings, for sources whose pulls are single events."""

import itertools
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from odds_service.sources.base import TARGET_INTERVALS, Tier


class TierSettings(BaseModel):
    """One entry of `tiers`; see Tier. By default `target_s` is twice the interval."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    within_s: float | None = Field(default=None, ge=0)
    interval_s: float = Field(gt=0)
    target_s: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _target_is_reachable(self) -> Self:
        if self.target_s is not None and self.target_s < self.interval_s:
            raise ValueError("target_s must not be below interval_s")
        return self

    def tier(self) -> Tier:
        """Return the tier that the entry describes."""
        target_s = self.target_s or self.interval_s * TARGET_INTERVALS
        return Tier(
            name=self.name, within_s=self.within_s, interval_s=self.interval_s, target_s=target_s
        )


# With 1,300 events, 30 of them in play and 60 about to start, about 8 requests per second.
DEFAULT_TIERS: Final = (
    TierSettings(name="in_play", within_s=0, interval_s=10),
    TierSettings(name="hour", within_s=3_600, interval_s=30),
    TierSettings(name="six_hours", within_s=6 * 3_600, interval_s=120),
    TierSettings(name="day", within_s=24 * 3_600, interval_s=600),
    TierSettings(name="later", interval_s=1_800),
)


def tiers_of(settings: tuple[TierSettings, ...]) -> tuple[Tier, ...]:
    """Return the tiers of a `tiers` setting, in order.

    Raises:
        ValueError: they are not ordered from the most urgent to one for all other events, or a less
            urgent tier is fetched more often.
    """
    if not settings or settings[-1].within_s is not None:
        raise ValueError("the last tier must have no within_s: it is for all other events")
    for one, next_one in itertools.pairwise(settings):
        if one.within_s is None:
            raise ValueError(f"tier {one.name!r} has no within_s, but is not the last")
        if next_one.within_s is not None and next_one.within_s <= one.within_s:
            raise ValueError(f"tier {next_one.name!r} must reach further than {one.name!r}")
        if next_one.interval_s < one.interval_s:
            raise ValueError(f"tier {next_one.name!r} must not be fetched more often")
    names = [tier.name for tier in settings]
    if len(set(names)) < len(names):
        raise ValueError("two tiers have one name")
    return tuple(tier.tier() for tier in settings)
