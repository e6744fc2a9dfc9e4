"""An ingest node in the test's process: its log on the bus, its answers, its stop."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import grpc
import pytest
import trio

import odds_service.ingest
from odds_service.bus.bus import Bus, beside
from odds_service.bus.log import LogError
from odds_service.bus.messages import DecodedBatch, Freshness, decode
from odds_service.bus.requests import (
    OwnerState,
    RefreshAsk,
    decode_outcome,
    decode_state,
    encode_ask,
)
from odds_service.checking import check_start
from odds_service.demo.bookmaker import SimulatedBookmaker
from odds_service.demo.settings import SimulationSettings
from odds_service.errors import UnknownEvent
from odds_service.model.refresh import RefreshOutcome
from odds_service.model.source import SourceState, SourceStatus
from odds_service.service import Running, run_service
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.e2e.test_life import BUSY, STILL, bookmaker
from tests.support.nodes import Site
from tests.support.ports import free_port
from tests.support.serving import call, service, settings_for, wait_until


@asynccontextmanager
async def ingest(site: Site, offer: SimulationSettings = BUSY) -> AsyncIterator[Running]:
    """Run an ingest node on a simulated bookmaker."""
    async with bookmaker(offer) as (port, table):
        base = settings_for(
            site.folder, port, SimulatedBookmaker(offer).sport_keys, interval_s=0.05,
            markets=table["markets"], regions=table["regions"],
        )  # fmt: skip
        async with service(site.settings(base)) as running:
            yield running


async def test_the_stream_holds_what_the_database_holds_after_the_ordered_stop(site: Site) -> None:
    async with ingest(site) as running:
        feed = running.parts.feed
        await wait_until(lambda: feed.durable_revision > 300, "some odds stored")
        report = running.parts.bus.report() if running.parts.bus else None
        assert report is not None
        assert (report.role, report.state, report.reason) == ("ingest", "sending", "")
        assert report.acknowledged > 1
        assert report.ack_total_s > 0
    changes, epochs = await trio.to_thread.run_sync(site.streamed)
    assert [change.revision for change in changes] == list(range(1, feed.head_revision + 1))
    assert await site.astored() == changes
    assert [opened.epoch for opened in epochs] == [feed.epoch]
    assert running.parts.bus is not None
    assert running.parts.bus.outbox.pending_changes == 0


async def test_a_restart_goes_on_in_the_same_stream(site: Site) -> None:
    heads = []
    for _ in range(3):
        async with ingest(site) as running:
            feed = running.parts.feed
            before = feed.head_revision
            await wait_until(lambda: feed.head_revision > before + 100, "new odds")  # noqa: B023  # at once
        heads.append(feed.head_revision)
    changes, epochs = await trio.to_thread.run_sync(site.streamed)
    assert await site.astored() == changes
    assert [opened.first_revision for opened in epochs] == [1, *(head + 1 for head in heads[:2])]


async def test_streams_of_changes_are_refused_and_other_calls_are_not(site: Site) -> None:
    async with ingest(site, STILL) as running:
        await wait_until(lambda: running.parts.feed.durable_revision > 10, "odds")
        reply = await call(
            running.address, lambda stub: stub.GetOdds(pb.GetOddsRequest(), timeout=30)
        )
        assert reply.events
        with pytest.raises(grpc.RpcError) as refused:
            await call(
                running.address,
                lambda stub: list(stub.WatchChanges(pb.WatchChangesRequest(), timeout=30)),
            )
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "watch a node with the role `read`" in (refused.value.details() or "")


async def test_it_answers_refreshes_over_the_bus(site: Site) -> None:
    subject = beside(site.bus.subject, "refresh")

    async def refreshed(event_id: str) -> RefreshOutcome:
        async def ask(bus: Bus) -> bytes:
            return await bus.ask(subject, encode_ask(RefreshAsk(event_id, 20.0)), 30.0)

        return decode_outcome(await trio.to_thread.run_sync(site.on_bus, ask))

    async with ingest(site, STILL) as running:
        events = running.parts.cache.events
        await wait_until(lambda: running.parts.feed.durable_revision > 10, "odds")
        event_id = next(iter(events))
        outcome = await refreshed(event_id)
        assert outcome.sources[0].error_kind == ""
        assert outcome.snapshot_ids
        assert 0 < outcome.revision <= running.parts.feed.durable_revision
        with pytest.raises(UnknownEvent, match="'nothing' is not known"):
            await refreshed("nothing")


async def test_it_tells_its_state_each_second(site: Site) -> None:
    async def hear(bus: Bus) -> list[OwnerState]:
        told: list[OwnerState] = []
        subject = beside(site.bus.subject, "status")
        hearing = asyncio.ensure_future(
            bus.hear(subject, lambda body: told.append(decode_state(body)))
        )
        while len(told) < 3:  # noqa: ASYNC110  # a callback fills it
            await asyncio.sleep(0.05)
        hearing.cancel()
        return told

    async with ingest(site, STILL) as running:
        told = await trio.to_thread.run_sync(site.on_bus, hear)
        assert {state.epoch for state in told} == {running.parts.feed.epoch}
        assert running.parts.bus is not None
        assert told[0].node == running.parts.bus.node
        gaps = [(b.at - a.at).total_seconds() for a, b in pairwise(told)]
        assert all(0.5 < gap < 10 for gap in gaps)


async def test_states_of_sources_are_told_again_and_dropped_ones_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(odds_service.ingest, "RETELL", 1)
    async with ingest(site, STILL) as running:
        await wait_until(lambda: running.parts.feed.durable_revision > 10, "odds")
    base = settings_for(site.folder, 1, ["s"])
    other = base.sources[0] | {"name": "other"}
    settings = site.settings(base.model_copy(update={"sources": [other]}))
    async with service(settings) as running:
        assert running.parts.bus is not None
        goal = running.parts.bus.outbox.messages + 4
        await wait_until(lambda: running.parts.bus.outbox.messages > goal, "seconds")  # type: ignore[union-attr]  # see above
        epoch = running.parts.feed.epoch

    async def freshness(bus: Bus) -> list[Freshness]:
        found: list[Freshness] = []
        info = await bus.log.info()
        for sequence in range(info.first, info.last + 1):
            stored = await bus.log.at(sequence)
            message = None if stored is None else decode(stored.message)
            if isinstance(message, DecodedBatch) and message.epoch == epoch and message.freshness:
                found.append(message.freshness)
        return found

    told = await trio.to_thread.run_sync(site.on_bus, freshness)
    assert [name for each in told for name in each.dropped] == ["the-odds-api"]
    assert sum("other" in {state.source for state in each.sources} for each in told) > 2


async def test_a_bus_that_is_behind_holds_scraping_and_says_so(site: Site) -> None:
    async with ingest(site) as running:
        parts = running.parts
        assert parts.bus is not None
        outbox, source = parts.bus.outbox, "the-odds-api"
        await wait_until(lambda: parts.feed.durable_revision > 100, "odds")
        outbox.capacity = 0  # every change is too many
        await wait_until(
            lambda: parts.cache.sources[source].status is SourceStatus.STALE, "held sources"
        )
        state: SourceState = parts.cache.sources[source]
        assert state.reason == "bus_behind"
        outbox.capacity = 100_000
        await wait_until(lambda: parts.cache.sources[source].status is SourceStatus.UP, "UP")


async def test_without_a_stream_the_start_says_what_to_run(site: Site) -> None:
    base = settings_for(site.folder, 1, ["s"])
    settings = site.settings(base)
    missing = settings.bus.model_copy(update={"stream": "NONE"})
    with pytest.raises(ExceptionGroup) as failed:
        await run_service(settings.model_copy(update={"bus": missing}), trio.Event())
    assert failed.group_contains(LogError, match="no stream NONE .* run `odds-service bus init`")


async def test_the_check_before_a_start_looks_at_the_bus(site: Site) -> None:
    settings = site.settings(settings_for(site.folder, 1, ["s"]))
    told: list[str] = []
    await check_start(settings, told.append)
    assert told[0] == "node: ingest"
    assert f"bus: stream {site.bus.stream}, 0 messages" in told
    missing = settings.bus.model_copy(update={"stream": "NONE"})
    with pytest.raises(ExceptionGroup) as failed:
        await check_start(settings.model_copy(update={"bus": missing}), told.append)
    assert failed.group_contains(LogError, match="no stream NONE")
    away = settings.bus.model_copy(update={"servers": [f"nats://127.0.0.1:{free_port()}"]})
    await check_start(settings.model_copy(update={"bus": away}), told.append)
    assert any(line.startswith("bus: away; a start would wait for it (cannot") for line in told)


def test_a_process_without_a_bus_imports_no_nats() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ALONE], check=True, capture_output=True, text=True, timeout=120
    )
    told = ended.stdout.splitlines()
    assert "served" in told
    assert told[-1] == "[]"


ALONE = """
import sys
import trio
import odds_service.commands.serve
from odds_service.config import load_settings
from odds_service.service import run_service

async def main():
    stop = trio.Event()
    settings = load_settings(server={"listen": "127.0.0.1:0"}, database={"url": "memory:"})
    async with trio.open_nursery() as nursery:
        await nursery.start(run_service, settings, stop)
        print("served")
        stop.set()

trio.run(main)
print([name for name in sys.modules if name.partition(".")[0] == "nats"])
"""
