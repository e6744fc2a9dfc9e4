"""`odds-service status`: the state of the service, at terminals of three widths and in a pipe."""

from datetime import timedelta

import pytest
from msgspec.structs import replace
from pydantic import SecretStr

from odds_service.config import ServerSettings
from odds_service.model.source import SourceState, SourceStatus
from odds_service.status import (
    DELAY_BUCKETS_S,
    ChannelFill,
    DelayReport,
    Disk,
    LoopReport,
    ServiceStatus,
    SourceReport,
    StorageReport,
    TierFreshness,
)
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.commands.books import book_of, messages
from tests.support.command_line import ran
from tests.support.observations import NOON
from tests.support.odds_builders import Bookkeeping, connected, serving
from tests.support.terminal import seen

WIDTHS = (80, 100, 160)
PROBLEMS = {"bad_price": 12, "repeated_outcome": 7, "timeout": 31, "rate_limited": 2, "html": 1}
BUCKETS = [5] * (len(DELAY_BUCKETS_S) + 1)
DELAYS = [
    DelayReport(stage, BUCKETS, 60.0, BUCKETS)
    for stage in ("observed_sent", "source_sent", "confirmed_answered")
]


def report(name: str, **told: object) -> SourceReport:
    state = SourceState(
        source=name, interval_s=60.0, status=SourceStatus.DOWN, last_success_at=NOON,
        reason="timeout",
        detail="GET /v4/sports/soccer_epl/odds took over 10 s, twice in a row",
    )  # fmt: skip
    tiers = [
        TierFreshness(
            tier=tier, target_s=60.0, pulls=12, fresh=11, in_time=4, late=1, delays=DELAYS
        )
        for tier in ("in_play", "six_hours", "later")
    ]
    every = SourceReport(
        state=state, kind="plug-in", next_due_at=None, pulls=1_250, failures=31,
        problems=PROBLEMS, latency_s=0.3, freshness=tiers,
    )  # fmt: skip
    return replace(every, **told)


class Busy(Bookkeeping):
    """A book with the status of a service that has much to tell."""

    def status(self) -> ServiceStatus:
        return replace(
            super().status(),
            sources=[
                report("the-odds-api"),
                report(
                    "bookmaker", mapped=90, unmapped=10, unmapped_names={"A [b]market[/b]": 10},
                    new_events=120, new_events_left_out=4, changes=70, answers_left_out=3,
                ),
            ],
            channels=[ChannelFill("write", 5_000, 100_000, "changes")],
            storage=StorageReport(
                measured_at=NOON, parts={"database": 9_000_000, "wal": 10_000},
                disks=[Disk("database", 4 * 10**10, 10**11)],
            ),
            loop=LoopReport(
                stalls=3, stalled_s=14.0, longest_s=11.0, last_task="pull of bookmaker",
                last_place="plugin.reading:decode:7", last_at=NOON + timedelta(hours=1),
            ),
        )  # fmt: skip


TOLD = (
    "failed, skipped", "timeout (31)", "repeated_outcome (7)", "120 taken, 4 left out",
    "70 in known events, 3 answers left out", "10 (10.0% of those read)", "A [b]market[/b] (10)",
    "31 of 1250", "in_play 11 of 12", "anonymous", "5,000", "3 stalls", "growth not known yet",
)  # fmt: skip


async def test_status_is_tables_or_the_message() -> None:
    async with serving(book_of()) as server:
        table = await ran("status", "--server", server.address)
        message = await ran("status", "--server", server.address, "--json")
    assert "head 8" in table.stdout
    (reply,) = messages(message.stdout, pb.GetStatusResponse)
    assert isinstance(reply, pb.GetStatusResponse)
    assert reply.head_revision == 8


