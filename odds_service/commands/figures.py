"""Figures of a status for people: the size of the database, and the delays of odds."""

from collections.abc import Iterator
from typing import Final

from rich.markup import escape
from rich.table import Column, Table

from odds_service.commands.text import age_text
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_LONGEST_S: Final = 21_600.0  # the server tells no longer delay; see DelayStatus
_AGES: Final = ("observed_sent", "source_sent", "confirmed_answered")
_UNKNOWN: Final = "–"


def bytes_text(count: float) -> str:
    """Return a size in a readable unit: `512 B`, `4.2 MB`."""
    unit = 0
    while abs(count) >= 999.5 and unit < len(_UNITS) - 1:
        count /= 1_000
        unit += 1
    return f"{count:.0f} {_UNITS[unit]}" if not unit or abs(count) >= 99.5 else (
        f"{count:.1f} {_UNITS[unit]}"
    )  # fmt: skip


def storage_text(storage: pb.StorageStatus) -> str:
    """Return lines about the size, the growth and the room of the database."""
    parts = sorted(storage.parts.items(), key=lambda part: -part[1])
    inside = ", ".join(f"{name} {bytes_text(size)}" for name, size in parts if size)
    growth = "growth not known yet"
    if storage.HasField("growth_bytes_per_day"):
        span = age_text(storage.growth_span.ToTimedelta().total_seconds())
        way = "less" if storage.growth_bytes_per_day < 0 else "more"
        growth = f"{bytes_text(abs(storage.growth_bytes_per_day))} {way} a day (from {span})"
    room = [
        f"{bytes_text(disk.free_bytes)} of {bytes_text(disk.size_bytes)} free for the {disk.place}"
        for disk in storage.disks
        if disk.place == "database" or not _same_room(disk, storage)
    ]
    if not any(disk.place == "database" for disk in storage.disks):
        room.insert(0, "the server's free space is not visible from here")
    if storage.HasField("full_in_days"):
        room.append(f"full in {storage.full_in_days:,.0f} days")
    return f"database {bytes_text(storage.bytes)} ({inside}), {growth}\n{', '.join(room)}"


def _same_room(disk: pb.DiskStatus, storage: pb.StorageStatus) -> bool:
    """Return whether a disk is as free as the database's, which then is the same."""
    return any(
        other.place == "database" and other.free_bytes == disk.free_bytes for other in storage.disks
    )


def ages(reply: pb.GetStatusResponse) -> Table:
    """Return a table of the ages of odds when clients get them: half of them, and 99 of 100."""
    table = Table(
        Column("source", overflow="fold"), "tier", "target", "change sent\np50 / p99",
        "from source\np50 / p99", "answer\np50 / p99",
        title="age of odds when clients get them",
    )  # fmt: skip
    for source, tier in _tiers(reply):
        by_stage = {delay.stage: delay for delay in tier.delays}
        if not by_stage.keys() & set(_AGES):
            continue
        table.add_row(
            escape(source),
            escape(tier.tier),
            _short(tier.target.ToTimedelta().total_seconds()),
            *(_both(by_stage.get(stage)) for stage in _AGES),
        )
    return table


def delays(reply: pb.GetStatusResponse) -> Iterator[Table]:
    """Yield a table of all delays for each source that has any."""
    for source in reply.sources:
        table = Table(
            "tier", "delay", "times", "p50", "p90", "p99", title=escape(source.state.source)
        )
        for tier in source.freshness:
            for delay in tier.delays:
                told = (
                    _percentile(delay, name) for name in ("p50_s", "p90_s", "p99_s")
                )  # fmt: skip
                table.add_row(escape(tier.tier), escape(delay.stage), f"{delay.count:,}", *told)
        if source.clock_ahead or source.clock_behind:
            table.caption = (
                f"its clock: {source.clock_ahead:,} changes ahead of ours, "
                f"{source.clock_behind:,} over a day behind; in no delay"
            )
        if table.row_count or table.caption:
            yield table


def has_ages(reply: pb.GetStatusResponse) -> bool:
    return any(delay.stage in _AGES for _, tier in _tiers(reply) for delay in tier.delays)


def _tiers(reply: pb.GetStatusResponse) -> Iterator[tuple[str, pb.FreshnessStatus]]:
    for source in reply.sources:
        for tier in source.freshness:
            yield source.state.source, tier


def _both(delay: pb.DelayStatus | None) -> str:
    if delay is None or not delay.recent:
        return _UNKNOWN
    return f"{_percentile(delay, 'p50_s')} / {_percentile(delay, 'p99_s')}"


def _percentile(delay: pb.DelayStatus, name: str) -> str:
    return _short(getattr(delay, name)) if delay.HasField(name) else _UNKNOWN  # type: ignore[arg-type]  # one of three


def _short(seconds: float) -> str:
    """Return a time in few characters: `3ms`, `4.2s`, `75s`, `12m`, `over 6h`."""
    if seconds >= _LONGEST_S:
        return "over 6h"
    if seconds < 0.9995:
        return f"{seconds * 1_000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    return f"{seconds:.0f}s" if seconds < 119.5 else f"{seconds / 60:.0f}m"
