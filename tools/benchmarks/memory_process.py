"""The process that the benchmark `memory` weighs; it imports the service alone.

`python memory_process.py FOLDER KIND` reads the bodies in a folder, cycle by cycle, as the service
would. The kind is `sharing` or `anew` (the source makes every value anew), and with `-watched` all
odds are read and all changes sent after each cycle. `python memory_process.py URL start` loads a
database. It prints one line of JSON: memory in MB, before the odds and with them.

The script also weighs an older checkout whose path comes first in PYTHONPATH.
"""

import gc
import json
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import trio
from msgspec.structs import replace

from odds_service.bridge import open_bridge
from odds_service.cache import OddsCache
from odds_service.clock import DrivenClock
from odds_service.feed import ChangeFeed
from odds_service.filters.selection import EVERYTHING
from odds_service.model.market import MarketKey, ObservedMarket, Outcome
from odds_service.model.observation import Completeness, Observation, ObservedEvent, Scope
from odds_service.model.source import SourceState
from odds_service.pipeline.channels import WriteQueue
from odds_service.pipeline.detect import Detector
from odds_service.reconcile import Reconciler
from odds_service.serving.reading import LogReader
from odds_service.sources.boundary import Gate
from odds_service.sources.odds_api_body import BodyReader, PriceFormat
from odds_service.storage import open_store
from odds_service.wire.encode import markets_wire

SOURCE: Final = "simulated"
PAGE_BYTES: Final = 4_096
STATM: Final = Path("/proc/self/statm")


def rss_mb() -> float:
    """Return the resident memory of this process, without garbage."""
    gc.collect()
    return int(STATM.read_text().split()[1]) * PAGE_BYTES / 1e6


def anew(value: Any) -> Any:
    """Return an equal text, price or time that is another object."""
    if isinstance(value, str):
        return value.encode().decode()
    if isinstance(value, float):
        return float(repr(value))
    return None if value is None else value.replace()


def market_anew(market: ObservedMarket) -> ObservedMarket:
    """Return an equal market that shares nothing, as a source makes it that interns nothing."""
    outcomes = tuple(
        Outcome(anew(each.key), anew(each.name), anew(each.price), each.active)
        for each in market.outcomes
    )
    key = MarketKey(*map(anew, market.key))
    return ObservedMarket(key, market.status, outcomes, anew(market.source_updated_at))


def event_anew(event: ObservedEvent) -> ObservedEvent:
    """Return an equal event whose bookmakers' values are new."""
    bookmakers = []
    for shown in event.bookmakers:
        markets = {each.key: each for each in map(market_anew, shown.markets.values())}
        fresh = replace(shown, bookmaker=anew(shown.bookmaker), markets=markets)
        bookmakers.append(replace(fresh, source_updated_at=anew(shown.source_updated_at)))
    return replace(event, bookmakers=tuple(bookmakers))


class Service:
    """The parts of the service that hold odds: gate, cache, log, and their encoded bytes."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        self.feed = ChangeFeed("memory", 0)
        self.cache = OddsCache(self.feed, sources=[SourceState(source=SOURCE, interval_s=60)])
        self._gate = Gate(SOURCE)
        self._queue = WriteQueue(10**9)
        clock = DrivenClock(lambda: self.now)
        self._detector = Detector(self.cache, self.feed, self._queue, Reconciler(), clock)
        self._reader = LogReader(self.cache, self.feed)
        self._watched = 0

    def take(self, sport: str, events: Iterable[ObservedEvent], now: datetime) -> None:
        """Detect the changes of one body, and take them from the queue as a writer does."""
        self.now = now
        observation = Observation(
            source=SOURCE,
            scope=Scope(listing=sport),
            completeness=Completeness.COMPLETE,
            started_at=now,
            observed_at=now,
            events=tuple(events),
        )
        passed = self._gate.check(observation, Counter(), started_at=now, observed_at=now)
        self._detector.apply(passed)
        with suppress(trio.WouldBlock):
            while True:
                self._queue.receive.receive_nowait()
        self.feed.advance_durable(self.feed.head_revision)

    def watch(self) -> None:
        """Encode what a subscriber has not been sent yet."""
        while self._watched < self.feed.head_revision:
            self._watched = self._reader.read(EVERYTHING, self._watched).revision

    def read(self) -> None:
        """Encode all odds, as a reply does."""
        for entry in self.cache.view().events.values():
            for odds in entry.bookmakers.values():
                markets_wire(odds)


def run(folder: Path, *, fresh: bool, watched: bool) -> dict[str, float]:
    """Take all bodies, cycle by cycle, and return the figures."""
    service, reader = Service(), BodyReader()
    before = rss_mb()
    for cycle in sorted(folder.iterdir()):
        at = datetime.fromisoformat(cycle.name.replace("_", ":"))
        for body in sorted(cycle.iterdir()):
            raws = msgspec.json.decode(body.read_bytes(), type=list[msgspec.Raw])
            problems: Counter[str] = Counter()
            unreadable: set[str] = set()
            read = (
                reader.read_event(raw, PriceFormat.DECIMAL, problems, unreadable) for raw in raws
            )
            events = (event for event in read if event is not None)
            service.take(body.stem, map(event_anew, events) if fresh else events, at)
        if watched:
            service.read()
            service.watch()
    ring = service.feed.head_revision - service.feed.oldest_revision + 1
    markets = service.cache.view().count_markets()
    return {"before": before, "with": rss_mb(), "markets": markets, "changes": ring}


async def start(url: str) -> dict[str, float]:
    """Load a database as a start does, and return the figures."""
    async with open_bridge(), open_store(url) as store:
        before = rss_mb()
        stored = await store.begin()
        markets = sum(len(o.markets) for e in stored.events for o in e.bookmakers.values())
        return {"before": before, "with": rss_mb(), "markets": markets, "changes": 0}


def main() -> None:
    where, kind = sys.argv[1:]
    if kind == "start":
        figures = trio.run(start, where)
    else:
        source, _, watched = kind.partition("-")
        figures = run(Path(where), fresh=source == "anew", watched=bool(watched))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
