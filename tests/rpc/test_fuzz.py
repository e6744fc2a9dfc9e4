"""Hostile requests: the service answers each with a proper status, and goes on serving.

They are random bytes as messages, hostile filters and cursors, calls opened and dropped, half-open
connections, and frames that no client of ours would send. FUZZ_ROUNDS multiplies the long form.
"""

import gzip
import os
import random
import socket
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import psutil
import pytest
import structlog
import trio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from odds_service.config import ServerSettings
from odds_service.serving.admission import SERVICE
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.observations import observe, offered
from tests.support.odds_builders import Bookkeeping, connected, random_observations, serving
from tests.support.raw_http2 import PREFACE, RawClient, frame, framed

METHODS = {
    "GetOdds": pb.GetOddsRequest,
    "ListEvents": pb.ListEventsRequest,
    "RefreshEvent": pb.RefreshEventRequest,
    "GetStatus": pb.GetStatusRequest,
    "ListMarkets": pb.ListMarketsRequest,
    "GetCoverage": pb.GetCoverageRequest,
    "ListUnmapped": pb.ListUnmappedRequest,
    "ListRuns": pb.ListRunsRequest,
    "WatchChanges": pb.WatchChangesRequest,
    "GetHistory": pb.GetHistoryRequest,
}
# Without INTERNAL and UNKNOWN: no request may crash a call.
ANSWERS = {
    "OK", "INVALID_ARGUMENT", "NOT_FOUND", "OUT_OF_RANGE", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED",
    "DEADLINE_EXCEEDED", "FAILED_PRECONDITION", "UNAVAILABLE",  # a cursor ahead of the server
}  # fmt: skip
SETTINGS = ServerSettings(listen="127.0.0.1:0", max_requests_per_s=1e6)
WATCH = f"/{SERVICE.full_name}/WatchChanges"


def random_bytes(rng: random.Random, method: str) -> bytes:
    """Return any bytes, or a good request of the method with some bytes changed."""
    if rng.random() < 0.4:
        return rng.randbytes(rng.choice((0, 1, 2, 7, 40, 300)))
    good = bytearray(hostile(rng, method))
    for _ in range(rng.randint(0, 3)):
        if good:
            good[rng.randrange(len(good))] = rng.randrange(256)
    return bytes(good)


def text(rng: random.Random) -> str:
    return rng.choice(
        ("", "e1", "b1", "h2h", "x" * 256, "x" * 257, "y" * 60_000, "\0", "é\u202e", "' OR 1", "%s")
    )  # fmt: skip


def number(rng: random.Random) -> int:
    return rng.choice((0, 1, 3, 2**31, 2**53, 2**63 - 1, 2**64 - 1))


def cursor(rng: random.Random) -> pb.Cursor:
    return pb.Cursor(epoch=rng.choice(("e1", "e0", text(rng))), revision=number(rng))


def moment(rng: random.Random) -> Timestamp:
    return Timestamp(
        seconds=rng.choice((0, -(2**63), 2**63 - 1, 1_785_844_800, -62_135_596_801)),
        nanos=rng.choice((0, -1, 2**31 - 1)),
    )


def length(rng: random.Random) -> Duration:
    return Duration(
        seconds=rng.choice((0, 1, -1, 2**63 - 1, -(2**63))), nanos=rng.choice((0, 1, -1, 2**31 - 1))
    )


def hostile_filter(rng: random.Random) -> pb.Filter:
    chosen = pb.Filter()
    for field in ("sports", "competitions", "event_ids", "bookmakers", "markets", "sources"):
        if rng.random() < 0.3:
            getattr(chosen, field).extend(text(rng) for _ in range(rng.choice((1, 2, 50))))
    if rng.random() < 0.05:
        chosen.event_ids.extend(str(each) for each in range(rng.choice((10_000, 10_001))))
    if rng.random() < 0.2:
        chosen.start_from.CopyFrom(moment(rng))
    if rng.random() < 0.2:
        chosen.start_to.CopyFrom(moment(rng))
    if rng.random() < 0.3:
        chosen.in_play = rng.random() < 0.5
    return chosen


MAKERS: dict[str, Callable[[random.Random], Any]] = {
    "Filter": hostile_filter,
    "Cursor": cursor,
    "Timestamp": moment,
    "Duration": length,
}


