"""Recorded odds through the whole service: HTTP, detection, SQLite, gRPC, a watching client."""

import json
import sqlite3
from collections import Counter
from fractions import Fraction
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio

from odds_service.demo.replay import run_replay
from odds_service.model.change import ChangeKind
from odds_service.service import Running
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.oracle import Identity, Oracle, Outcomes, bare_counts
from tests.support.recorded import ODDS_API, bodies_of, needs_recorded
from tests.support.serving import call, service, settings_for, status_of, wait_until
from tests.support.watching import Odds, Watcher, odds_in, watching

SERIES = {
    "kbo_inplay_20260804": {},
    "nfl_week1_20250910-15.zip": {"ADDED": 1277, "REMOVED": 1475, "PRICES": 1626},
    "nfl_sunday_20251012.zip": {"ADDED": 2770, "REMOVED": 3041, "PRICES": 2554},
    "nfl_oddities_reappear.zip": {},
    "ncaaf_oddities_swap_point_reappear.zip": {},
    "ncaaf_offseason_transient_empty_20260224.zip": {},
}
LONG_SERIES = {"wnba_5min_20260804-08.zip": {"ADDED": 7787, "REMOVED": 7788, "PRICES": 7435}}
REPEATS = 2  # repeats of the last body: what it lacks is removed at the second absence

pytestmark = needs_recorded

Plain = tuple[tuple[str, float | None], ...] | None
Told = tuple[str, Identity, Plain, Plain]


def plain(outcomes: Outcomes | None) -> Plain:
    if outcomes is None:
        return None
    return tuple(sorted((k, None if p is None else float(p)) for k, p in outcomes))


def stored_odds(odds: str | None) -> Plain:
    if odds is None:
        return None
    _status, outcomes, *_ = json.loads(odds)
    return tuple(sorted((key, price) for key, _name, price, _active in outcomes))


def history(path: Path) -> Counter[Told]:
    """Read the database directly."""
    told: Counter[Told] = Counter()
    with sqlite3.connect(path) as database:
        for kind, event, bookmaker, market, line, participant, before, after in database.execute(
            "SELECT kind, event_id, bookmaker, market, line, participant, before, after"
            " FROM odds_history ORDER BY revision"
        ):
            name = ChangeKind(kind).name
            if name.startswith("SOURCE"):
                continue
            exact = Fraction(line) if line else None
            identity = Identity(event.removeprefix("toa:"), bookmaker, market, exact, participant)
            if name.startswith("EVENT"):
                told[name, identity, None, None] += 1
            else:
                gone = name == "REMOVED"
                told[name, identity, stored_odds(before), None if gone else stored_odds(after)] += 1
    database.close()
    return told


def folded(bodies: list[bytes]) -> Oracle:
    oracle = Oracle()
    for body in [*bodies, *bodies[-1:] * REPEATS]:
        oracle.poll(json.loads(body))
    return oracle


def watched_odds(odds: Odds) -> dict[Identity, Plain]:
    found: dict[Identity, Plain] = {}
    for (event, _source, bookmaker, market, line, participant), (_status, prices) in odds.items():
        exact = None if line is None else Fraction(str(line))
        identity = Identity(event.removeprefix("toa:"), bookmaker, market, exact, participant)
        found[identity] = tuple(sorted((k, price) for k, price, _ in prices))
    return found


async def all_pulled(running: Running, bodies: int) -> None:
    (scraper,) = running.parts.scrapers.values()
    wanted = bodies + REPEATS
    await wait_until(lambda: scraper.counts.pulls > wanted, f"{wanted} pulls")
    assert scraper.counts.failures == 0


def sport_of(bodies: list[bytes]) -> str:
    sports = {event["sport_key"] for body in bodies for event in json.loads(body)}
    (sport,) = sports
    return str(sport)


@pytest.mark.parametrize("series", SERIES)
async def test_a_watching_client_and_the_database_hold_the_recorded_odds(
    series: str, tmp_path: Path
) -> None:
    await replayed(series, SERIES[series], tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("series", LONG_SERIES)
async def test_the_long_series(series: str, tmp_path: Path) -> None:
    await replayed(series, LONG_SERIES[series], tmp_path)


@pytest.mark.parametrize(
    "series",
    [
        pytest.param(each, marks=[pytest.mark.long] if each.startswith("nfl_sunday") else [])
        for each in SERIES
    ],
)
async def test_types_shown_unasked_are_followed_like_those_asked_for(
    series: str, tmp_path: Path
) -> None:
    """The bodies hold spreads and totals too, which no other request would return."""
    await replayed(series, SERIES[series], tmp_path, markets=["h2h"])


async def replayed(
    series: str, bare: dict[str, int], tmp_path: Path, **source_keys: object
) -> None:
    bodies = bodies_of(ODDS_API / series)
    if bare:
        assert bare_counts(json.loads(body) for body in bodies) == bare
    oracle = folded(bodies)
    expected_map = {key: plain(outcomes) for key, outcomes in oracle.markets.items()}
    async with trio.open_nursery() as nursery:
        port = await nursery.start(partial(run_replay, ODDS_API / series))
        settings = settings_for(tmp_path, port, [sport_of(bodies)], interval_s=0.01, **source_keys)
        async with service(settings) as running:
            with watching(running.address) as watcher:
                await all_pulled(running, len(bodies))
                head = running.parts.feed.head_revision
                await watcher.reach(head)
                assert watched_odds(watcher.fold.odds) == expected_map
                assert (await read(running, watcher)) == expected_map
                status = await status_of(running.address)
                assert status.head_revision >= head
            async with httpx.AsyncClient(trust_env=False) as client:
                (position,) = (await client.get(f"http://127.0.0.1:{port}/replay")).json().values()
                assert position["at_end"]
        nursery.cancel_scope.cancel()
    told = Counter(
        (change.kind, change.key, plain(change.before), plain(change.after))
        for change in oracle.changes
    )
    assert history(tmp_path / "odds.db") == told


async def read(running: Running, watcher: Watcher) -> dict[Identity, Plain]:
    request = pb.GetOddsRequest(min_cursor=watcher.fold.cursor)
    events = [entry.event.id for entry in await listed(running)]
    odds: Odds = {}
    for event in events:
        request.filter.event_ids[:] = [event]
        reply = await call(running.address, lambda stub: stub.GetOdds(request, timeout=30))
        odds |= odds_in(reply.events)
    return watched_odds(odds)


async def listed(running: Running) -> list[pb.ListedEvent]:
    found: list[pb.ListedEvent] = []
    request = pb.ListEventsRequest(page_size=7)
    while True:
        reply = await call(running.address, lambda stub: stub.ListEvents(request, timeout=30))
        found += reply.events
        request.page_token = reply.next_page_token
        if not request.page_token:
            return found
