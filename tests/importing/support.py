"""An import into a place of a test, and what it left there."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import trio

from odds_service.bridge import open_bridge
from odds_service.config import Settings, load_settings
from odds_service.importing import Imported, Recordings, import_recordings
from odds_service.model.change import Change
from odds_service.sources.registry import recorded_reader
from odds_service.store import ClosingOdds, StartedEvents
from tests.support.databases import DatabasePlace

ALL: Final = 10**9
NONE: Final[Mapping[str, float]] = {}


def settings_of(place: DatabasePlace, retention: Mapping[str, float] = NONE) -> Settings:
    """Return settings with the database of a place."""
    return load_settings(
        server={"listen": "127.0.0.1:0"},
        database={"url": place.url, "migrate": True, "spill_folder": place.folder},
        retention=dict(retention),
    )


async def imported(
    place: DatabasePlace,
    *paths: Path,
    kind: str = "the-odds-api",
    name: str = "toa",
    stop: trio.Event | None = None,
    retention: Mapping[str, float] = NONE,
) -> Imported:
    """Import all bodies of some paths."""
    reader = recorded_reader(kind, name)
    with Recordings(paths, reader) as recordings:
        return await import_recordings(
            settings_of(place, retention), name, reader, recordings, recordings.all,
            trio.Event() if stop is None else stop,
        )  # fmt: skip


async def log_of(place: DatabasePlace) -> Sequence[Change]:
    """Return the whole log of a place, read beside an owner."""
    async with open_bridge(), place.opened(owner=False) as store:
        return await store.history(0, ALL, ALL)


async def closing_of(place: DatabasePlace) -> list[ClosingOdds]:
    """Return the closing odds of all events, read beside an owner."""
    async with open_bridge(), place.opened(owner=False) as store:
        only = StartedEvents(before=datetime.now(UTC))
        started = await store.started_events(only, None, 10_000)
        return await store.closing_odds([event.id for event in started])