def hostile(rng: random.Random, method: str) -> bytes:
    """Return a request of the method with values that nobody should send."""
    request = METHODS[method]()
    for field in request.DESCRIPTOR.fields:
        if rng.random() < 0.5:
            continue
        name = field.name
        if field.is_repeated and field.message_type is None:
            texts = [text(rng) for _ in range(rng.choice((0, 1, 50)))]
            getattr(request, name).extend(texts)
            continue
        if field.message_type is None:
            made: Any = {
                field.CPPTYPE_STRING: lambda: text(rng),
                field.CPPTYPE_BOOL: lambda: True,
                field.CPPTYPE_ENUM: lambda: rng.choice((0, 1, 2, 3, 77, 2**31 - 1)),
                field.CPPTYPE_INT32: lambda: rng.choice((0, 1, -1, 2**31 - 1, -(2**31))),
            }.get(field.cpp_type, int)
            setattr(request, name, made())
            continue
        makers = {
            "Filter": hostile_filter,
            "Cursor": cursor,
            "Timestamp": moment,
            "Duration": length,
        }
        getattr(request, name).CopyFrom(makers[field.message_type.name](rng))
    encoded: bytes = request.SerializeToString()
    return encoded


def call(channel: grpc.Channel, method: str, request: bytes) -> str:
    """Make a call and return its status; drop a stream after some messages."""
    path = f"/{SERVICE.full_name}/{method}"
    try:
        if method in ("WatchChanges", "GetHistory", "Replay"):
            replies: Any = channel.unary_stream(path)(request, timeout=0.2)  # type: ignore[call-arg]  # bytes
            for _ in zip(range(3), replies, strict=False):
                pass
            replies.cancel()
        else:
            channel.unary_unary(path)(request, timeout=5)  # type: ignore[call-arg]  # bytes
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


@contextmanager
def nothing_crashes() -> Iterator[None]:
    """Assert that the server logs no error inside the block."""
    with structlog.testing.capture_logs() as logs:
        yield
    assert [entry for entry in logs if entry["log_level"] in ("error", "critical")] == []


def some_odds() -> Bookkeeping:
    book = Bookkeeping(capacity=50)
    for observation in random_observations(random.Random(3), 40):
        book.see(observation)
    return book


async def still_serves(address: str) -> None:
    with connected(address) as client:
        status = await client.call("GetStatus", pb.GetStatusRequest())
        assert status.head_revision > 0
        with client.watch(image=pb.IMAGE_MODE_ONLY) as stream:
            await stream.until("image_end")


async def nobody_left(server: object) -> None:
    with trio.fail_after(20):
        while server.subscribers:  # type: ignore[attr-defined]  # noqa: ASYNC110  # no event for it
            await trio.sleep(0.02)


async def fuzz_messages(rounds: int) -> Counter[str]:
    book = some_odds()
    answers: Counter[str] = Counter()
    with nothing_crashes():
        async with serving(book, settings=SETTINGS) as server:

            def run() -> None:
                rng = random.Random(11)
                with grpc.insecure_channel(server.address) as channel:
                    for _ in range(rounds):
                        for method in METHODS:
                            answers[call(channel, method, random_bytes(rng, method))] += 1
                            answers[call(channel, method, hostile(rng, method))] += 1

            await trio.to_thread.run_sync(run)
            await nobody_left(server)
            await still_serves(server.address)
    assert set(answers) <= ANSWERS, answers
    return answers


async def test_any_bytes_are_answered_with_a_status_of_ours() -> None:
    answers = await fuzz_messages(35)
    assert answers["INVALID_ARGUMENT"] > 50
    assert answers["OK"] > 50


