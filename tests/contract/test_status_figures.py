"""The delays and the size in GetStatus, from a whole service over a site that the test moves."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trio
from starlette.requests import Request
from starlette.responses import Response

from odds_service.service import Running
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.command_line import ran
from tests.support.odds_builders import Stream, changes_of, connected
from tests.support.serving import LONG_S, service, settings_for, status_of, wait_until
from tests.support.sites import serve_site

SPORT = "soccer_epl"
BOOKMAKERS = ("alfa", "bravo", "carol")
OLD_S = 40.0  # the age of a price by the site


class Site:
    """A site with one event, whose prices move when the test says so."""

    def __init__(self) -> None:
        self.price = 2.0
        self.age = timedelta(seconds=OLD_S)
        self._start = datetime.now(UTC) + timedelta(hours=5)

    async def __call__(self, request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        told = f"{datetime.now(UTC) - self.age:%Y-%m-%dT%H:%M:%SZ}"
        market = {
            "key": "h2h",
            "last_update": told,
            "outcomes": [
                {"name": "Reds", "price": self.price}, {"name": "Blues", "price": 3.0},
            ],
        }  # fmt: skip
        event = {
            "id": "e1", "sport_key": SPORT, "sport_title": "EPL",
            "commence_time": f"{self._start:%Y-%m-%dT%H:%M:%SZ}",
            "home_team": "Reds", "away_team": "Blues",
            "bookmakers": [
                {"key": name, "title": name, "last_update": told, "markets": [market]}
                for name in BOOKMAKERS
            ],
        }  # fmt: skip
        return Response(json.dumps([event]).encode())


async def received(stream: Stream, count: int) -> list[pb.Change]:
    found: list[pb.Change] = []
    while len(found) < count:
        found += [
            each for each in changes_of(await stream.until("changes")) if each.after.key.market
        ]
    return found


async def counted(running: Running, stage: str, least: int) -> dict[str, pb.DelayStatus]:
    """Return the delays by stage once a stage has counted at least so much."""
    with trio.fail_after(LONG_S):
        while True:
            status = await status_of(running.address)
            (tier,) = status.sources[0].freshness
            delays = {delay.stage: delay for delay in tier.delays}
            if stage in delays and delays[stage].count >= least:
                return delays
            await trio.sleep(0.05)


async def test_delays_are_counted_from_the_site_to_each_client(tmp_path: Path) -> None:
    site = Site()
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve_site, site)
        settings = settings_for(tmp_path, port, [SPORT], interval_s=0.2)
        async with service(settings) as running:
            feed = running.parts.feed
            await wait_until(lambda: feed.head_revision >= len(BOOKMAKERS), "odds")
            with connected(running.address) as client:
                delays = await counted(running, "observed_detected", 3)
                assert set(delays) == {"observed_detected"}  # nothing moved, nobody reads
                with client.watch() as plain, client.watch(
                    conflate={"nanos": 50_000_000}
                ) as conflated:  # fmt: skip
                    await plain.until("image_end")
                    await conflated.until("image_end")
                    for price in (2.1, 2.2):
                        site.price = price
                        moved = await received(plain, len(BOOKMAKERS))
                        assert {each.kind for each in moved} == {pb.CHANGE_KIND_PRICES}
                        await received(conflated, len(BOOKMAKERS))
                delays = await counted(running, "observed_sent_conflated", 6)
                delays = await counted(running, "observed_sent", 6)
                assert delays["observed_sent"].count == delays["detected_sent"].count == 6
                assert delays["source_observed"].count == delays["source_sent"].count == 6
                assert delays["source_observed"].p50_s >= 30  # the bucket of 40 s begins there
                assert delays["source_sent"].p50_s >= 30
                for delay in delays.values():
                    assert delay.recent == delay.count
                    assert 0 <= delay.p50_s <= delay.p90_s <= delay.p99_s
                # A client that was away is late by itself: it counts for nobody.
                with client.watch(
                    resume=pb.Cursor(epoch=feed.epoch, revision=moved[0].revision - 1)
                ) as late:
                    await received(late, 3)
                assert (await counted(running, "observed_sent", 6))["observed_sent"].count == 6

                for _ in range(4):  # the later ones are kept replies
                    await client.call("GetOdds", pb.GetOddsRequest())
                delays = await counted(running, "confirmed_answered", 4 * len(BOOKMAKERS))
                assert delays["confirmed_answered"].count == 4 * len(BOOKMAKERS)

                with client.watch() as watch:
                    await watch.until("image_end")
                    site.age, site.price = timedelta(hours=-1), 2.3  # its clock is an hour ahead
                    await received(watch, len(BOOKMAKERS))
                await wait_until(lambda: running.parts.delays.foreign("the-odds-api")[0] == 3,
                                 "the foreign times")  # fmt: skip
                status = await status_of(running.address)
                (source,) = status.sources
                assert (source.clock_ahead, source.clock_behind) == (3, 0)
                delays = {delay.stage: delay for delay in source.freshness[0].delays}
                assert delays["source_observed"].count == 6
                table = await ran("status", "--server", running.address)
                stages = await ran("status", "--delays", "--server", running.address)
        nursery.cancel_scope.cancel()
    assert "age of odds when clients get them" in table.stdout
    assert set(delays) <= set(stages.stdout.split())
    assert "3 changes ahead of ours" in stages.stdout


async def test_the_size_of_the_database_is_told_and_growth_not_at_once(tmp_path: Path) -> None:
    site = Site()
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve_site, site)
        async with service(settings_for(tmp_path, port, [SPORT])) as running:
            await wait_until(lambda: running.parts.sizes.report is not None, "a size")
            status = await status_of(running.address)
            table = await ran("status", "--server", running.address)
        nursery.cancel_scope.cancel()
    storage = status.storage
    assert set(storage.parts) == {"database", "wal", "spill"}
    assert storage.bytes == sum(storage.parts.values()) > 0
    assert not storage.HasField("growth_bytes_per_day")
    assert not storage.HasField("full_in_days")
    assert [disk.place for disk in storage.disks] == ["database", "spill"]
    assert all(0 < disk.free_bytes <= disk.size_bytes for disk in storage.disks)
    told: Any = storage.measured_at.ToDatetime(UTC)
    assert datetime.now(UTC) - told < timedelta(minutes=5)
    assert "growth not known yet" in table.stdout
    assert "free for the database" in table.stdout
