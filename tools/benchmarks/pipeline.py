"""`pipeline`: one cycle through decode, normalise, detect, cache, enqueue and drain."""

import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
import trio
import typer

from odds_service.bridge import open_bridge
from odds_service.cache import OddsCache
from odds_service.clock import DrivenClock
from odds_service.demo.settings import SimulationSettings
from odds_service.feed import ChangeFeed
from odds_service.model.change import Commit, MarketChange
from odds_service.model.observation import Observation
from odds_service.model.snapshot import BookmakerOdds, EventOdds
from odds_service.model.source import SourceState
from odds_service.pipeline.channels import WriteQueue
from odds_service.pipeline.detect import Detector
from odds_service.pipeline.write import Writer
from odds_service.reconcile import Reconciler
from odds_service.sources import odds_api_shapes
from odds_service.storage import open_store
from tools.benchmarks.figures import Bounds, Measured, Report, at_least, at_most, settle
from tools.benchmarks.load import SOURCE, Load, markets_of, settings_of
from tools.benchmarks.obvious import ObviousDetector
from tools.benchmarks.own_site import OwnSite, recorded, simulated
from tools.benchmarks.part import Part

DECODE: Final = "decode by msgspec alone"
TUPLES: Final = "bare loop of tuple comparisons"
READ: Final = "decode + normalise"
OWN_DECODE: Final = "of it: decode an event at a time"
NORMALISE: Final = "of it: normalise"
DETECT: Final = "detect + cache + enqueue"
SWAP: Final = "of it: cache update"
ENQUEUE: Final = "of it: enqueue"
COMPARE: Final = "of it: compare"
COMPARE_SWAP: Final = "compare + swap"
OBVIOUS: Final = "obvious detect + cache"
DRAIN: Final = "drain into SQLite"

_decoder: Final = msgspec.json.Decoder(
    list[odds_api_shapes.ListedEvent]
)  # the types that ours reads
_event: Final = msgspec.json.Decoder(odds_api_shapes.ListedEvent)


class TimedCache(OddsCache):
    """A cache that times its swaps."""

    swap_s = 0.0

    def swap(
        self,
        entries: Mapping[str, EventOdds | None],
        sources: Mapping[str, SourceState],
        batch: Commit | None,
        detected_at: datetime,
    ) -> None:
        began = time.perf_counter()
        super().swap(entries, sources, batch, detected_at)
        self.swap_s += time.perf_counter() - began


class TimedQueue(WriteQueue):
    """A queue that times each put."""

    put_s = 0.0

    def put(self, batch: Commit) -> None:
        began = time.perf_counter()
        super().put(batch)
        self.put_s += time.perf_counter() - began

    def confirm(self, odds: BookmakerOdds) -> None:
        began = time.perf_counter()
        super().confirm(odds)
        self.put_s += time.perf_counter() - began


def bare_comparisons(observations: list[Observation]) -> Callable[[], int]:
    """Compare one tuple of prices per market, the least that any comparison must do."""
    flat = [
        tuple((outcome.key, outcome.price, outcome.active) for outcome in market.outcomes)
        for observation in observations
        for event in observation.events
        for bookmaker in event.bookmakers
        for market in bookmaker.markets.values()
    ]
    other = [tuple(tuple(outcome) for outcome in outcomes) for outcomes in flat]
    return lambda: sum(one != two for one, two in zip(flat, other, strict=True))


def measure(
    bounds: Bounds,
    *,
    events: Annotated[int, typer.Option(help="Events in all.")] = 300,
    bookmakers: Annotated[int, typer.Option(help="Bookmakers on each.")] = 3,
    markets: Annotated[int, typer.Option(help="Markets of each.")] = 100,
    changed: Annotated[float, typer.Option(help="Share that changes in a cycle.")] = 0.05,
    sportybet: Annotated[
        Path | None, typer.Option(help="A folder of SportyBet's recorded bodies, read too.")
    ] = None,
) -> Report:
    """Decode, normalise, detect, cache update, enqueue, drain: one cycle a turn."""
    sites = [simulated(changed)]
    if sportybet is not None:
        sites.append(recorded(sportybet, changed))
    return trio.run(_measure, bounds, settings_of(events, bookmakers, markets, changed), sites)


