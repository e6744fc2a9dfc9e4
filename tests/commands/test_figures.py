"""Sizes and delays as texts for people, within 80 columns."""

import io
from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from rich.console import Console

from odds_service.commands import figures
from odds_service.commands.output import Grid
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

HOUR = Duration(seconds=3_600)


def printed(grid: Grid) -> str:
    console = Console(file=io.StringIO(), width=80, no_color=True)
    console.print(grid.table(80, header=True))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (99_400, "99.4 kB"), (99_600, "100 kB"),
        (999_600, "1.0 MB"), (-5e9, "-5.0 GB"), (3e15, "3000 TB"),
    ],
)  # fmt: skip
def test_sizes_are_short(count: float, text: str) -> None:
    assert figures.bytes_text(count) == text


def test_a_size_is_told_with_its_growth_and_room() -> None:
    storage = pb.StorageStatus(
        bytes=3_000_000, parts={"database": 2_000_000, "wal": 1_000_000, "spill": 0},
        growth_bytes_per_day=5e8, growth_span=HOUR, full_in_days=80.0,
        disks=[
            pb.DiskStatus(place="database", free_bytes=4 * 10**10, size_bytes=10**11),
            pb.DiskStatus(place="spill", free_bytes=4 * 10**10, size_bytes=10**11),
        ],
    )  # fmt: skip
    assert list(figures.storage_lines(storage)) == [
        "database 3.0 MB (database 2.0 MB, wal 1.0 MB), 500 MB more a day (from 60 min)",
        "40.0 GB of 100 GB free for the database, full in 80 days",
    ]
    del storage.disks[:]
    storage.disks.add(place="spill", free_bytes=10**9, size_bytes=10**10)
    for field in ("growth_bytes_per_day", "full_in_days"):
        storage.ClearField(field)
    assert list(figures.storage_lines(storage)) == [
        "database 3.0 MB (database 2.0 MB, wal 1.0 MB), growth not known yet",
        "the server's free space is not visible from here, 1.0 GB of 10.0 GB free for the spill",
    ]


def test_a_database_that_shrank_is_told_so() -> None:
    storage = pb.StorageStatus(bytes=1, growth_bytes_per_day=-2e6, growth_span=HOUR)
    assert "2.0 MB less a day" in next(figures.storage_lines(storage))


def test_ages_and_delays_fit_a_terminal_and_leave_out_what_was_not_counted() -> None:
    target = Duration()
    target.FromTimedelta(timedelta(minutes=20))
    told = pb.DelayStatus(
        stage="observed_sent", count=7_000_000, recent=9, p50_s=0.0042, p90_s=3.14, p99_s=21_600
    )
    past = pb.DelayStatus(stage="confirmed_answered", count=3)
    tiers = [
        pb.FreshnessStatus(tier="six_hours", target=target, delays=[told, past]),
        pb.FreshnessStatus(tier="later", target=target),
    ]
    source = pb.SourceStatus(freshness=tiers, clock_behind=1_234)
    source.state.source = "a-source-with-a-long-name"
    reply = pb.GetStatusResponse(sources=[source])
    text = printed(figures.ages([source], named=False))
    assert max(map(len, text.splitlines())) <= 80
    for part in ("six_hours", "20m", "4ms / over 6h", "–"):
        assert part in text
    assert "later" not in text
    text = printed(figures.delays([source], named=False))
    assert max(map(len, text.splitlines())) <= 80
    for part in ("observed_sent", "7,000,000", "3.1s"):
        assert part in text
    assert figures.delays([source], named=True).lines(header=False)[0].split("\t") == [
        "a-source-with-a-long-name", "six_hours", "observed_sent", "7,000,000", "4ms", "3.1s",
        "over 6h",
    ]  # fmt: skip
    (told_clock,) = figures.foreign_clocks(reply)
    assert "1,234 over a day behind" in told_clock
    assert not figures.ages([pb.SourceStatus()], named=True).rows
