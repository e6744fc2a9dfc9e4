"""ListRuns: the fetches of the sources, the newest first."""

from datetime import UTC, datetime, timedelta

import pytest
import trio
from msgspec.structs import replace

from odds_service.client import Run, RunOutcome, open_sync_client
from odds_service.model.scrape_run import ScrapeRun
from odds_service.storage.memory import Memory
from odds_service.storage.memory_store import MemoryStore
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.client.faces import Face, faces
from tests.contract.calling import refused
from tests.serving.test_restricted import client_of, settings
from tests.support.observations import NOON
from tests.support.odds_builders import Bookkeeping, Client, connected, serving

GOOD = ScrapeRun(
    source="ours", listing="soccer_epl", started_at=NOON,
    finished_at=NOON + timedelta(seconds=1.25), outcome="complete", reason="", events=4, markets=9,
    changes=2, problems={"bad_price": 3},
)  # fmt: skip
FAILED = replace(
    GOOD, source="hidden", started_at=NOON + timedelta(minutes=1),
    finished_at=NOON + timedelta(minutes=1, seconds=10), outcome="failed",
    reason="no answer in 10 s", events=0, markets=0, changes=1, problems={"timeout": 1},
)  # fmt: skip
PARTIAL = replace(
    GOOD, listing="discovery", started_at=NOON + timedelta(minutes=2), outcome="partial",
    finished_at=NOON + timedelta(minutes=1), problems={},
)  # fmt: skip
THREE = (GOOD, FAILED, PARTIAL)


def store_of(*runs: ScrapeRun) -> MemoryStore:
    memory = Memory()
    memory.runs = {(run.started_at, run.source, run.listing): run for run in runs}
    return MemoryStore(memory)


def many(count: int) -> list[ScrapeRun]:
    return [replace(GOOD, started_at=NOON + timedelta(seconds=second)) for second in range(count)]


async def listed(client: Client, **asked: object) -> pb.ListRunsResponse:
    reply = await client.call("ListRuns", pb.ListRunsRequest(**asked))  # type: ignore[arg-type]
    assert isinstance(reply, pb.ListRunsResponse)
    return reply


async def sources(client: Client, **asked: object) -> list[str]:
    return [run.source for run in (await listed(client, **asked)).runs]


async def test_runs_are_told_as_they_are_stored_the_newest_first() -> None:
    async with serving(Bookkeeping(), store=store_of(*THREE)) as server:
        with connected(server.address) as client:
            reply = await listed(client)
    partial, failed, good = reply.runs
    assert reply.next_page_token == ""
    assert (good.source, good.listing) == ("ours", "soccer_epl")
    assert good.started_at.ToDatetime(UTC) == NOON
    assert good.duration.ToTimedelta() == timedelta(seconds=1.25)
    assert (good.outcome, good.reason) == (pb.RUN_OUTCOME_COMPLETE, "")
    assert (good.events, good.markets, good.changes) == (4, 9, 2)
    assert dict(good.problems) == {"bad_price": 3}
    assert (failed.outcome, failed.reason) == (pb.RUN_OUTCOME_FAILED, "no answer in 10 s")
    assert dict(failed.problems) == {"timeout": 1}
    assert partial.outcome == pb.RUN_OUTCOME_PARTIAL
    assert not partial.HasField("duration")  # the clock was set back while it ran


async def test_sources_and_times_can_be_chosen() -> None:
    async with serving(Bookkeeping(), store=store_of(*THREE)) as server:
        with connected(server.address) as client:
            assert await sources(client) == ["ours", "hidden", "ours"]
            assert await sources(client, sources=["hidden"]) == ["hidden"]
            assert await sources(client, sources=["nobody"]) == []
            assert await sources(client, from_time=FAILED.started_at) == ["ours", "hidden"]
            assert await sources(client, to_time=FAILED.started_at) == ["ours"]
            both = {"from_time": NOON, "to_time": PARTIAL.started_at}
            assert await sources(client, **both) == ["hidden", "ours"]
            assert await sources(client, from_time=NOON, to_time=NOON) == []


async def test_a_restricted_caller_sees_the_runs_of_its_sources() -> None:
    async with serving(Bookkeeping(), store=store_of(*THREE), settings=settings()) as server:
        for name, seen in (("ours", {"ours"}), ("b1", {"ours", "hidden"}), ("nobody", set())):
            with client_of(server.address, f"token-of-{name}") as client:
                assert set(await sources(client)) == seen
                assert set(await sources(client, sources=["hidden"])) == seen & {"hidden"}
        with client_of(server.address, "token-of-ours") as client:
            page = await listed(client, page_size=1)
            rest = await listed(client, page_token=page.next_page_token)
            assert [run.source for run in rest.runs] == ["ours"]  # not the hidden one in between