async def _measure(bounds: Bounds, settings: SimulationSettings, sites: list[OwnSite]) -> Report:
    found = Measured("pipeline", "one cycle of bodies, every last_update moved")
    load, obvious = Load(settings), ObviousDetector()
    with tempfile.TemporaryDirectory() as folder:
        async with open_bridge(), open_store(f"sqlite:///{Path(folder) / 'odds.db'}") as store:
            stored = await store.begin()
            feed = ChangeFeed(stored.epoch, stored.revision)
            cache = TimedCache(feed, sources=[SourceState(source=SOURCE, interval_s=60)])
            queue = TimedQueue(10_000_000)
            writer = Writer(store, queue, feed)
            detector = Detector(cache, feed, queue, Reconciler(), DrivenClock(lambda: load.now))
            async with trio.open_nursery() as nursery:
                # The first cycle is all new, and no part of the figures.
                observations = await load.observations()
                obvious.cycle(observations, load.now)
                for observation in observations:
                    await detector.observe(observation)
                compare = bare_comparisons(observations)
                nursery.start_soon(writer.run)
                await writer.committed(feed.head_revision)
                for site in sites:
                    site.warm()
                for _ in bounds.turns():
                    bodies = await load.bodies()
                    settle()
                    with found.timed(DECODE):
                        for body in bodies.values():
                            _decoder.decode(body)
                    with found.timed(OWN_DECODE):
                        for body in bodies.values():
                            for raw in msgspec.json.decode(body, type=list[msgspec.Raw]):
                                _event.decode(raw)
                    with found.timed(READ):
                        observations = [
                            load.observation(
                                sport,
                                load.read(msgspec.json.decode(body, type=list[msgspec.Raw])),
                            )
                            for sport, body in bodies.items()
                        ]
                    own = found.figures
                    normalise_ms = own[READ].samples[-1] - own[OWN_DECODE].samples[-1]
                    found.add(NORMALISE, normalise_ms, "ms")
                    for site in sites:
                        settle()
                        site.turn(found)
                    with found.timed(TUPLES):
                        compare()
                    settle()
                    with found.timed(OBVIOUS):
                        expected = obvious.cycle(observations, load.now)
                    settle()
                    head = feed.head_revision
                    cache.swap_s = queue.put_s = 0.0
                    with found.timed(DETECT):
                        for observation in observations:
                            await detector.observe(observation)
                    whole_ms = found.figures[DETECT].samples[-1]
                    swap_ms, put_ms = cache.swap_s * 1000, queue.put_s * 1000
                    found.add(COMPARE, whole_ms - swap_ms - put_ms, "ms")
                    found.add(SWAP, swap_ms, "ms")
                    found.add(ENQUEUE, put_ms, "ms")
                    found.add(COMPARE_SWAP, whole_ms - put_ms, "ms")
                    _check(feed, head, expected)
                    with found.timed(DRAIN):
                        await writer.committed(feed.head_revision)
                queue.close()
    found.ratio("compare + swap, of the decode", COMPARE_SWAP, DECODE, at_most(1.0))
    found.ratio("normalise, of the decode", NORMALISE, DECODE, at_most(2.5))
    found.ratio("decode + normalise, of the decode", READ, DECODE)
    for site in sites:
        site.judge(found)
    found.ratio("obvious way, of detect + cache", OBVIOUS, DETECT, at_least(10.0))
    found.ratio("detect + cache, of bare comparisons", DETECT, TUPLES)
    return found.report(
        markets=markets_of(observations), changed=expected, bytes=sum(map(len, bodies.values()))
    )


def _check(feed: ChangeFeed, head: int, expected: int) -> None:
    """Check that both ways find the same changes. Raises RuntimeError if they do not."""
    batches = feed.read_after(head, 1_000_000) or []
    changes = [change for batch in batches for change in batch.changes]
    found = sum(isinstance(change, MarketChange) for change in changes)
    if found != expected:
        raise RuntimeError(f"{found} changes found, {expected} expected")


PART: Final = Part(
    "pipeline",
    measure,
    repeats=9,
    sized="events",
    costs={READ: "markets", DETECT: "markets", DRAIN: "changed"},
)
