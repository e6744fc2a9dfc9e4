"""Whatever sources show, drop, rename and put off: a restart in between changes no group."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from odds_service.model.event import EventStatus
from odds_service.model.observation import ObservedEvent
from tests.reconcile.world import SOURCES, World, game

SIDES = [("Yankees", "Red Sox"), ("NY Yankees", "Boston Red Sox"), ("Red Sox", "Yankees"),
         ("Yankees W", "Red Sox W"), ("Mets", "Cubs")]  # fmt: skip
TOLD = [None, None, EventStatus.SCHEDULED, EventStatus.IN_PLAY]
IDS = [{}, {}, {}, {"sr": "1"}, {"sr": "2"}]


class Look(Struct, frozen=True):
    """A look at a source that shows all that it has, so many minutes after the one before."""

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


@settings(max_examples=300, deadline=None)
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


@settings(max_examples=150, deadline=None)
@given(looks())
def test_one_source_has_one_event_in_a_group_and_a_ghost_bars_its_sibling(
    scenes: list[Look],
) -> None:
    world = World()
    minute = -120.0
    for look in scenes:
        minute += look.after
        world.see(look.source, *look.events, minute=minute)
        for entry in world.cache.events.values():
            for name, carried in entry.sources.items():
                assert carried.departed_at is None
                assert world.rows[entry.event.id, name].departed_at is None
