"""RefreshEvent by the proto: its deadlines, and the outcome for each source."""

from datetime import timedelta
from typing import Any

import trio

from odds_service.bridge import TrioGate
from odds_service.config import ServerSettings
from odds_service.errors import NotDurableYet, NotFetchedYet, UnknownEvent
from odds_service.model.refresh import FetchOutcome, RefreshOutcome
from odds_service.rpc.server import GrpcDoor
from odds_service.serving.parts import ServingParts
from odds_service.serving.server import Server, serve
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.contract.calling import refused
from tests.support.odds_builders import Bookkeeping, connected


async def test_deadlines_refusals_and_sources() -> None:
    waits: list[float] = []

    async def refresh(event_id: str, deadline_s: float) -> RefreshOutcome:
        await trio.lowlevel.checkpoint()
        waits.append(deadline_s)
        if event_id == "slow":
            raise NotFetchedYet("e1", 9, ["a", "b"])
        if event_id == "behind":
            raise NotDurableYet("e1", 12)
        if event_id != "e":
            raise UnknownEvent(f"event {event_id!r} is not known")
        sources = [FetchOutcome("a", "", "", 0.5), FetchOutcome("b", "timeout", "slow", 2.0)]
        return RefreshOutcome(0, [], {}, sources)

    book = Bookkeeping()
    async with trio.open_nursery() as nursery:
        parts = ServingParts(
            cache=book.cache, feed=book.feed, gate=TrioGate(nursery), status=book.status,
            settings=ServerSettings(listen="127.0.0.1:0"), refresh=refresh,
        )  # fmt: skip
        server: Server = await nursery.start(serve, parts, [GrpcDoor])
        with connected(server.address) as client:

            async def ask(event_id: str, asked_s: int | None, timeout_s: float) -> Any:
                request = pb.RefreshEventRequest(event_id=event_id)
                if asked_s is not None:
                    request.deadline.seconds = asked_s
                return await client.call("RefreshEvent", request, timeout_s)

            for asked_s in (None, 0, 7, 500):
                reply = await ask("e", asked_s, 300)
            assert waits == [20, 20, 7, 60]
            await ask("e", 50, 10)
            assert 0 < waits.pop() < 10
            assert [(s.source, s.ok, s.error_code, s.error_message) for s in reply.sources] == [
                ("a", True, "", ""), ("b", False, "timeout", "slow"),
            ]  # fmt: skip
            assert [s.latency.ToTimedelta() for s in reply.sources] == [
                timedelta(seconds=0.5), timedelta(seconds=2),
            ]  # fmt: skip
            found = await refused(client, "RefreshEvent", pb.RefreshEventRequest(event_id="x"))
            assert (found.code, found.reason) == ("NOT_FOUND", "UNKNOWN_EVENT")
            for event_id, reason, revision in (
                ("slow", "NOT_FETCHED_YET", "9"), ("behind", "NOT_DURABLE_YET", "12"),
            ):  # fmt: skip
                request = pb.RefreshEventRequest(event_id=event_id)
                found = await refused(client, "RefreshEvent", request)
                assert (found.code, found.reason) == ("UNAVAILABLE", reason)
                assert (found.metadata["epoch"], found.metadata["revision"]) == ("e1", revision)
                assert "RetryInfo" in found.details
                assert found.metadata.get("sources", "a,b") == "a,b"
        await server.stop(1.0)
