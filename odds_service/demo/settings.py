"""Settings of the simulated bookmaker."""

from datetime import timedelta
from typing import Literal

import msgspec

from odds_service.demo.names import MOST_BOOKMAKERS


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happens to one event of each sport at a set time, beside the random walk.

    Attributes:
        kind: "goal": an event in play takes no bets for a while, then at other odds. "drift":
            before the start of an event, its favourite gets longer odds, at one bookmaker after
            the other.
            "postponed": the next event to start gets a later start. "ended": the event that
            began first is over, and a new one comes.
        at_s: Seconds from the start of the simulation.
        every_s: Seconds to the next time, for another event; 0: it happens once.
        lasts_s: The length of a goal's break or of a drift.
    """

    kind: Literal["goal", "drift", "postponed", "ended"]
    at_s: float
    every_s: float = 0.0
    lasts_s: float = 0.0


class SimulationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes and paces of the simulation; the defaults resemble recorded series.

    A *share* is a probability per step, for each item that it applies to. A step leads from one
    body of a sport to the next. ``tests/demo/test_mix.py`` compares the default shares with
    recorded bodies; the sizes are arbitrary.

    Raises:
        ValueError: A size, share or duration is out of range; the text names the field.
    """

    seed: int = 1
    sports: int = 3
    events: int = 30  # in all sports together, offered or absent for the moment
    bookmakers: int = 6
    # Of one bookmaker on one event, counted as (type, line, participant). The first is h2h, the
    # second spreads, the third totals; a quarter of the rest are alternate spreads, a quarter
    # alternate totals, the others player lines.
    markets_per_bookmaker: int = 12
    regions: tuple[str, ...] = ("uk", "eu")  # bookmakers are dealt to them in turn

    # "poll": each answered poll of a sport's odds (all events or one) is a step that advances the
    # simulated time by step_s, so the bodies depend only on the seed and the polls.
    # "clock": a step is due every step_s seconds of the clock, regardless of polls.
    pace: Literal["poll", "clock"] = "poll"
    step_s: float = 1.0  # below 1 s `last_update`, in whole seconds, cannot move at every step

    lead_s: float = 1_200.0  # a new event starts up to so long after it arrives
    in_play_s: float = 300.0  # and leaves so long after its start

    change_share: float = 0.07  # of the markets of an event before its start
    in_play_change_share: float = 0.2  # of those of an event in play
    line_move_share: float = 0.6  # of changes of a market with a line: the line moves
    still_share: float = 0.003  # of unchanged markets: `last_update` stands still

    flicker_share: float = 0.18  # of absences: back within flicker_steps steps
    flicker_steps: int = 3
    absence_steps: int = 60  # the longest of the others
    line_absence_share: float = 0.000_2  # of one alternate or player line
    outcome_absence_share: float = 0.000_1  # of the draw in a three-way h2h
    market_absence_share: float = 0.002  # of one market key of a bookmaker on an event
    bookmaker_absence_share: float = 0.004  # of a bookmaker on an event
    event_absence_share: float = 0.002
    empty_share: float = 0.000_5  # of bodies: empty, and the next has the same odds again

    happenings: tuple[Happening, ...] = ()

    api_key: str | None = None  # None: any key will do, but there must be one
    quota: int = 100_000_000  # credits; an odds body costs markets x regions
    requests_per_s: int | None = None  # above it: 429

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("sports", "events", "bookmakers", "markets_per_bookmaker", "flicker_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.events < self.sports:
            raise ValueError("events must be at least as many as sports")
        if self.bookmakers > MOST_BOOKMAKERS:
            raise ValueError(f"bookmakers must be at most {MOST_BOOKMAKERS}")
        if self.absence_steps < self.flicker_steps:
            raise ValueError("absence_steps must be at least flicker_steps")
        if not self.regions:
            raise ValueError("regions must name at least one")
        for name in ("step_s", "lead_s", "in_play_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be more than 0")
        for name in self.__struct_fields__:
            if name.endswith("_share") and not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be within 0 and 1")
        if self.quota < 0:
            raise ValueError("quota must not be negative")
        if self.requests_per_s is not None and self.requests_per_s < 1:
            raise ValueError("requests_per_s must be at least 1, or absent")

    @property
    def step(self) -> timedelta:
        """Return the length of a step."""
        return timedelta(seconds=self.step_s)
