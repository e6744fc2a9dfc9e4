"""How fast the service's own work is, beside a ceiling and a baseline of the same run.

`python -m tools.bench pipeline` takes one cycle of the simulated bookmaker through decode,
normalise, detect with cache update, enqueue and drain, stage by stage, and prints a table. Times
on shared machines wander; what to read are the ratios, taken repeat by repeat.
"""

import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import trio
import typer
from rich.console import Console
from rich.table import Table

from odds_service.bridge import open_bridge
from odds_service.cache import OddsCache
from odds_service.demo.bookmaker import SimulatedBookmaker
from odds_service.demo.settings import SimulationSettings
from odds_service.feed import ChangeFeed
from odds_service.http.message import Request
from odds_service.model.change import MarketChange
from odds_service.model.observation import Completeness, Observation, ObservedEvent, Scope
from odds_service.model.source import SourceState
from odds_service.pipeline.channels import WriteQueue
from odds_service.pipeline.detect import Detector
from odds_service.pipeline.write import Writer
from odds_service.reconcile import Reconciler
from odds_service.sources.odds_api_body import BodyReader, PriceFormat
from odds_service.storage import open_store

SOURCE: Final = "simulated"
_BEGIN: Final = datetime(2026, 8, 4, 12, tzinfo=UTC)

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)


@dataclass
class Stages:
    """Seconds of each stage, one list entry a repeat."""

    seconds: dict[str, list[float]]

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds.setdefault(stage, []).append(time.perf_counter() - began)

    def ratio(self, stage: str, to: str) -> tuple[float, float, float]:
        """Median, least and greatest of the repeats' own ratios."""
        pairs = zip(self.seconds[stage], self.seconds[to], strict=True)
        ratios = sorted(one / other for one, other in pairs)
        return statistics.median(ratios), ratios[0], ratios[-1]


def settings_of(events: int, bookmakers: int, markets: int, changed: float) -> SimulationSettings:
    """A simulation in which only prices move, and every `last_update` does."""
    return SimulationSettings(
        sports=min(3, events),
        events=events,
        bookmakers=bookmakers,
        markets_per_bookmaker=markets,
        change_share=changed,
        in_play_change_share=changed,
        lead_s=10_000_000.0,
        line_move_share=0.0,
        still_share=0.0,
        line_absence_share=0.0,
        outcome_absence_share=0.0,
        market_absence_share=0.0,
        bookmaker_absence_share=0.0,
        event_absence_share=0.0,
        empty_share=0.0,
    )


async def cycle(bookmaker: SimulatedBookmaker) -> list[bytes]:
    """The next body of every sport."""
    bodies = []
    for sport in bookmaker.sport_keys:
        query = {
            "apiKey": ["benchmark"],
            "regions": ["uk,eu"],
            "markets": [",".join(bookmaker.market_keys)],
        }
        request = Request("GET", f"/v4/sports/{sport}/odds", query, [], b"")
        response = await bookmaker(request)
        if response.status != 200:
            raise RuntimeError(f"the simulator answered {response.status}: {response.body!r}")
        bodies.append(b"".join(response.pieces))
    return bodies


def decode(bodies: list[bytes]) -> list[list[msgspec.Raw]]:
    """The ceiling: the same bodies, typed, by msgspec alone."""
    from odds_service.sources import odds_api_body  # its private types

    decoder = msgspec.json.Decoder(list[odds_api_body._Event])
    for body in bodies:
        decoder.decode(body)
    return [msgspec.json.decode(body, type=list[msgspec.Raw]) for body in bodies]


def normalise(reader: BodyReader, raws: list[list[msgspec.Raw]]) -> list[list[ObservedEvent]]:
    problems: Counter[str] = Counter()
    unreadable: set[str] = set()
    observed = [
        [
            event
            for raw in body
            if (event := reader.read_event(raw, PriceFormat.DECIMAL, problems, unreadable))
        ]
        for body in raws
    ]
    if problems or unreadable:
        raise RuntimeError(f"the simulator's bodies have problems: {problems} {unreadable}")
    return observed


class ObviousDetector:
    """The baseline: dicts per market, both sides sorted and compared, all rebuilt each cycle."""

    def __init__(self) -> None:
        self.cache: dict[tuple[str, str, str, str, str], dict[str, Any]] = {}

    def cycle(self, observed: list[list[ObservedEvent]], now: datetime) -> int:
        changed = 0
        fresh: dict[tuple[str, str, str, str, str], dict[str, Any]] = {}
        for event in (event for body in observed for event in body):
            for bookmaker in event.bookmakers:
                for key, market in bookmaker.markets.items():
                    place = (event.source_event_id, bookmaker.bookmaker, *key)
                    outcomes = [
                        {"name": o.key, "price": o.price, "active": o.active}
                        for o in market.outcomes
                    ]
                    before = self.cache.get(place)
                    if before is None or _sorted(before["outcomes"]) != _sorted(outcomes):
                        changed += 1
                    fresh[place] = {"key": key, "outcomes": outcomes, "captured_at": now}
        self.cache = fresh
        return changed


def _sorted(outcomes: list[dict[str, Any]]) -> list[tuple[str, float | None, bool]]:
    return sorted((o["name"], o["price"], o["active"]) for o in outcomes)


