"""Refused calls by the proto: their codes and details."""

import trio

from odds_service.serving.server import Server
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.contract.calling import Refusal, eventful, refused
from tests.support.observations import NOON
from tests.support.odds_builders import EPOCH, connected, serving
from tests.support.serving import wait_until


def begun(server: Server) -> int:
    """Return the number of calls of GetOdds that have begun."""
    (odds,) = [call for call in server.report(NOON).calls if call.method == "GetOdds"]
    return odds.started


async def test_a_call_under_which_the_server_stops_is_told_so_and_when_to_come_again() -> None:
    found: list[Refusal] = []
    async with serving(eventful()) as server:
        with connected(server.address) as client:
            ahead = pb.GetOddsRequest(min_cursor=pb.Cursor(epoch=EPOCH, revision=10**6))

            async def wait() -> None:
                found.append(await refused(client, "GetOdds", ahead))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
                await wait_until(lambda: begun(server) == 1, "the call's beginning")
                await server.stop(2.0)
    (stopped,) = found
    assert (stopped.code, stopped.reason) == ("UNAVAILABLE", "STOPPING")
    assert stopped.details["RetryInfo"].retry_delay.ToTimedelta().total_seconds() > 0
    assert stopped.details["ErrorInfo"].domain == "odds.v1"


async def test_a_malformed_field_of_a_filter_is_named_in_every_call() -> None:
    async with serving(eventful()) as server:
        with connected(server.address) as client:
            for bad, field in (
                (pb.Filter(sports=[""]), "filter.sports"),
                (pb.Filter(markets=["x" * 257]), "filter.markets"),
                (pb.Filter(event_ids=[f"e{n}" for n in range(10_001)]), "filter.event_ids"),
            ):
                for call, request in (
                    ("GetOdds", pb.GetOddsRequest(filter=bad)),
                    ("ListEvents", pb.ListEventsRequest(filter=bad)),
                    ("GetHistory", pb.GetHistoryRequest(filter=bad)),
                    ("WatchChanges", pb.WatchChangesRequest(filter=bad)),
                ):
                    found = await refused(client, call, request)
                    assert (found.code, found.field) == ("INVALID_ARGUMENT", field)
