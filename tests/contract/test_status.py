"""GetStatus by the proto, from a whole service, with stubs alone."""

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trio
from starlette.requests import Request
from starlette.responses import Response

from odds_service import __version__
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.offer import Offer
from tests.support.serving import LONG_S, call, service, settings_for, status_of, wait_until
from tests.support.sites import serve_site

SPORT = "soccer_epl"


class Site:
    """A site that answers with an offer, or fails on demand."""

    def __init__(self) -> None:
        self._rng = random.Random(3)
        self.offer = Offer()
        self.offer.move(self._rng, 60)
        self.failing = False
        self.asked, self.answers = trio.Event(), trio.Event()
        self.answers.set()

    async def __call__(self, request: Request) -> Response:
        self.asked.set()
        await self.answers.wait()
        if self.failing:
            return Response(b"{}", 503)
        body = sorted(json.loads(self.offer.body(self._rng)), key=lambda event: str(event["id"]))
        body[0]["bookmakers"][0]["markets"].append({"key": "h2h", "outcomes": "none"})
        return Response(json.dumps(body).encode(), headers={"x-requests-remaining": "77"})


async def settled(address: str) -> pb.GetStatusResponse:
    """Return the status once the source is up, its odds are stored and its next listing is due.

    Nothing is due while the only listing of a source is being asked for.
    """
    with trio.fail_after(LONG_S):
        while True:
            status = await status_of(address)
            up = status.sources[0].state.state == pb.SOURCE_HEALTH_UP
            due = status.sources[0].HasField("next_due")
            if up and due and 0 < status.durable_revision == status.head_revision:
                return status
            await trio.sleep(0.02)


async def test_a_service_tells_its_sources_queues_storage_and_readers(tmp_path: Path) -> None:
    site = Site()
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve_site, site)
        settings = settings_for(
            tmp_path, port, [SPORT], interval_s=0.2, http={"attempts": 1, "breaker_failures": 1000}
        )
        async with service(settings) as running:
            feed = running.parts.feed
            status = await settled(running.address)
            assert status.version == __version__
            assert status.epoch == feed.epoch
            assert status.head_revision == status.durable_revision
            assert status.oldest_revision == 1
            assert status.uptime.ToTimedelta() > timedelta()
            events = await call(
                running.address, lambda stub: stub.GetOdds(pb.GetOddsRequest(), timeout=30)
            )
            assert status.events == len(events.events)
            assert status.bookmakers == sum(len(e.bookmakers) for e in events.events)
            assert status.markets == sum(
                len(b.markets) for e in events.events for b in e.bookmakers
            )
            (source,) = status.sources
            assert (source.state.state, source.state.reason) == (pb.SOURCE_HEALTH_UP, "")
            assert source.state.quota_left == 77
            assert source.interval.ToTimedelta() == timedelta(seconds=0.2)
            assert source.events == len(events.events)
            assert source.pulls >= 1
            assert sum(source.problems.values()) >= 1
            assert source.HasField("next_due")
            assert source.HasField("latency")
            assert [(c.name, c.unit) for c in status.channels] == [
                ("fetched", "observations"), ("write", "changes"),
            ]  # fmt: skip
            assert all(c.fill <= c.capacity for c in status.channels)
            assert status.writer.state in (pb.WRITER_STATE_IDLE, pb.WRITER_STATE_WRITING)
            assert status.writer.reason == ""
            assert 0 <= status.writer.lag_s < 60  # a busy machine may be writing still
            before = events.sources[0].last_success_at.ToDatetime(UTC)
            assert datetime.now(UTC) - before < timedelta(minutes=5)

            site.failing = True
            state = running.parts.cache.sources
            await wait_until(
                lambda: next(iter(state.values())).consecutive_failures >= 5, "five failures"
            )
            reply = await call(
                running.address, lambda stub: stub.GetOdds(pb.GetOddsRequest(), timeout=30)
            )
            (down,) = reply.sources
            assert (down.state, down.reason) == (pb.SOURCE_HEALTH_DOWN, "server_error")
            assert "503" in down.detail
            assert down.consecutive_failures >= 5
            # Failed is not empty: all odds stay, marked as stale.
            assert len(reply.events) == len(events.events)
            assert all(b.stale for e in reply.events for b in e.bookmakers)
            status = await status_of(running.address)
            assert status.sources[0].failures >= 5
            await wait_until(lambda: feed.durable_revision == feed.head_revision, "all stored")
            pages = await call(
                running.address, lambda stub: list(stub.GetHistory(pb.GetHistoryRequest()))
            )
            told = [c for page in pages for c in page.changes if c.HasField("source_state")]
            assert [(c.kind, c.reason) for c in told if c.kind == pb.CHANGE_KIND_SOURCE_DOWN] == [
                (pb.CHANGE_KIND_SOURCE_DOWN, "server_error")
            ]
            assert all(c.reason == c.source_state.reason for c in told)
            assert {c.source_state.state for c in told} >= {
                pb.SOURCE_HEALTH_UP, pb.SOURCE_HEALTH_DOWN,
            }  # fmt: skip
        nursery.cancel_scope.cancel()


async def test_nothing_is_due_while_what_is_next_is_being_fetched(tmp_path: Path) -> None:
    site = Site()
    site.answers = trio.Event()
    async with trio.open_nursery() as nursery:
        port = await nursery.start(serve_site, site)
        async with service(settings_for(tmp_path, port, [SPORT], interval_s=0.2)) as running:
            with trio.fail_after(LONG_S):
                await site.asked.wait()
            (source,) = (await status_of(running.address)).sources
            assert not source.HasField("next_due")
            site.answers.set()
            status = await settled(running.address)
            assert status.sources[0].HasField("next_due")
        nursery.cancel_scope.cancel()
