"""Groups do not depend on restarts, whatever sources show, drop, rename and put off."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from odds_service.model.event import EventStatus
from odds_service.model.observation import ObservedEvent
from tests.reconcile.world import SOURCES, World, game
from tests.support.examples import examples

SIDES = [("Yankees", "Red Sox"), ("NY Yankees", "Boston Red Sox"), ("Red Sox", "Yankees"),
         ("Yankees W", "Red Sox W"), ("Mets", "Cubs")]  # fmt: skip
TOLD = [None, None, EventStatus.SCHEDULED, EventStatus.IN_PLAY]
IDS = [{}, {}, {}, {"sr": "1"}, {"sr": "2"}]


class Look(Struct, frozen=True):
    """A complete look at one source, `after` minutes after the look before."""

    source: str
    after: float
    events: list[ObservedEvent]
    restart: bool


@st.composite
def games(draw: st.DrawFn, source: str, sport: str) -> ObservedEvent:
    home, away = draw(st.sampled_from(SIDES))
    return game(
        f"{source}{draw(st.integers(1, 3))}",
        home,
        away,
        minutes=draw(st.sampled_from([0, 0, 10, 30, 59, 180, 24 * 60])),
        sport=sport,
        told=draw(st.sampled_from(TOLD)),
        ids=draw(st.sampled_from(IDS)),
    )


@st.composite
def looks(draw: st.DrawFn) -> list[Look]:
    sport = draw(st.sampled_from(["baseball", "soccer", "table tennis"]))
    found = []
    for _ in range(draw(st.integers(2, 14))):
        source = draw(st.sampled_from(SOURCES))
        shown = st.lists(
            games(source, sport), max_size=3, unique_by=lambda event: event.source_event_id
        )
        after = draw(st.sampled_from([1, 1, 1, 20, 60, 200, 800]))
        found.append(Look(source, after, draw(shown), draw(st.booleans())))
    return found


@settings(max_examples=examples(40), deadline=None)
@given(looks())
def test_groups_are_the_same_with_restarts_in_between(scenes: list[Look]) -> None:
    steady, restarted = World(), World()
    minute = -120.0
    for look in scenes:
        minute += look.after
        for again in range(2):  # so that what is gone is believed to be
            minute += again
            for world in (steady, restarted):
                world.see(look.source, *look.events, minute=minute)
            if look.restart:
                restarted.restart()
            assert restarted.groups() == steady.groups()
    for world in (steady, restarted):
        for entry in world.cache.events.values():
            for name, carried in entry.sources.items():
                assert world.rows[entry.event.id, name].source_event_id == carried.source_event_id


@st.composite
def departures(draw: st.DrawFn) -> list[tuple[str, frozenset[int], float, bool]]:
    """Draw steps of (source, games that it drops, minutes passed, whether a restart follows)."""
    steps = st.tuples(
        st.sampled_from(SOURCES),
        st.frozensets(st.integers(0, 3)),
        st.sampled_from([1, 5, 20, 60, 200]),
        st.booleans(),
    )
    return draw(st.lists(steps, min_size=1, max_size=10))


@settings(max_examples=examples(30), deadline=None)
@given(departures())
def test_games_of_the_same_sides_are_never_taken_for_each_other(
    steps: list[tuple[str, frozenset[int], float, bool]],
) -> None:
    """Games half an hour, three hours and a day apart are dropped and shown in any order."""
    world = World()
    starts = (0, 30, 180, 24 * 60)
    minute = -90.0
    shown = {
        source: [game(f"{source}{number}", minutes=start) for number, start in enumerate(starts)]
        for source in SOURCES
    }
    for source in SOURCES:
        world.see(source, *shown[source], minute=minute)
    assert world.named() == {f"a{n} b{n} c{n}" for n in range(len(starts))}
    for source, dropped, passed, restart in steps:
        minute += passed
        if minute > 12 * 60:
            break  # no game lasts that long
        left = [event for n, event in enumerate(shown[source]) if n not in dropped]
        world.drop(source, *left, minute=minute)
        minute += 2
        if restart:
            world.restart()
        for members in world.groups():
            assert len({event_id[1] for _, event_id in members}) == 1
