"""Stalls, pauses and lost log lines: on the wire, in the terminal and in the metrics."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from odds_service.commands.figures import thread_text
from odds_service.commands.times import Times
from odds_service.status import LoopReport, ServiceStatus
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.metrics.test_families import READ, shown
from tests.support.observations import NOON
from tests.support.odds_builders import Bookkeeping, connected, serving

STALLED = LoopReport(
    stalls=3,
    stalls_by_task={"pull of toa": 2, "other": 1},
    stalled_s=14.0,
    longest_s=11.0,
    last_task="pull of toa",
    last_place="toa.reading:decode:7",
    last_at=NOON + timedelta(hours=1),
    pauses=2,
    paused_s=60.0,
)


class Stalled(Bookkeeping):
    """A book with the status of a service that stood."""

    def status(self) -> ServiceStatus:
        return replace(super().status(), loop=STALLED, log_lines_lost=9)


async def test_a_status_tells_of_stalls_pauses_and_lost_lines() -> None:
    async with serving(Stalled()) as server:
        with connected(server.address) as client:
            reply = await client.call("GetStatus", pb.GetStatusRequest())
    loop = reply.loop
    assert (loop.stalls, loop.stalled_s, loop.longest_s) == (3, 14.0, 11.0)
    assert (loop.last_task, loop.last_place) == ("pull of toa", "toa.reading:decode:7")
    assert loop.last_at.ToMilliseconds() == (NOON + timedelta(hours=1)).timestamp() * 1000
    assert (loop.pauses, loop.paused_s, reply.log_lines_lost) == (2, 60.0, 9)
    line = thread_text(loop, reply.log_lines_lost, Times())
    for told in ("3 stalls, 14 s", "in pull of toa, toa.reading:decode:7", "paused 2 times, 60 s",
                 "9 log lines lost"):  # fmt: skip
        assert told in line


async def test_a_status_without_any_tells_none() -> None:
    async with serving(Bookkeeping()) as server:
        with connected(server.address) as client:
            reply = await client.call("GetStatus", pb.GetStatusRequest())
    assert not reply.loop.HasField("last_at")
    assert thread_text(reply.loop, reply.log_lines_lost, Times()) == ""


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("odds_loop_stalls_total", {"task": "pull of toa"}, 2),
        ("odds_loop_stalls_total", {"task": "other"}, 1),
        ("odds_loop_stalled_seconds_total", {}, 14.0),
        ("odds_loop_pauses_total", {}, 2),
        ("odds_loop_paused_seconds_total", {}, 60.0),
        ("odds_log_lines_lost_total", {}, 9),
    ],
)
def test_the_metrics_tell_it_too(name: str, labels: dict[str, str], value: float) -> None:
    read = replace(READ, status=replace(READ.status, loop=STALLED, log_lines_lost=9))
    assert shown(read).value(name, **labels) == value
