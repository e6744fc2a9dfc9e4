"""A nearly exhausted quota: no request exceeds it, and waiting does not count as a failure."""

from functools import partial
from pathlib import Path

import structlog
import trio

from odds_service.demo.bookmaker import SimulatedBookmaker, run_bookmaker
from odds_service.demo.settings import SimulationSettings
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.serving import call, service, settings_for, status_of, wait_until

COST = 6  # credits for one body: three markets in two regions
PULLS = 3


async def test_credits_are_kept_to_by_pulls_and_refreshes(tmp_path: Path) -> None:
    simulated = SimulationSettings(
        sports=1, events=4, quota=PULLS * COST + 1, event_absence_share=0, empty_share=0
    )
    (sport,) = SimulatedBookmaker(simulated).sport_keys
    with structlog.testing.capture_logs():
        async with trio.open_nursery() as nursery:
            port = await nursery.start(partial(run_bookmaker, simulated))
            settings = settings_for(tmp_path, port, [sport], interval_s=0.05)
            async with service(settings) as running:
                (scraper,) = running.parts.scrapers.values()
                await wait_until(
                    lambda: scraper.counts.pulls == PULLS, "the pulls that can be paid"
                )
                await wait_until(lambda: bool(running.parts.cache.events), "their odds")
                await trio.sleep(1.0)  # twenty intervals
                request = pb.RefreshEventRequest(event_id=next(iter(running.parts.cache.events)))
                reply = await call(
                    running.address, lambda stub: stub.RefreshEvent(request, timeout=30)
                )
                status = await status_of(running.address)
            nursery.cancel_scope.cancel()
    (refreshed,) = reply.sources
    assert (refreshed.ok, refreshed.error_code) == (False, "over_budget")
    (source,) = status.sources
    assert (source.pulls, source.failures, source.state.quota_left) == (PULLS, 0, 1)
    assert source.next_due.ToSeconds() - source.state.last_success_at.ToSeconds() > 3_000
