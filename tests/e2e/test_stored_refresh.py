"""RefreshEvent over gRPC: fetched once, committed before the reply, read back at its cursor."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
import pytest
import trio
from google.rpc.error_details_pb2 import ErrorInfo
from starlette.requests import Request
from starlette.responses import Response

from odds_service.demo.bookmaker import SimulatedBookmaker
from odds_service.demo.settings import SimulationSettings
from odds_service.model.refresh import RefreshOutcome
from odds_service.pipeline.refresh import Refresher
from odds_service.service import Running
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc
from tests.support.databases import DatabasePlace
from tests.support.places import on_databases
from tests.support.refusals import details
from tests.support.serving import call, service, settings_for, wait_until
from tests.support.sites import serve_site

pytestmark = on_databases

STEPS = SimulationSettings(sports=1, events=6, bookmakers=3, change_share=0.6)


class Gated:
    """A simulated bookmaker that can hold its answers about single events at a gate."""

    def __init__(self) -> None:
        self._bookmaker = SimulatedBookmaker(STEPS)
        self.gate = trio.Event()
        self.gate.set()
        self.asked = 0

    async def __call__(self, request: Request) -> Response:
        if "/events/" in request.url.path:
            self.asked += 1
            await self.gate.wait()
        return await self._bookmaker(request)


@asynccontextmanager
async def running(place: DatabasePlace) -> AsyncIterator[tuple[Running, Gated, str]]:
    """Yield a service whose source is fetched once, its bookmaker, and the id of an event."""
    bookmaker = Gated()
    offer = SimulatedBookmaker(STEPS)
    async with trio.open_nursery() as nursery:
        port: int = await nursery.start(partial(serve_site, bookmaker))
        settings = settings_for(
            place.folder, port, offer.sport_keys, interval_s=3600,
            markets=list(offer.market_keys), regions=list(STEPS.regions),
        )  # fmt: skip
        database = settings.database.model_copy(
            update={"url": type(settings.database.url)(place.url), "migrate": True,
                    "spill_folder": place.folder}
        )  # fmt: skip
        async with service(settings.model_copy(update={"database": database})) as served:
            feed = served.parts.feed
            await wait_until(
                lambda: 0 < feed.durable_revision == feed.head_revision, "the first odds stored"
            )
            yield served, bookmaker, min(served.parts.cache.events)
        nursery.cancel_scope.cancel()


async def refresh(address: str, event_id: str, deadline_s: float = 60) -> Any:
    request = pb.RefreshEventRequest(event_id=event_id)
    request.deadline.FromMilliseconds(round(deadline_s * 1000))
    return await call(address, lambda stub: stub.RefreshEvent(request, timeout=90))


def reading(request: pb.GetOddsRequest) -> Callable[[pb_grpc.OddsServiceStub], Any]:
    return lambda stub: stub.GetOdds(request, timeout=30)


async def test_a_refresh_is_committed_before_it_answers_and_reads_back(
    place: DatabasePlace,
) -> None:
    async with running(place) as (served, _, event_id):
        for _ in range(3):
            before = served.parts.feed.head_revision
            reply = await refresh(served.address, event_id)
            assert reply.changes
            assert [c.revision for c in reply.changes] == list(
                range(before + 1, before + 1 + len(reply.changes))
            )
            assert reply.durable_revision >= reply.changes[-1].revision
            stored = place.value("SELECT durable_revision FROM feed_state")
            assert int(stored) >= reply.changes[-1].revision
            request = pb.GetOddsRequest(min_cursor=reply.cursor)
            request.filter.event_ids.append(event_id)
            odds = await call(served.address, reading(request))
            (entry,) = odds.events
            shown = {(b.source, b.bookmaker): b.snapshot_id for b in entry.bookmakers}
            assert shown
            assert all(shown.values())
            assert shown == {(s.source, s.bookmaker): s.snapshot_id for s in reply.snapshots}
            known = {int(id_) for (id_,) in place.sql("SELECT snapshot_id FROM snapshots")}
            assert set(shown.values()) <= known


async def test_concurrent_calls_share_one_fetch(
    place: DatabasePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = 0
    refresh_of = Refresher.refresh

    async def counted(self: Refresher, event_id: str, deadline_s: float) -> RefreshOutcome:
        nonlocal waiting
        waiting += 1  # it joins the fetch before any other task runs
        return await refresh_of(self, event_id, deadline_s)

    monkeypatch.setattr(Refresher, "refresh", counted)
    async with running(place) as (served, bookmaker, event_id):
        bookmaker.gate = trio.Event()
        asked = bookmaker.asked
        replies: list[Any] = []

        async def one() -> None:
            replies.append(await refresh(served.address, event_id))

        # One caller cancels; the fetch continues for the others.
        request = pb.RefreshEventRequest(event_id=event_id)
        with grpc.insecure_channel(served.address) as channel:
            leaving = pb_grpc.OddsServiceStub(channel).RefreshEvent.future(request)
            await wait_until(lambda: bookmaker.asked == asked + 1, "the fetch")
            leaving.cancel()  # type: ignore[no-untyped-call]  # grpc-stubs leave it bare
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(one)
            # A call after the gate opens would start another fetch.
            await wait_until(lambda: waiting == 5, "all that wait for the fetch")
            bookmaker.gate.set()
        assert bookmaker.asked == asked + 1
        firsts = {tuple(change.revision for change in reply.changes) for reply in replies}
        assert len(replies) == 4
        assert len(firsts) == 1


def refusal_of(error: grpc.RpcError) -> tuple[grpc.StatusCode, ErrorInfo]:
    return error.code(), details(error)["ErrorInfo"]


@pytest.mark.logs_errors
async def test_its_deadline_leaves_the_change_queued_and_names_the_cursor(
    place: DatabasePlace,
) -> None:
    async with running(place) as (served, bookmaker, event_id):
        feed = served.parts.feed
        # In a thread, since the service's own transactions continue. Placeholders are refused too,
        # as if the database were away.
        await trio.to_thread.run_sync(place.refuse, "revision > 0")
        before = feed.head_revision
        for deadline_s in (0.5, 1, 2, 4, 8, 16, 32):
            with pytest.raises(grpc.RpcError) as late:
                await refresh(served.address, event_id, deadline_s)
            code, info = refusal_of(late.value)
            if info.reason != "NOT_FETCHED_YET":  # the fetch itself, on a busy machine
                break
        assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "NOT_DURABLE_YET")
        assert info.metadata["epoch"] == feed.epoch
        revision = int(info.metadata["revision"])
        assert revision == feed.head_revision > before
        assert feed.durable_revision == before
        # Another refresh waits behind it, because the log is stored in order.
        async with trio.open_nursery() as nursery:
            replies: list[Any] = []

            async def wait() -> None:
                replies.append(await refresh(served.address, event_id))

            nursery.start_soon(wait)
            await wait_until(lambda: feed.head_revision > revision, "the second one's changes")
            assert not replies
            await trio.to_thread.run_sync(place.accept)
        (reply,) = replies
        assert reply.durable_revision >= reply.changes[-1].revision > revision
        durable = feed.durable_revision  # a source may go stale, and be stored, at any moment
        # Accepted amid an attempt, one row may have been refused alone, and be a dead letter.
        stored = (
            f"SELECT (SELECT count(*) FROM odds_history WHERE kind > 0 AND revision <= {durable})"  # noqa: S608  # a number of ours
            " + (SELECT count(*) FROM dead_letters)"
        )
        assert place.value(stored) == str(durable)
        bookmaker.gate = trio.Event()
        with pytest.raises(grpc.RpcError) as slow:
            await refresh(served.address, event_id, 0.2)
        code, info = refusal_of(slow.value)
        assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "NOT_FETCHED_YET")
        assert info.metadata["sources"] == "the-odds-api"
        assert int(info.metadata["revision"]) == served.parts.feed.head_revision
        assert info.metadata["epoch"] == served.parts.feed.epoch
        bookmaker.gate.set()