async def test_a_page_has_100_runs_or_as_many_as_asked_for_up_to_1_000() -> None:
    runs = many(1_100)
    async with serving(Bookkeeping(), store=store_of(*runs)) as server:
        with connected(server.address) as client:
            assert len((await listed(client)).runs) == 100
            assert len((await listed(client, page_size=7)).runs) == 7
            first = await listed(client, page_size=5_000)
            assert len(first.runs) == 1_000
            last = await listed(client, page_size=5_000, page_token=first.next_page_token)
    assert last.next_page_token == ""
    found = [run.started_at.ToDatetime(UTC) for run in (*first.runs, *last.runs)]
    assert found == [run.started_at for run in reversed(runs)]


async def test_a_page_that_would_be_too_large_has_fewer_runs() -> None:
    problems = {f"{'x' * 90}{number}": 1 for number in range(100)}
    runs = [replace(run, problems=problems) for run in many(900)]
    async with serving(Bookkeeping(), store=store_of(*runs)) as server:
        with connected(server.address) as client:
            found, token = [], None
            while token != "":
                page = await listed(client, page_size=1_000, page_token=token or "")
                assert page.ByteSize() <= 4 * 2**20
                found.append(len(page.runs))
                token = page.next_page_token
    assert sum(found) == 900
    assert len(found) == 3


@pytest.mark.parametrize("token", ["?", "AAAA", "kgEC", "€"])
async def test_a_page_token_of_others_is_refused(token: str) -> None:
    async with serving(Bookkeeping(), store=store_of()) as server:
        with connected(server.address) as client:
            request = pb.ListRunsRequest(page_token=token)
            refusal = await refused(client, "ListRuns", request)
            listing = await refused(client, "ListEvents", pb.ListEventsRequest(page_token=token))
    for each in (refusal, listing):
        assert (each.code, each.field) == ("INVALID_ARGUMENT", "page_token")


async def test_a_malformed_field_is_named() -> None:
    backwards, far = pb.ListRunsRequest(), pb.ListRunsRequest()
    backwards.from_time.FromDatetime(NOON)
    backwards.to_time.FromDatetime(NOON - timedelta(seconds=1))
    far.from_time.seconds = 2**50
    asks = (
        (pb.ListRunsRequest(sources=[""]), "sources"),
        (pb.ListRunsRequest(sources=["x" * 257]), "sources"),
        (pb.ListRunsRequest(sources=["nul\0"]), "sources"),
        (backwards, "to_time"),
        (far, "from_time"),
    )
    async with serving(Bookkeeping(), store=store_of()) as server:
        with connected(server.address) as client:
            for request, field in asks:
                refusal = await refused(client, "ListRuns", request)
                assert (refusal.code, refusal.field) == ("INVALID_ARGUMENT", field)


async def test_without_a_store_there_are_no_runs() -> None:
    for book in (Bookkeeping(), Bookkeeping(keeps_past=True)):
        async with serving(book, stored=False) as server:
            with connected(server.address) as client:
                refusal = await refused(client, "ListRuns", pb.ListRunsRequest())
                assert (refusal.code, refusal.reason) == ("UNIMPLEMENTED", "NO_STORE")


@faces
async def test_the_client_lists_them(face: Face) -> None:
    async with serving(Bookkeeping(), store=store_of(*THREE, *many(1_200)[1:])) as server:
        chosen = await face(
            server.address, lambda client: client.runs(["ours", "hidden"], start=NOON, most=3)
        )
        (good,) = await face(
            server.address, lambda client: client.runs(start=NOON, end=NOON + timedelta(seconds=1))
        )
        everything = await face(server.address, lambda client: client.runs(most=None))
        none = await face(server.address, lambda client: client.runs(most=0))
    assert isinstance(good, Run)
    assert (good.source, good.outcome, good.duration_s) == ("ours", RunOutcome.COMPLETE, 1.25)
    assert good.started_at == NOON
    assert good.problems == {"bad_price": 3}
    assert len(chosen) == 3
    assert len(everything) == 1_202
    assert none == ()


async def test_the_synchronous_client_lists_them_and_refuses_a_naive_time() -> None:
    async with serving(Bookkeeping(), store=store_of(*THREE)) as server:

        def read() -> tuple[Run, ...]:
            with open_sync_client(server.address) as client:
                with pytest.raises(ValueError, match="no time zone"):
                    client.runs(start=datetime(2026, 8, 4))  # noqa: DTZ001  # what is refused
                return client.runs(most=2)

        partial, failed = await trio.to_thread.run_sync(read)
    assert (partial.outcome, partial.duration_s) == (RunOutcome.PARTIAL, None)
    assert (failed.outcome, failed.problems) == (RunOutcome.FAILED, {"timeout": 1})
