"""Unmapped markets of a whole service: from a bookmaker's body to ListUnmapped, and away again."""

from functools import partial
from pathlib import Path

import trio

from odds_service.reloads import Reloads
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.sources.test_by_event import MATCH, PROVIDERS, shelf_of, with_unknown
from tests.support.bookmakers import settings_of, sites
from tests.support.serving import call, service, wait_until


async def unmapped(address: str) -> dict[str, pb.UnmappedMarket]:
    reply = await call(
        address, lambda stub: stub.ListUnmapped(pb.ListUnmappedRequest(), timeout=30)
    )
    return {each.source: each for each in reply.markets}


async def pulled(address: str) -> set[tuple[str, ...]]:
    """Return what was fetched from each source."""
    reply = await call(address, lambda stub: stub.ListRuns(pb.ListRunsRequest(), timeout=30))
    return {(run.source, run.listing) for run in reply.runs}


async def test_unmapped_markets_are_told_until_their_source_is_removed(tmp_path: Path) -> None:
    shelves = {kind: shelf_of(kind, MATCH) for kind in PROVIDERS}
    for kind, shelf in shelves.items():
        (event_id,) = shelf.events
        shelf.put(with_unknown(shelf.events[event_id], kind))
    async with sites(*shelves.values()) as (_, urls):
        settings = settings_of(tmp_path, urls, interval_s=0.1)
        reloads = Reloads(lambda: settings)
        async with service(settings, reloads=reloads) as running:

            def polled(kind: str, times: int) -> bool:
                return running.parts.scrapers[kind].counts.unmapped.total >= times

            for kind in PROVIDERS:
                await wait_until(partial(polled, kind, 2), "two polls of each")
            rows = await unmapped(running.address)
            assert set(rows) == set(PROVIDERS)
            for kind, row in rows.items():
                assert row.count >= 2
                assert "99999" in row.name or "S_NEVERSEEN" in row.name
                assert row.sport == "soccer"
                (sample,) = row.samples
                assert sample.event_id in shelves[kind].events
                assert sample.event_name == "Wuhan Three Towns – Qingdao Hainiu"
                assert "1" in sample.outcomes
            events = {(kind, *shelf.events) for kind, shelf in shelves.items()}
            with trio.fail_after(60):  # until their records are stored
                while not events <= await pulled(running.address):  # noqa: ASYNC110  # stored elsewhere
                    await trio.sleep(0.02)
            kept = [table for table in settings.sources if table["kind"] != "betpawa"]
            settings = settings.model_copy(update={"sources": kept})
            with trio.fail_after(60):
                await call(running.address, lambda stub: stub.Reload(pb.ReloadRequest()))
            assert set(await unmapped(running.address)) == set(PROVIDERS) - {"betpawa"}