def bare_comparisons(observed: list[list[ObservedEvent]]) -> Callable[[], int]:
    """The other ceiling: a bare loop of tuple comparisons over as many markets."""
    flat = [
        market.outcomes
        for body in observed
        for event in body
        for bookmaker in event.bookmakers
        for market in bookmaker.markets.values()
    ]
    other = [(*outcomes,) for outcomes in flat]
    return lambda: sum(one != two for one, two in zip(flat, other, strict=True))


@app.command()
def pipeline(
    *,
    events: Annotated[int, typer.Option(help="Events in all.")] = 300,
    bookmakers: Annotated[int, typer.Option(help="Bookmakers on each.")] = 3,
    markets: Annotated[int, typer.Option(help="Markets of each.")] = 100,
    changed: Annotated[float, typer.Option(help="Share that changes in a cycle.")] = 0.05,
    repeats: Annotated[int, typer.Option(help="Cycles after the first.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Decode, normalise, detect with cache update, enqueue, drain into SQLite."""
    settings = settings_of(events, bookmakers, markets, changed)
    stages, counts = trio.run(_pipeline, settings, repeats)
    report(stages, counts, as_json=as_json)


async def _pipeline(settings: SimulationSettings, repeats: int) -> tuple[Stages, dict[str, int]]:
    stages = Stages({})
    now = _BEGIN
    bookmaker = SimulatedBookmaker(settings, now=lambda: now)
    reader, obvious = BodyReader(), ObviousDetector()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'odds.db'}"
        async with open_bridge(), open_store(url) as store:
            stored = await store.begin()
            feed = ChangeFeed(stored.epoch, stored.revision)
            cache = OddsCache(feed, sources=[SourceState(source=SOURCE, interval_s=60)])
            queue = WriteQueue(10_000_000)
            writer = Writer(store, queue, feed)
            detector = Detector(cache, feed, queue, Reconciler().identify, lambda: now)
            found = compared = 0
            async with trio.open_nursery() as nursery:
                for turn in range(repeats + 1):
                    now += timedelta(minutes=1)
                    bodies = await cycle(bookmaker)
                    lap = stages if turn else Stages({})  # the first cycle is all new: not counted
                    with lap.timed("decode (msgspec alone)"):
                        raws = decode(bodies)
                    with lap.timed("decode + normalise"):
                        observed = normalise(reader, raws)
                    if turn == 0:
                        compare = bare_comparisons(observed)
                    with lap.timed("bare tuple comparisons"):
                        compare()
                    with lap.timed("obvious detect + cache"):
                        expected = obvious.cycle(observed, now)
                    head = feed.head_revision
                    with lap.timed("detect + cache + enqueue"):
                        for number, body in enumerate(observed):
                            await detector.observe(_observation(str(number), body, now))
                    batches = feed.read_after(head, 1_000_000) or []
                    changes = [change for batch in batches for change in batch.changes]
                    found = sum(isinstance(change, MarketChange) for change in changes)
                    if found != expected:
                        raise RuntimeError(f"{found} changes found, {expected} expected")
                    compared = sum(
                        len(b.markets) for body in observed for e in body for b in e.bookmakers
                    )
                    with lap.timed("drain into SQLite"):
                        if turn == 0:
                            nursery.start_soon(writer.run)
                        await writer.committed(feed.head_revision)
                queue.close()
    return stages, {"markets": compared, "changes": found, "bytes": sum(map(len, bodies))}


def _observation(listing: str, events: list[ObservedEvent], now: datetime) -> Observation:
    return Observation(
        source=SOURCE,
        scope=Scope(listing=listing),
        completeness=Completeness.COMPLETE,
        started_at=now,
        observed_at=now,
        events=tuple(events),
    )


def report(stages: Stages, counts: dict[str, int], *, as_json: bool) -> None:
    """A table for people, or one JSON object."""
    decode_stage, obvious_stage = "decode (msgspec alone)", "obvious detect + cache"
    rows = {
        stage: {
            "median_ms": statistics.median(seconds) * 1000,
            "markets_per_s": counts["markets"] / statistics.median(seconds),
            "of_decode": stages.ratio(stage, decode_stage),
            "of_obvious": stages.ratio(stage, obvious_stage),
        }
        for stage, seconds in stages.seconds.items()
    }
    if as_json:
        typer.echo(json.dumps({"counts": counts, "stages": rows}))
        return
    title = "{markets:,} markets a cycle, {changes:,} changed, {bytes:,} bytes".format(**counts)
    table = Table(title=title)
    for column in ("stage", "ms", "markets/s", "x decode", "x obvious detect"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage, row in rows.items():
        table.add_row(
            stage,
            f"{row['median_ms']:.1f}",
            f"{row['markets_per_s']:,.0f}",
            _spread(stages.ratio(stage, decode_stage)),
            _spread(stages.ratio(stage, obvious_stage)),
        )
    Console().print(table)


def _spread(ratio: tuple[float, float, float]) -> str:
    median, least, greatest = ratio
    return f"{median:.2f} ({least:.2f}–{greatest:.2f})"


@app.callback()
def _parts() -> None:
    """Keeps `pipeline` a sub-command while it is the only one."""


if __name__ == "__main__":
    app()
