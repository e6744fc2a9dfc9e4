"""The state of one of several nodes: on the wire, for whom, and in the terminal."""

import trio
from msgspec.structs import replace

from odds_service.bridge import TrioGate
from odds_service.commands.figures import node_text
from odds_service.config import ServerSettings
from odds_service.rpc.server import GrpcDoor
from odds_service.serving.parts import ServingParts
from odds_service.serving.server import Server, serve
from odds_service.status import BusReport, ServiceStatus
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.serving.test_restricted import ALL, client_of, settings
from tests.support.odds_builders import Bookkeeping, connected, serving
from tests.support.refusals import details

INGEST = BusReport(
    role="ingest", state="retrying", reason="the bus is away", messages=30, pending_changes=7,
    capacity=100, acknowledged=20, ack_total_s=0.5, tails_rewritten=2, sequence=31,
    upstream="here", upstream_age_s=0.0, fenced=True,
)  # fmt: skip
READ = BusReport(
    role="read", state="catching_up", reason="slow", messages=30, sequence=31, sequence_lag=4,
    lag_s=1.5, clock_ahead_s=-2.0, rebuilds=3, upstream="there", upstream_age_s=12.0,
)  # fmt: skip


class Node(Bookkeeping):
    """A book with the status of a node."""

    def __init__(self, bus: BusReport | None) -> None:
        super().__init__()
        self._bus = bus

    def status(self) -> ServiceStatus:
        return replace(super().status(), bus=self._bus)


async def told(bus: BusReport | None) -> pb.GetStatusResponse:
    async with serving(Node(bus)) as server:
        with connected(server.address) as client:
            reply = await client.call("GetStatus", pb.GetStatusRequest())
    assert isinstance(reply, pb.GetStatusResponse)
    return reply


async def test_one_process_is_no_node() -> None:
    assert not (await told(None)).HasField("node")


async def test_an_ingest_node_tells_of_its_outbox() -> None:
    node = (await told(INGEST)).node
    assert (node.role, node.state, node.reason) == ("ingest", "retrying", "the bus is away")
    assert (node.pending_changes, node.capacity) == (7, 100)
    assert (node.acknowledged, node.ack_total_s, node.tails_rewritten) == (20, 0.5, 2)
    assert (node.messages, node.sequence, node.fenced) == (30, 31, True)
    assert node_text(node) == (
        "ingest node, retrying, 7 changes not on the bus yet, acknowledged within 25.0 ms,"
        " the log's end written again 2 times, another node has taken over: the bus is away"
    )
    calm = BusReport(role="ingest", state="taking_over")
    assert node_text((await told(calm)).node) == "ingest node, taking over"


async def test_a_read_node_tells_of_its_lag() -> None:
    node = (await told(READ)).node
    assert (node.role, node.state) == ("read", "catching_up")
    assert (node.messages, node.sequence, node.sequence_lag) == (30, 31, 4)
    assert (node.lag_s, node.clock_ahead_s, node.rebuilds) == (1.5, -2.0, 3)
    assert (node.upstream, node.upstream_age_s) == ("there", 12.0)
    assert node_text(node) == (
        "read node, catching up, 4 messages behind, lag 1.5 s,"
        " clock -2.0 s against the ingest node's, odds loaded anew 3 times,"
        " there heard of 12.0 s ago: slow"
    )


async def test_what_is_not_known_yet_is_absent() -> None:
    node = (await told(BusReport(role="read", state="starting"))).node
    for name in ("lag_s", "clock_ahead_s", "upstream_age_s"):
        assert not node.HasField(name)
    assert not node.upstream
    assert node_text(node) == "read node, starting, no ingest node heard of"


async def test_names_and_texts_are_for_admins() -> None:
    async with serving(Node(READ), settings=settings()) as server:
        with client_of(server.address, ALL) as client:
            reply = await client.call("GetStatus", pb.GetStatusRequest())
        assert (reply.node.upstream, reply.node.reason) == ("there", "slow")
        with client_of(server.address, "token-of-ours") as client:
            reply = await client.call("GetStatus", pb.GetStatusRequest())
        assert reply.node.state == "catching_up"
        assert (reply.node.upstream, reply.node.reason) == ("", "")


async def test_a_node_that_streams_nothing_says_so() -> None:
    book = Bookkeeping()
    async with trio.open_nursery() as nursery:
        parts = ServingParts(
            cache=book.cache, feed=book.feed, gate=TrioGate(nursery), status=book.status,
            settings=ServerSettings(listen="127.0.0.1:0"), watch_elsewhere="watch another node",
        )  # fmt: skip
        server: Server = await nursery.start(serve, parts, [GrpcDoor])
        with connected(server.address) as client, client.watch() as stream:
            error = await stream.error()
        assert error.code().name == "UNAVAILABLE"
        assert details(error)["ErrorInfo"].reason == "WATCH_ELSEWHERE"
        await server.stop(2.0)
