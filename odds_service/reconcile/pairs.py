"""Comparison of two source events, which are one event, may be, or cannot be."""

from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from odds_service.model.event import EventStatus
from odds_service.model.match import ShownEvent, SourceRef
from odds_service.reconcile.names import (
    Name,
    competition_name,
    left_over,
    likeness,
    side_name,
    sport_name,
)
from odds_service.reconcile.words import OF_PEOPLE, SAME_SIDES_H, TELLING

# In the recordings, 59 % of 213 moved starts moved by at most 15 minutes, 88 % by at most one hour
# and 95 % by at most three (tests/reconcile/test_recorded.py).
NEAR: Final = timedelta(minutes=15)  # the most between starts, unless the names are equal
AT_ONCE: Final = timedelta(minutes=5)  # the most if both names are only parts of the other two
VIRTUAL: Final = timedelta(minutes=1)  # for virtual games, whose sides meet again within minutes

CERTAIN: Final = 90  # a practically equal side: abbreviated, or with one different letter
LIKE: Final = 65  # enough for one side if the other is CERTAIN
BOTH_LIKE: Final = 85
FLOOR: Final = 45  # a lower score of either side means another event
MARGIN: Final = 8  # the least difference in score between two candidates
_SWAPPED_BY: Final = 15  # the points by which swapped sides must be more similar


class Fixture(Struct, frozen=True):
    """A source event, prepared for comparison.

    `marks` are properties that distinguish it from other events of the same clubs (`women`, `u19`,
    `home reserve` …). `starts` are all starts that its source has reported. `ids` maps namespaces
    to shared ids. `told` is the status that its source reported last. `departed_at` is the time of
    its departure, None while it is shown.
    """

    ref: SourceRef
    sport: str
    home: Name
    away: Name
    marks: frozenset[str]
    countries: frozenset[str]
    starts: tuple[datetime, ...]
    ids: dict[str, str]
    told: EventStatus | None = None
    departed_at: datetime | None = None

    @property
    def named(self) -> bool:
        """Return whether the fixture can be found by its names."""
        return bool(self.home.words and self.away.words)

    @property
    def sides(self) -> tuple[frozenset[str], frozenset[str]]:
        """The two names, as sets of words."""
        return frozenset(self.home.words), frozenset(self.away.words)


class Likeness(Struct, frozen=True):
    """The likeness of two events by their names; `same` if it is enough to join them."""

    score: int
    home: int
    away: int
    apart: timedelta
    same: bool

    @property
    def reason(self) -> str:
        minutes = round(self.apart.total_seconds() / 60)
        return f"names {self.home} and {self.away} of 100 alike, starts {minutes} min apart"


def fixture(
    ref: SourceRef,
    shown: ShownEvent,
    told: EventStatus | None = None,
    departed_at: datetime | None = None,
) -> Fixture:
    """Prepare a source event for comparison.

    Args:
        ref: the source, and its id of the event.
        shown: the event as the source shows it.
        told: the status that the source reported last, or None.
        departed_at: the time of its departure; None while it is shown.
    """
    sport = sport_name(shown.sport)
    people = sport in OF_PEOPLE
    home = side_name(shown.home, people=people)
    away = side_name(shown.away, people=people)
    competition = competition_name(shown.competition)
    marks = {mark for mark in home.marks | away.marks if mark not in _OF_A_SIDE}
    marks |= competition.marks - _OF_A_SIDE
    both = competition.marks & _OF_A_SIDE
    marks |= {f"home {mark}" for mark in home.marks & _OF_A_SIDE | both}
    marks |= {f"away {mark}" for mark in away.marks & _OF_A_SIDE | both}
    starts = {shown.start_time}
    if sport in SAME_SIDES_H and "virtual" not in marks:
        starts.add(shown.first_start)
    return Fixture(
        ref,
        sport,
        home,
        away,
        frozenset(marks),
        competition.countries,
        tuple(sorted(starts)),
        dict(shown.shared_ids),
        told,
        departed_at,
    )


_OF_A_SIDE: Final = frozenset({"reserve", "third"})  # a club's second team may meet another's first


def shared_id(one: Fixture, other: Fixture) -> str | None:
    """Return the first id that both have, as `namespace id`, in the order of namespaces."""
    common = [space for space, id_ in one.ids.items() if other.ids.get(space) == id_]
    return f"{min(common)} {one.ids[min(common)]}" if common else None


def conflict(one: Fixture, other: Fixture) -> str:
    """Return the reason why two cannot be one event, or an empty string; ids outweigh names."""
    if one.ref[0] == other.ref[0]:
        return _siblings(one, other)
    if any(other.ids.get(space, id_) != id_ for space, id_ in one.ids.items()):
        return "their ids differ"
    if swapped(one, other):
        return "home and away are the other way round"
    if shared_id(one, other) is not None:
        return ""
    return _unlike(one, other)


