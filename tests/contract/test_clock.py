"""The clocks' report in a status: on the wire, in the terminal and in the metrics."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from odds_service.clock import ClockState
from odds_service.commands.figures import clock_text
from odds_service.commands.times import Times
from odds_service.status import ClockReport, ServiceStatus
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.metrics.test_families import READ, shown
from tests.support.observations import NOON
from tests.support.odds_builders import Bookkeeping, connected, serving

DISTURBED = ClockReport(
    state=ClockState(
        jumps=2,
        last_jump_s=-3600.0,
        last_jump_at=NOON + timedelta(hours=1),
        waiting=True,
        sleeps=1,
        slept_s=288_000.0,
    ),
    lead_s=90_000.0,
    holds=True,
)


class Disturbed(Bookkeeping):
    """A book with the status of a service whose clocks were disturbed."""

    def status(self) -> ServiceStatus:
        return replace(super().status(), clock=DISTURBED)


async def test_a_status_tells_what_the_clocks_did() -> None:
    async with serving(Disturbed()) as server:
        with connected(server.address) as client:
            reply = await client.call("GetStatus", pb.GetStatusRequest())
    clock = reply.clock
    assert (clock.jumps, clock.last_jump_s, clock.waiting) == (2, -3600.0, True)
    assert clock.last_jump_at.ToMilliseconds() == (NOON + timedelta(hours=1)).timestamp() * 1000
    assert (clock.sleeps, clock.slept_s) == (1, 288_000.0)
    assert (clock.log_lead_s, clock.log_holds) == (90_000.0, True)
    line = clock_text(clock, Times())
    for told in ("2 jumps", "-3600 s", "not followed yet", "slept 1 time,", "stands still"):
        assert told in line


async def test_a_status_of_undisturbed_clocks_tells_none() -> None:
    async with serving(Bookkeeping()) as server:
        with connected(server.address) as client:
            reply = await client.call("GetStatus", pb.GetStatusRequest())
    assert not reply.clock.HasField("last_jump_at")
    assert (reply.clock.jumps, reply.clock.last_jump_s, reply.clock.log_lead_s) == (0, 0.0, 0.0)
    assert clock_text(reply.clock, Times()) == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("odds_clock_jumps_total", 2),
        ("odds_clock_sleeps_total", 1),
        ("odds_clock_slept_seconds_total", 288_000),
        ("odds_clock_log_lead_seconds", 90_000),
        ("odds_clock_log_holds", 1),
    ],
)
def test_the_metrics_tell_it_too(name: str, value: float) -> None:
    read = replace(READ, status=replace(READ.status, clock=DISTURBED))
    assert shown(read).value(name) == value