@pytest.mark.parametrize("width", WIDTHS)
async def test_a_terminal_shows_all_of_it_and_breaks_lines_between_words(width: int) -> None:
    async with serving(Busy()) as server:
        shown = await seen("status", "--server", server.address, width=width)
    assert shown.code == 0, shown.text
    words = " ".join(shown.text.split())
    for told in TOLD:
        # A cell that goes on in the next line has its neighbours' text between its words.
        missing = [word for word in told.split() if word not in words]
        assert not missing, shown.text
    for heading in ("source", "state", "last success (UTC)", "failures", "fresh", "about",
                    "since the start", "change sent", "queue", "waiting", "token"):  # fmt: skip
        assert heading in shown.text, shown.text
    assert "…" not in shown.text
    assert shown.text.count("the-odds-api") == (6 if width >= 100 else 4)  # whole, in each row
    for word in ("repeated_outcome", "bookmaker", "the-odds-api", "plugin.reading:decode:7"):
        assert word in words


@pytest.mark.parametrize("width", WIDTHS)
async def test_delays_fit_a_terminal(width: int) -> None:
    async with serving(Busy()) as server:
        shown = await seen("status", "--delays", "--server", server.address, width=width)
    assert shown.code == 0
    assert shown.text.count("confirmed_answered") == 6
    for told in ("the-odds-api", "bookmaker", "six_hours", "p50", "p90", "p99", "times"):
        assert told in shown.text, shown.text
    assert "…" not in shown.text


async def test_a_pipe_gets_whole_lines_with_tabs_and_times_in_the_zone_that_was_asked_for() -> None:
    async with serving(Busy()) as server:
        plain = await ran("status", "--server", server.address)
        bare = await ran("status", "--no-header", "--tz", "Asia/Tokyo", "--server", server.address)
        delays = await ran("status", "--delays", "--server", server.address)
    lines = plain.stdout.splitlines()
    for told in TOLD:
        assert told in plain.stdout
    heading = "source\tstate\tlast success (UTC)\tfailures\tfresh"
    assert lines[lines.index(heading) + 1] == (
        "the-odds-api\tdown\t2026-08-04 12:00:00\t31 of 1250\t"
        "in_play 11 of 12, six_hours 11 of 12, later 11 of 12"
    )
    assert "2026-08-04 13:00:00 UTC in pull of bookmaker" in plain.stdout
    assert "last success" not in bare.stdout
    assert "age of odds" not in bare.stdout
    assert "the-odds-api\tdown\t2026-08-04 21:00:00\t" in bare.stdout
    assert len(delays.stdout.splitlines()) == 1 + 2 * 3 * 3


async def test_what_is_not_there_is_left_out() -> None:
    guarded = ServerSettings(listen="127.0.0.1:0", tokens=[SecretStr("open-sesame")])
    async with serving(Bookkeeping(), settings=guarded) as server:
        told = await ran("status", "--server", server.address, ODDS_TOKEN="open-sesame")
        delays = await ran(
            "status", "--delays", "--server", server.address, ODDS_TOKEN="open-sesame"
        )
    assert told.returncode == 0, told.stderr
    for absent in ("queue", "about", "age of odds", "thread:", "clock:", "subscriber\t"):
        assert absent not in told.stdout
    assert "refreshes" not in told.stdout  # the token may not see the use of others
    assert (delays.stdout, delays.stderr) == ("", "no delays are known yet\n")


@pytest.mark.parametrize("width", WIDTHS)
async def test_a_subscriber_is_listed_with_its_place_and_lag(width: int) -> None:
    async with serving(book_of()) as server:
        with connected(server.address) as client, client.watch() as stream:
            await stream.until("image_end")
            shown = await seen("status", "--server", server.address, width=width)
            message = await ran("status", "--server", server.address, "--json")
    (reply,) = messages(message.stdout, pb.GetStatusResponse)
    assert isinstance(reply, pb.GetStatusResponse)
    (subscriber,) = reply.subscribers
    assert "1 subscriber" in shown.text
    words = " ".join(shown.text.split())
    assert "subscriber revision behind lag since (UTC) reads" in words
    assert f"{subscriber.revision} 0 " in words
    assert subscriber.peer.rpartition(":")[0] in shown.text.replace("\n", "").replace(" ", "")
    assert "memory" in words
    assert max(map(len, shown.lines)) <= width
