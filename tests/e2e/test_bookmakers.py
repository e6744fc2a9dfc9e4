"""One match at three bookmakers, each with its own endpoints, through the whole service.

The payloads are small ones in the providers' shapes, and recorded ones if the project has them
beside it. Prices move, markets are suspended or removed, an event disappears, and a site fails.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
from msgspec.structs import replace
from starlette.responses import Response

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support import payloads
from tests.support.bookmakers import (
    SHELVES,
    moved_to,
    payload_in,
    settings_of,
    sites,
    suspended,
    with_home_price,
    without_h2h,
)
from tests.support.payloads import Match
from tests.support.providers import ProviderShelf
from tests.support.recorded import RECORDED
from tests.support.serving import call, service, status_of, wait_until
from tests.support.watching import Watcher, watching

SOON = (datetime.now(UTC) + timedelta(hours=20)).replace(microsecond=0)
NUMBERS = {"wuhan": "68995116", "norway": "66457014"}
MAKERS: dict[str, Callable[[Match], Any]] = {
    "sportybet": payloads.sportybet,
    "betpawa": payloads.betpawa,
    "bet9ja": payloads.bet9ja,
}


def own_shelves() -> list[ProviderShelf]:
    match = Match(
        number=int(NUMBERS["wuhan"]), home="Wuhan Three Towns", away="Qingdao Hainiu", start=SOON
    )
    other = replace(match, number=int(NUMBERS["norway"]), home="Norway", away="France")
    return [
        SHELVES[name](maker(match), maker(replace(other, tournament=2)))
        for name, maker in MAKERS.items()
    ]


def recorded_shelves() -> list[ProviderShelf]:
    shelves = []
    for name, shelf in SHELVES.items():
        folder = RECORDED / name
        if not folder.is_dir():
            pytest.skip("no recorded odds beside us")
        bodies = [(folder / file).read_bytes() for file in ("prematch.json", "wc_nf.json")]
        shelves.append(shelf(*(moved_to(payload_in(body, name), name, SOON) for body in bodies)))
    return shelves


def kinds_of(watcher: Watcher, source: str, market: str = "h2h") -> list[str]:
    """Return the kinds of changes of a market of the match, in order."""
    return [
        pb.ChangeKind.Name(change.kind).removeprefix("CHANGE_KIND_")
        for change in watcher.fold.changes
        if change.source == source
        and change.event_id == f"sr:{NUMBERS['wuhan']}"
        and change.after.key.market == market
        and not change.after.key.participant
    ]


def states_of(watcher: Watcher, source: str) -> list[str]:
    return [
        pb.ChangeKind.Name(change.kind).removeprefix("CHANGE_KIND_SOURCE_")
        for change in watcher.fold.changes
        if change.source == source and change.kind >= pb.CHANGE_KIND_SOURCE_UP
    ]


def last_is(watcher: Watcher, source: str, kind: str) -> bool:
    return kinds_of(watcher, source)[-1] == kind


async def printed(address: str, *words: str) -> str:
    command = [sys.executable, "-m", "odds_service", *words, "--server", address]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ODDS_")}
    done = await trio.to_thread.run_sync(
        lambda: subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=environment | {"COLUMNS": "250", "NO_COLOR": "1"},
        )
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("shelves", [own_shelves, recorded_shelves])
async def test_one_event_with_the_bookmakers_side_by_side(
    shelves: Callable[[], list[ProviderShelf]], tmp_path: Path
) -> None:
    event_id = f"sr:{NUMBERS['wuhan']}"
    with structlog.testing.capture_logs():
        async with (
            sites(*shelves()) as (made, urls),
            service(settings_of(tmp_path, urls, interval_s=0.25)) as running,
        ):
            cache = running.parts.cache

            def bookmakers(of: str = event_id) -> set[str]:
                entry = cache.events.get(of)
                return set() if entry is None else {name for _, name in entry.bookmakers}

            def priced_by_all(of: str = event_id) -> bool:
                return bookmakers(of) == set(SHELVES)

            with watching(running.address) as watcher:
                for other_id in (f"sr:{number}" for number in NUMBERS.values()):
                    await wait_until(partial(priced_by_all, other_id), "all three")
                assert set(cache.events) == {f"sr:{number}" for number in NUMBERS.values()}

                table = await printed(running.address, "get", event_id)
                (head,) = (line for line in table.splitlines() if "sportybet" in line)
                assert head.index("bet9ja") < head.index("betpawa") < head.index("sportybet")
                rows = table.splitlines()
                (draw,) = (n for n, row in enumerate(rows) if row.startswith("h2h\tdraw\t"))
                outcomes = [row.split("\t")[1:] for row in rows[draw - 1 : draw + 2]]
                event = cache.events[event_id].event
                assert [row[0] for row in outcomes] == [event.home, "draw", event.away]
                for row in outcomes:
                    assert len([float(price) for price in row[1:]]) == len(SHELVES)

                # Each bookmaker moves, suspends and resumes prices, and removes a market, its way.
                for name, site in made.items():
                    shelf = site.shelf
                    (own_id,) = (
                        key
                        for key, entry in (
                            (entry.sources[name].source_event_id, entry)
                            for entry in cache.events.values()
                        )
                        if entry.event.id == event_id
                    )
                    payload = shelf.events[own_id]
                    steps = [
                        ("PRICES", with_home_price(payload, name, 7.77)),
                        ("SUSPENDED", suspended(payload, name)),
                        ("RESUMED", payload),
                        ("REMOVED", without_h2h(payload, name)),
                        ("ADDED", payload),
                    ]
                    for kind, changed in steps:
                        shelf.put(changed)
                        await wait_until(partial(last_is, watcher, name, kind), f"{kind} at {name}")
                    assert kinds_of(watcher, name) == ["ADDED", *(kind for kind, _ in steps)]

                # One bookmaker drops the event: its odds go at the second absence, the event stays.
                gone = made["bet9ja"].shelf
                dropped = cache.events[event_id].sources["bet9ja"].source_event_id
                payload = gone.events.pop(dropped)
                await wait_until(lambda: bookmakers() == {"sportybet", "betpawa"}, "bet9ja gone")
                gone.put(payload)
                await wait_until(priced_by_all, "bet9ja back")

                # Another one fails, in discovery too: it goes down, but keeps all its odds.
                before = kinds_of(watcher, "betpawa")
                faults = {
                    "server_error": Response(status_code=500),
                    "html": Response(b"<html>Are you human?</html>"),
                    "wrong_shape": Response(b"[]"),
                    "redirect": Response(status_code=302, headers={"Location": "/login"}),
                }
                counted = running.parts.scrapers["betpawa"].counts.problems
                for kind, fault in faults.items():
                    made["betpawa"].fault = fault
                    await wait_until(lambda: states_of(watcher, "betpawa")[-1] == "DOWN", "down")
                    # The first failure in a row may still belong to the fault before.
                    await wait_until(partial(at_least, 5, counted, kind), kind)
                    made["betpawa"].fault = None
                    await wait_until(lambda: states_of(watcher, "betpawa")[-1] == "UP", "up")
                assert states_of(watcher, "betpawa").count("DOWN") >= len(faults)
                assert kinds_of(watcher, "betpawa") == before
                assert bookmakers() == set(SHELVES)
            known = running.parts.scrapers["sportybet"].counts.unmapped
            known.add({"A market of [brackets]": 10**9}, datetime.now(UTC))
            status = await status_of(running.address)
            shown = await printed(running.address, "status")
            assert "A market of [brackets] (1000000000)" in shown
            problems = {each.state.source: dict(each.problems) for each in status.sources}
            for kind in faults:
                assert problems["betpawa"][kind] >= 5
                assert kind not in problems["sportybet"]
            assert all(each.freshness[0].pulls == 2 for each in status.sources)
            for each in status.sources:
                assert each.markets_mapped > 0
                assert each.markets_unmapped == sum(each.unmapped.values()), each.state.source
            reply = await call(
                running.address,
                lambda stub: stub.RefreshEvent(pb.RefreshEventRequest(event_id=event_id)),
            )
            assert {each.source for each in reply.sources if each.ok} == set(SHELVES)


async def test_a_source_that_does_not_answer_goes_stale_and_comes_back(tmp_path: Path) -> None:
    with structlog.testing.capture_logs():
        async with (
            sites(*own_shelves()) as (made, urls),
            service(settings_of(tmp_path, urls, interval_s=0.3)) as running,
        ):
            with watching(running.address) as watcher:
                for name in SHELVES:
                    await wait_until(partial(state_is, watcher, name, "UP"), f"{name} up")
                made["bet9ja"].open = trio.Event()
                await wait_until(partial(state_is, watcher, "bet9ja", "STALE"), "stale")
                (*_, told) = (
                    change.source_state
                    for change in watcher.fold.changes
                    if change.source == "bet9ja" and change.kind == pb.CHANGE_KIND_SOURCE_STALE
                )
                assert told.HasField("last_success_at")
                entry = running.parts.cache.events[f"sr:{NUMBERS['wuhan']}"]
                assert {name for _, name in entry.bookmakers} == set(SHELVES)
                made["bet9ja"].open.set()
                await wait_until(partial(state_is, watcher, "bet9ja", "UP"), "up")


def state_is(watcher: Watcher, source: str, state: str) -> bool:
    return states_of(watcher, source)[-1:] == [state]


def at_least(count: int, counted: Counter[str], name: str) -> bool:
    return counted[name] >= count