def succeeds(one: Fixture, other: Fixture) -> bool:
    """Return whether one source shows the same event under two ids, one after the other.

    One of the two must have departed, or one before the other. Both must share an id, or have the
    same sides and start together.
    """
    if one.ref[0] != other.ref[0] or one.departed_at == other.departed_at:
        return False
    if any(other.ids.get(space, id_) != id_ for space, id_ in one.ids.items()):
        return False
    if swapped(one, other):
        return False
    if shared_id(one, other) is not None:
        return True
    return (
        not _unlike(one, other)
        and apart(one, other) <= min(NEAR, same_sides(one))
        and likeness(one.home.words, other.home.words) >= BOTH_LIKE
        and likeness(one.away.words, other.away.words) >= BOTH_LIKE
    )


def _siblings(one: Fixture, other: Fixture) -> str:
    """Return the reason why two events of one source cannot be one, or an empty string.

    A departed event conflicts with others only around its start: the start distinguishes it from a
    later meeting of the same sides, at every source.
    """
    if one.departed_at is None and other.departed_at is None:
        return "one source shows both"
    if succeeds(one, other):
        return ""
    far = apart(one, other) > max(same_sides(one), same_sides(other))
    return "" if far else "one source showed both"


def disagree(one: Fixture, other: Fixture) -> bool:
    """Return whether the reported statuses prevent joining two events by their names.

    A match in play cannot be one that has yet to start. Starts close together outweigh this, since
    sources notice a kick-off at different times.
    """
    return (
        one.told is not other.told
        and one.told is not None
        and other.told is not None
        and one.departed_at is None
        and other.departed_at is None
        and apart(one, other) > NEAR
    )


def _unlike(one: Fixture, other: Fixture) -> str:
    if one.sport != other.sport:
        return "another sport"
    if one.marks != other.marks:
        differing = ", ".join(sorted(one.marks ^ other.marks))
        return f"only one of them is marked {differing}"
    if one.countries and other.countries and not one.countries & other.countries:
        return "competitions of different countries"
    if apart(one, other) > same_sides(one):
        return "another time"
    if not (one.named and other.named):
        return "a side has no name"
    sides = likeness(one.home.words, other.home.words), likeness(one.away.words, other.away.words)
    return "other sides" if min(sides) < FLOOR else ""


def swapped(one: Fixture, other: Fixture) -> bool:
    """Return whether home of one is away of the other, so that their outcomes differ."""
    crossed = (
        likeness(one.home.words, other.away.words) + likeness(one.away.words, other.home.words)
    ) / 2
    if crossed < LIKE:
        return False
    straight = (
        likeness(one.home.words, other.home.words) + likeness(one.away.words, other.away.words)
    ) / 2
    return crossed > straight + _SWAPPED_BY


def compare(one: Fixture, other: Fixture) -> Likeness | None:
    """Return the likeness of two events of different sources, or None if their names exclude it.

    They count as one event in three cases: one side is practically equal, since a side plays one
    game at a time, and the other is similar; or both sides are very similar; or both names are
    contained in the longer names of the other event, without a distinctive word left over, and the
    starts are within minutes. If the starts are further apart, both sides must be equal.
    """
    if one.ref[0] == other.ref[0] or _unlike(one, other) or swapped(one, other):
        return None
    home = likeness(one.home.words, other.home.words)
    away = likeness(one.away.words, other.away.words)
    distance = apart(one, other)
    low, high = sorted((home, away))
    if "virtual" in one.marks:
        same = distance <= VIRTUAL and low == 100
    elif distance > NEAR:
        same = low == 100
    else:
        same = low >= BOTH_LIKE or (high >= CERTAIN and low >= LIKE)
        if not same and low >= LIKE and distance <= AT_ONCE:
            same = all(
                rest is not None and not rest & TELLING
                for rest in (
                    left_over(one.home.words, other.home.words),
                    left_over(one.away.words, other.away.words),
                )
            )
    score = round((home + away) / 2)
    if distance > NEAR:
        score -= MARGIN + 1  # prefer the game with the nearer start if the sides meet twice
    return Likeness(score, home, away, distance, same)


def apart(one: Fixture, other: Fixture) -> timedelta:
    """Return the least time between any two reported starts of the two events."""
    return min(abs(mine - theirs) for mine in one.starts for theirs in other.starts)


def same_sides(one: Fixture) -> timedelta:
    """Return the most time between starts for events with two equal sides."""
    if "virtual" in one.marks:
        return VIRTUAL
    return max(NEAR, timedelta(hours=SAME_SIDES_H.get(one.sport, 0)))
