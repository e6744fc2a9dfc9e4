"""ListRuns by the proto, from a whole service: what was fetched is told a moment later."""

from collections.abc import Callable
from pathlib import Path

import trio

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.contract.test_status import SPORT, Site, settled
from tests.support.serving import LONG_S, call, service, settings_for
from tests.support.sites import serve_site


async def listed(address: str, wanted: Callable[[pb.Run], bool]) -> pb.Run:
    """Return the newest run of a kind, once its record is stored."""
    with trio.fail_after(LONG_S):
        while True:
            reply = await call(address, lambda stub: stub.ListRuns(pb.ListRunsRequest()))
            starts = [run.started_at.ToNanoseconds() for run in reply.runs]
            assert starts == sorted(starts, reverse=True)
            for run in reply.runs:
                if wanted(run):
                    assert isinstance(run, pb.Run)
                    return run
            await trio.sleep(0.02)


async def test_a_service_lists_what_it_has_fetched(tmp_path: Path) -> None:
    site = Site()
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve_site, site)
        settings = settings_for(
            tmp_path, port, [SPORT], interval_s=0.2, http={"attempts": 1, "breaker_failures": 1000}
        )
        async with service(settings) as running:
            address = running.address
            status = await settled(address)
            first = await listed(address, lambda run: run.changes > 1)
            assert (first.source, first.listing) == (status.sources[0].state.source, SPORT)
            # A market of its answers cannot be read, so they are not the whole.
            assert first.outcome in (pb.RUN_OUTCOME_COMPLETE, pb.RUN_OUTCOME_PARTIAL)
            assert first.events == status.events
            # All that was new, and the source's own coming up.
            assert first.changes == status.events + first.markets + 1
            assert sum(first.problems.values()) == 1
            assert 0 < first.duration.ToTimedelta().total_seconds() < LONG_S
            assert first.started_at.ToNanoseconds() > 0
            again = await listed(address, lambda run: run.changes == 0)
            assert (again.events, again.markets) == (first.events, first.markets)

            events = await call(address, lambda stub: stub.ListEvents(pb.ListEventsRequest()))
            chosen = pb.RefreshEventRequest(event_id=events.events[0].event.id)
            await call(address, lambda stub: stub.RefreshEvent(chosen, timeout=30))
            refreshed = await listed(address, lambda run: run.listing == "refresh")
            assert refreshed.source == first.source

            site.failing = True
            failed = await listed(address, lambda run: run.outcome == pb.RUN_OUTCOME_FAILED)
            assert "503" in failed.reason
            assert dict(failed.problems) == {"server_error": 1}
            assert (failed.events, failed.markets) == (0, 0)
        nursery.cancel_scope.cancel()