def garbage(address: str, rng: random.Random, what: int) -> None:
    """Open a connection that misbehaves in the way numbered `what`."""
    host, _, port = address.rpartition(":")
    if what == 0:  # half open: nothing, or half a preface
        with socket.create_connection((host, int(port))) as half:
            half.sendall(PREFACE[: rng.randrange(len(PREFACE))])
        return
    if what == 1:  # no HTTP/2 at all
        with socket.create_connection((host, int(port))) as other:
            other.sendall(rng.randbytes(5_000))
        return
    client = RawClient(address)
    try:
        if what == 2:  # calls that are reset as soon as they are opened
            for _ in range(50):
                stream = client.call(WATCH, framed(b""))
                client.h2.reset_stream(stream)
                client.flush()
        elif what == 3:  # pings without a pause
            for _ in range(100):
                client.socket.sendall(frame(6, 0, 0, rng.randbytes(8)))
        elif what == 4:  # windows: shut by a setting, and opened beyond the limit
            client.socket.sendall(frame(4, 0, 0, struct.pack(">HI", 4, 0)))
            stream = client.call(WATCH, framed(b""))
            client.socket.sendall(frame(8, 0, stream, struct.pack(">I", 2**31 - 1)) * 3)
        elif what == 5:  # any frames
            for _ in range(20):
                client.socket.sendall(
                    frame(
                        rng.randrange(12), rng.randrange(256), rng.randrange(5), rng.randbytes(30)
                    )
                )
        elif what == 6:  # a message that never ends, and two where one was due
            client.call(WATCH, struct.pack(">BI", 0, 2**31) + b"x" * 1_000, end=False)
            client.call(WATCH, framed(b"") + framed(b""))
        else:  # dropped in the middle of a stream
            client.call(WATCH, framed(b""))
        client.drain(0.05)
    except OSError:
        return  # the server closed the connection
    finally:
        client.close()


async def fuzz_connections(rounds: int) -> None:
    with nothing_crashes():
        async with serving(some_odds(), settings=SETTINGS) as server:

            def run(seed: int) -> None:
                rng = random.Random(seed)
                for _ in range(rounds):
                    for what in rng.sample(range(8), 8):
                        garbage(server.address, rng, what)

            async with trio.open_nursery() as nursery:
                for seed in range(4):
                    nursery.start_soon(trio.to_thread.run_sync, run, seed)
            await nobody_left(server)
            await still_serves(server.address)


async def test_connections_that_misbehave_leave_nothing_behind() -> None:
    await fuzz_connections(3)


async def test_a_small_message_that_unpacks_to_a_huge_one_is_refused() -> None:
    bomb = gzip.compress(bytes(48 * 2**20))
    async with serving(some_odds(), settings=SETTINGS) as server:
        before = psutil.Process().memory_info().rss

        def send() -> str:
            client = RawClient(server.address)
            try:
                return client.status(
                    client.call(WATCH, framed(bomb, compressed=True), grpc_encoding="gzip")
                )
            finally:
                client.close()

        status = await trio.to_thread.run_sync(send)
        assert status == "8"
        assert psutil.Process().memory_info().rss - before < 20 * 2**20
        await still_serves(server.address)


async def test_streams_opened_and_dropped_leave_nothing_behind() -> None:
    book = some_odds()
    with nothing_crashes():
        async with serving(book, settings=SETTINGS) as server:

            def run() -> None:
                for number in range(10):
                    with grpc.insecure_channel(server.address) as channel:
                        for _ in range(30):
                            request = pb.WatchChangesRequest(
                                filter=pb.Filter(event_ids=["z" * 200, str(number)])
                            ).SerializeToString()
                            replies: Any = channel.unary_stream(WATCH)(request)  # type: ignore[call-arg]  # bytes
                            if number % 2:
                                next(replies)
                            replies.cancel()

            threads = threading.active_count()
            await trio.to_thread.run_sync(run)
            await nobody_left(server)
            await still_serves(server.address)
            book.see(observe(offered({}), 100))
            assert threading.active_count() < threads + 20


@pytest.mark.long
async def test_the_same_for_minutes(capsys: pytest.CaptureFixture[str]) -> None:
    rounds = int(os.environ.get("FUZZ_ROUNDS", "2000"))
    await fuzz_messages(100)  # imports and caches for good are done
    before = psutil.Process().memory_info().rss
    answers = await fuzz_messages(rounds)
    await fuzz_connections(rounds // 20)
    grown = psutil.Process().memory_info().rss - before
    with capsys.disabled():
        sys.stdout.write(
            f"\n{dict(answers)}; {rounds // 20 * 32} connections; {grown / 1e6:.0f} MB more\n"
        )
    assert grown < 150e6
