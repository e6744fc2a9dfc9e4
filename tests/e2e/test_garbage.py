"""Arbitrary values anywhere in the payloads of every provider, through the whole service.

Each example runs a service that fetches fifty spoilt bodies over HTTP, between good ones. The
neighbours of a spoilt part stay exact and get no change, every call and command still answers, and
each problem is counted by name. Once the bodies are good again, so are the odds.

The long form fetches at least 2,000 bodies, until each of NAMED occurred a hundred times:
`python -m pytest -m long -s tests/e2e/test_garbage.py`. It prints the counts.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
import structlog
import trio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from odds_service.config import MetricsSettings, Settings, load_settings
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.metrics.scraping import scrape
from tests.support import payloads
from tests.support.bookmakers import SHELVES
from tests.support.command_line import ran
from tests.support.garbage import (
    SPOILT,
    SPORT,
    Spoilt,
    SpoiltListing,
    SpoiltShelf,
    listed_event,
)
from tests.support.payloads import Match
from tests.support.serving import call, service, status_of, wait_until
from tests.support.sites import Site, serve_site
from tests.support.watching import Odds, odds_in, watching

BODIES: Final = 50  # of one service, over all four providers
SERVICES, MOST_SERVICES = 40, 300  # of the long form
SOON: Final = (datetime.now(UTC) + timedelta(hours=20)).replace(microsecond=0)
NAMED: Final = ("bad_event", "bad_market", "bad_outcome", "bad_price", "bad_time", "wrong_shape")
INTERVAL_S: Final = 0.05
MAKERS: Final = {
    "sportybet": payloads.sportybet, "betpawa": payloads.betpawa, "bet9ja": payloads.bet9ja
}  # fmt: skip

Bodies = list[tuple[str, Spoilt]]  # (provider, what is spoilt)

BODIES_OF_A_SERVICE: Final = st.lists(
    # Half of the bodies are listings: most can go wrong there, with neighbours to check.
    st.tuples(st.sampled_from([*MAKERS, *["the-odds-api"] * len(MAKERS)]), SPOILT),
    min_size=BODIES,
    max_size=BODIES,
)


def made_sites() -> dict[str, SpoiltShelf | SpoiltListing]:
    """Return the four providers, each with one spoilt event and one or two good ones."""
    spoilt = Match(number=1_000_001, home="Red City", away="Red Town", start=SOON)
    whole = Match(number=1_000_002, home="Blue City", away="Blue Town", start=SOON)
    made: dict[str, SpoiltShelf | SpoiltListing] = {}
    for name, maker in MAKERS.items():
        shelf = SHELVES[name]()
        made[name] = SpoiltShelf(shelf, shelf.put(maker(spoilt)))
        shelf.put(maker(whole))
    made["the-odds-api"] = SpoiltListing(
        [
            listed_event(number, f"{name} Rovers", f"{name} United", SOON)
            for number, name in enumerate(("Green", "Grey", "Pink"), 1)
        ]
    )
    return made


@asynccontextmanager
async def served(apps: dict[str, Site]) -> AsyncIterator[dict[str, str]]:
    async with trio.open_nursery() as nursery:
        urls = {}
        for name, app in apps.items():
            port = await nursery.start(lambda app=app, **kw: serve_site(app, **kw))
            urls[name] = f"http://127.0.0.1:{port}"
        yield urls
        nursery.cancel_scope.cancel()


def settings_with(folder: Path, urls: dict[str, str]) -> Settings:
    http = {
        "requests_per_s": 1_000, "attempts": 1, "breaker_failures": 1_000, "breaker_cool_s": 0.1
    }  # fmt: skip
    tiers = [{"name": "all", "interval_s": INTERVAL_S, "target_s": 60}]
    sources = [
        {"kind": name, "url": url, "http": http}
        | (
            {"sports": [SPORT], "api_key": "k", "interval_s": INTERVAL_S}
            if name == "the-odds-api"
            else {"tiers": tiers, "discovery_s": 2}
        )
        for name, url in urls.items()
    ]
    loaded = load_settings(
        server={"listen": "127.0.0.1:0"}, database={"url": f"sqlite:///{folder / 'odds.db'}"}
    )
    metrics = MetricsSettings(listen="127.0.0.1:0")
    return loaded.model_copy(update={"sources": sources, "metrics": metrics})


async def odds_of(address: str) -> tuple[Odds, pb.GetOddsResponse]:
    reply = await call(address, lambda stub: stub.GetOdds(pb.GetOddsRequest(), timeout=30))
    return odds_in(iter(reply.events)), reply


async def settled(address: str, places: int) -> Odds:
    """Return the odds once every site was read completely."""
    odds: Odds = {}
    with trio.fail_after(60):
        while len(odds) < places:
            await trio.sleep(0.05)
            odds, _ = await odds_of(address)
    return odds


PLACES: Final = 3 * 2 * 3 + 3 * 4  # markets: three sites, two events; three events, two bookmakers


async def read_all_history(address: str) -> list[pb.Change]:
    def work(stub: Any) -> list[pb.Change]:
        pages = stub.GetHistory(pb.GetHistoryRequest(), timeout=60)
        return [change for page in pages for change in page.changes]

    changes: list[pb.Change] = await call(address, work)
    return changes


async def fed(bodies: Bodies) -> Counter[str]:
    """Feed the bodies to a service, check all invariants, and return the problems by name."""
    made = made_sites()
    with TemporaryDirectory() as folder:
        async with (
            served(dict(made)) as urls,
            service(settings_with(Path(folder), urls)) as running,
        ):
            address = running.address
            clean = await settled(address, PLACES)
            assert len(clean) == PLACES
            with watching(address) as watcher:
                await watcher.begun()
                start = len(watcher.fold.changes)
                for provider, spoilt in bodies:
                    made[provider].spoilt.append(spoilt)
                await wait_until(
                    lambda: not any(site.spoilt for site in made.values()), "all bodies are served"
                )
                await back_to(address, clean)
                _, reply = await odds_of(address)
                await watcher.reach(reply.cursor.revision)
                assert watcher.error is None
                assert watcher.failure is None
                changes = watcher.fold.changes[start:]
                neighbours = {place[0] for place in clean} - spoilt_events(clean)
                touched = [c for c in changes if c.event_id in neighbours and c.kind <= 5]
                assert not touched, touched[0]
            status = await status_of(address)
            assert status.durable_revision > 0
            measured = await scrape(running)
            assert measured.value("odds_head_revision") >= status.head_revision
            history = await read_all_history(address)
            assert [c.revision for c in history] == sorted({c.revision for c in history})
            counted = sum((Counter(each.problems) for each in status.sources), Counter[str]())
            shown = await commands_answer(address, min(neighbours), Path(folder))
            assert not [name for name in counted if f"{name} (" not in shown["status"]]
    return counted


def spoilt_events(clean: Odds) -> set[str]:
    """Return the spoilt events: one that three sites share, and one of The Odds API."""
    return {place[0] for place in clean if "1000001" in place[0] or place[0].endswith(f"{1:032x}")}


async def back_to(address: str, clean: Odds) -> None:
    """Wait until everything is as it was before the first spoilt body."""
    odds: Odds = {}
    with trio.move_on_after(60):
        while True:
            odds, _ = await odds_of(address)
            if all(odds.get(place) == shown for place, shown in clean.items()):
                return
            await trio.sleep(0.1)
    missing = {place: (shown, odds.get(place)) for place, shown in clean.items()
               if odds.get(place) != shown}  # fmt: skip
    raise AssertionError(f"not as before: {missing}")


async def commands_answer(address: str, event_id: str, folder: Path) -> dict[str, str]:
    """Run the commands that read, and return the output of each."""
    shown: dict[str, str] = {}
    export = folder / "odds.csv"
    for words in (
        ["status"], ["events"], ["get", event_id, "--best"], ["history", "--export", str(export)]
    ):  # fmt: skip
        done = await ran(*words, "--server", address)
        assert done.returncode == 0, (words, done.stderr)
        assert "Traceback" not in done.stderr
        assert "\x1b" not in done.stdout
        shown[words[0]] = done.stdout
    assert export.stat().st_size > 0
    return shown


_QUIET: Final = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


@settings(max_examples=2, deadline=None, phases=[Phase.generate], suppress_health_check=_QUIET)
@given(bodies=BODIES_OF_A_SERVICE)
async def test_neighbours_of_garbage_stay_exact(bodies: Bodies) -> None:
    with structlog.testing.capture_logs():
        await fed(bodies)


@pytest.mark.long
async def test_two_thousand_bodies() -> None:
    drawn: list[Bodies] = []

    @settings(max_examples=MOST_SERVICES, deadline=None, phases=[Phase.generate],
              suppress_health_check=_QUIET)  # fmt: skip
    @given(bodies=BODIES_OF_A_SERVICE)
    def draw(bodies: Bodies) -> None:
        drawn.append(bodies)

    await trio.to_thread.run_sync(draw)
    counted: Counter[str] = Counter()
    services = 0
    for bodies in drawn:
        with structlog.testing.capture_logs():
            counted += await fed(bodies)
        services += 1
        print(services, dict(counted), flush=True)  # noqa: T201  # progress of a run of minutes
        if services >= SERVICES and all(counted[name] >= 100 for name in NAMED):
            break
    figures = {"services": services, "bodies": services * BODIES, "counted": dict(counted)}
    print(json.dumps(figures, indent=2, sort_keys=True))  # noqa: T201  # the figures for docs/reliability.md
    assert all(counted[name] >= 100 for name in NAMED), counted
