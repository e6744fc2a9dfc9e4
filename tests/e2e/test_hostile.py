"""Hostile sites beside a healthy one, which keeps its pace.

Failures remove no odds, each is counted by name, and memory does not grow. The long form runs for
ODDS_HOSTILE_S seconds and prints its figures:
`python -m pytest -m long -s tests/e2e/test_hostile.py`.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import structlog
import trio
from starlette.requests import Request
from starlette.responses import Response

from odds_service.config import load_settings
from odds_service.demo.bookmaker import SimulatedBookmaker, run_bookmaker
from odds_service.demo.settings import SimulationSettings
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support import payloads
from tests.support.hostile import FAULTS, SPOILT_PRICES, HostileSite, hostile
from tests.support.payloads import Match
from tests.support.providers import Bet9jaShelf, BetPawaShelf, SportyBetShelf
from tests.support.serving import service, status_of
from tests.support.sites import Site
from tests.support.watching import watching

SHORT_S = 25.0
LONG_S = float(os.environ.get("ODDS_HOSTILE_S", "300"))
WARM_S = 8.0  # until then caches fill, connections open and the first odds arrive
MOST_GROWTH_BYTES = 64 * 2**20  # several of the largest bodies at once
INTERVAL_S, TARGET_S = 0.5, 5.0  # of the healthy source
SOON = (datetime.now(UTC) + timedelta(hours=20)).replace(microsecond=0)
TIERS = [{"name": "all", "interval_s": 0.25, "target_s": 60}]
HTTP: dict[str, Any] = {
    "attempts": 1, "total_s": 0.5, "max_body_bytes": 4_000_000,
    "max_decompressed_bytes": 8_000_000, "breaker_cool_s": 0.2, "requests_per_s": None,
}  # fmt: skip


def matches() -> list[Match]:
    names = ["Reds", "Blues", "Greens", "Greys"]
    return [
        Match(number=1_000_001 + n, home=f"{name} City", away=f"{name} Town", start=SOON)
        for n, name in enumerate(names)
    ]


def events_of_the_odds_api(request: Request) -> Any:
    """Return the listing of a sport, with its first match repeated at the end."""
    found = [
        {
            "id": f"{match.number:032x}",
            "sport_key": "soccer_nowhere",
            "sport_title": "Nowhere",
            "commence_time": f"{match.start:%Y-%m-%dT%H:%M:%SZ}",
            "home_team": match.home,
            "away_team": match.away,
            "bookmakers": [
                {
                    "key": "abc",
                    "title": "ABC",
                    "last_update": "2026-01-01T00:00:00Z",
                    "markets": [
                        {
                            "key": "h2h",
                            "outcomes": [
                                {"name": match.home, "price": match.h2h[0]},
                                {"name": match.away, "price": match.h2h[2]},
                                {"name": "Draw", "price": match.h2h[1]},
                            ],
                        }
                    ],
                }
            ],
        }
        for match in matches()
    ]
    del request
    return [*found, found[0]]


async def the_odds_api(request: Request) -> Response:
    await trio.lowlevel.checkpoint()
    return Response(json.dumps(events_of_the_odds_api(request)).encode())


def spoilt(body: bytes, turn: int) -> bytes:
    """Replace one price by an invalid one in every other body."""
    bad = SPOILT_PRICES[turn // 2 % len(SPOILT_PRICES)].encode()
    pattern = rb'("odds": |"price": |"S_1X2_1": )("?[0-9.]+"?)'
    return body if turn % 2 else re.sub(pattern, lambda found: found[1] + bad, body, count=1)


def apps() -> dict[str, Site]:
    shelves = {
        "sportybet": SportyBetShelf(*map(payloads.sportybet, matches())),
        "betpawa": BetPawaShelf(*map(payloads.betpawa, matches())),
        "bet9ja": Bet9jaShelf(*map(payloads.bet9ja, matches())),
    }
    return {**shelves, "the-odds-api": the_odds_api}


def placed(sites: Iterable[str]) -> dict[str, int]:
    return dict.fromkeys(sites, 2) | {"healthy": 1}


async def besieged(folder: Path, seconds: float, workers: int = 0) -> dict[str, Any]:
    """Run the service for some seconds, check its promises, and return the figures.

    With workers, the healthy source has the first one, and the hostile ones share the second.
    """
    sites = {name: HostileSite(app, spoilt) for name, app in apps().items()}
    simulated = SimulationSettings(
        # Few changes, so that the log and the watching test hold little of the memory.
        sports=1, events=20, event_absence_share=0, lead_s=90_000, change_share=0.01,
        line_move_share=0.1, pace="clock",
    )  # fmt: skip
    (sport,) = SimulatedBookmaker(simulated).sport_keys
    process = psutil.Process()
    async with hostile(*sites.values()) as urls, trio.open_nursery() as nursery:
        port = await nursery.start(lambda **kw: run_bookmaker(simulated, **kw))
        tables: list[dict[str, Any]] = [
            {"kind": name, "url": url, "http": HTTP}
            | (
                {"sports": ["soccer_nowhere"], "api_key": "k", "interval_s": 0.1}
                if name == "the-odds-api"
                else {"tiers": TIERS, "discovery_s": 2}
            )
            for name, url in zip(sites, urls, strict=True)
        ]
        tables.append(
            {
                "kind": "the-odds-api", "name": "healthy", "url": f"http://127.0.0.1:{port}",
                "sports": [sport], "api_key": "k", "by_event": True, "discovery_s": 10,
                "tiers": [{"name": "all", "interval_s": INTERVAL_S, "target_s": TARGET_S}],
            }
        )  # fmt: skip
        settings = load_settings(
            server={"listen": "127.0.0.1:0"},
            database={"url": f"sqlite:///{folder / 'odds.db'}"},
            workers={"count": workers, "place": placed(sites) if workers else {}},
        ).model_copy(update={"sources": tables})
        async with service(settings) as running:
            with watching(running.address) as watcher:
                await trio.sleep(WARM_S)
                before = process.memory_info().rss
                peak, ends = before, trio.current_time() + seconds - WARM_S
                while trio.current_time() < ends:
                    await trio.sleep(0.2)
                    peak = max(peak, process.memory_info().rss)
                status = await status_of(running.address)
                await watcher.reach(status.head_revision)
        nursery.cancel_scope.cancel()
    changes = watcher.fold.changes
    lost = [
        change
        for change in changes
        if change.source != "healthy"
        and change.kind in (pb.CHANGE_KIND_REMOVED, pb.CHANGE_KIND_EVENT_ENDED)
    ]
    assert not lost, lost[0]
    assert sum(each.problems["repeated_event"] for each in status.sources) > 0
    assert peak - before < MOST_GROWTH_BYTES
    told = {each.state.source: each for each in status.sources}
    (fresh,) = told["healthy"].freshness
    assert told["healthy"].failures == 0
    assert fresh.fresh == fresh.pulls == 20
    assert fresh.late == 0
    assert fresh.in_time > 20 * (seconds - WARM_S) / TARGET_S
    for name, site in sites.items():
        problems = told[name].problems
        for fault, (_, kinds) in FAULTS.items():
            assert not site.served[fault] or any(problems[kind] for kind in kinds), (name, fault)
        assert problems["crash"] == 0, name
        assert problems["rate_limited"] > 0, name
        assert problems["bad_price"] + problems["bad_outcome"] + problems["bad_market"] > 0, name
    served: Counter[str] = sum((site.served for site in sites.values()), Counter())
    assert set(FAULTS) <= set(served)
    counted: Counter[str] = Counter()
    for name in sites:
        counted.update(told[name].problems)
    return {
        "seconds": seconds,
        "hostile_requests": served.total(),
        "served": dict(sorted(served.items())),
        "counted": dict(sorted(counted.items())),
        "healthy_fetches": fresh.in_time + fresh.late,
        "healthy_late": fresh.late,
        "changes": len(changes),
        "rss_before_mb": round(before / 2**20),
        "rss_peak_mb": round(peak / 2**20),
    }


@pytest.mark.parametrize("workers", [0, 2])
async def test_hostile_sites_harm_nobody_else(tmp_path: Path, workers: int) -> None:
    with structlog.testing.capture_logs():
        await besieged(tmp_path, SHORT_S, workers)


@pytest.mark.long
@pytest.mark.parametrize("workers", [0, 2])
async def test_for_minutes(tmp_path: Path, workers: int) -> None:
    with structlog.testing.capture_logs() as logs:
        figures = await besieged(tmp_path, LONG_S, workers)
        logs.clear()
    print(json.dumps(figures, indent=2))  # noqa: T201  # the figures for docs/reliability.md
