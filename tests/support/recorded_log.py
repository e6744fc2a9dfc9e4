"""The log that a recorded series gives, with the times of the recording."""

import zipfile
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from odds_service.model.change import Commit
from odds_service.sources.odds_api_body import BodyReader
from tests.support.observations import NOON, Book, observe


def timed_bodies(path: Path) -> Iterator[tuple[datetime, bytes]]:
    """Yield the bodies of a folder or a zip with the times in their names, in order."""
    if path.is_dir():
        for body in sorted(path.glob("*.json")):
            yield _time(body.name), body.read_bytes()
        return
    with zipfile.ZipFile(path) as series:
        for name in sorted(each for each in series.namelist() if each.endswith(".json")):
            yield _time(Path(name).name), series.read(name)


def _time(name: str) -> datetime:
    return datetime.strptime(name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def recorded_commits(path: Path, source: str = "toa") -> list[Commit]:
    """Return the commits that a service would have made of a series."""
    book, reader = Book(), BodyReader()
    commits = []
    for at, body in timed_bodies(path):
        raws = msgspec.json.decode(body, type=list[msgspec.Raw])
        prices = reader.guess_format(raws)
        read = [reader.read_event(raw, prices, Counter(), set()) for raw in raws]
        events = [event for event in read if event is not None]
        found = book.see(observe(events, (at - NOON).total_seconds() / 60, source=source))
        if found.changes:
            commits.append(Commit(found.changes, found.snapshots, found.event_sources))
    return commits
