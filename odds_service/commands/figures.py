"""Figures of a status for people: the database, the clocks, the thread, and the delays of odds."""

from collections.abc import Iterable, Iterator
from typing import Final

from odds_service.commands.output import Column, Grid
from odds_service.commands.text import age_text
from odds_service.commands.times import Times
from odds_service.model.text import counted
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_LONGEST_S: Final = 21_600.0  # the server tells no longer delay; see DelayStatus
_AGES: Final = ("observed_sent", "source_sent", "confirmed_answered")
_PERCENTILES: Final = ("p50", "p90", "p99")
_UNKNOWN: Final = "–"
CLOCKS_DIFFER_S: Final = 0.5  # ages of odds are off by as much as two nodes' clocks differ


def bytes_text(count: float) -> str:
    """Return a size in a readable unit: `512 B`, `4.2 MB`."""
    unit = 0
    while abs(count) >= 999.5 and unit < len(_UNITS) - 1:
        count /= 1_000
        unit += 1
    return f"{count:.0f} {_UNITS[unit]}" if not unit or abs(count) >= 99.5 else (
        f"{count:.1f} {_UNITS[unit]}"
    )  # fmt: skip


def storage_lines(storage: pb.StorageStatus) -> Iterator[str]:
    """Yield lines about the size, the growth and the room of the database."""
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
        room.append(f"full in {counted(round(storage.full_in_days), 'day')}")
    yield f"database {bytes_text(storage.bytes)}{f' ({inside})' if inside else ''}, {growth}"
    yield ", ".join(room)


def _same_room(disk: pb.DiskStatus, storage: pb.StorageStatus) -> bool:
    """Return whether a disk is as free as the database's, which then is the same."""
    return any(
        other.place == "database" and other.free_bytes == disk.free_bytes for other in storage.disks
    )


def clock_text(clock: pb.ClockStatus, shown: Times) -> str:
    """Return a line about irregularities of the machine's clocks, empty if there are none."""
    parts = []
    if clock.jumps:
        at = f"{shown.full(clock.last_jump_at.ToDatetime())} {shown.zone}"
        parts.append(
            f"{counted(clock.jumps, 'jump')}, the last of {clock.last_jump_s:+.0f} s, to {at}"
        )
    if clock.waiting:
        parts.append("not followed yet")
    if clock.sleeps:
        parts.append(f"slept {counted(clock.sleeps, 'time')}, {clock.slept_s:.0f} s in all")
    if clock.log_lead_s > 0:
        stands = " and stands still" if clock.log_holds else ""
        parts.append(f"the log's time is {clock.log_lead_s:.0f} s ahead{stands}")
    return f"clock: {'; '.join(parts)}" if parts else ""


def node_text(node: pb.NodeStatus) -> str:
    """Return a line about one of several nodes, and about its side of the bus."""
    parts = [f"{node.role} node, {node.state.replace('_', ' ')}"]
    if node.role == "ingest":
        if node.pending_changes:
            parts.append(f"{counted(node.pending_changes, 'change')} not on the bus yet")
        if node.acknowledged:
            mean_ms = node.ack_total_s / node.acknowledged * 1_000
            parts.append(f"acknowledged within {mean_ms:.1f} ms")
        if node.tails_rewritten:
            parts.append(f"the log's end written again {counted(node.tails_rewritten, 'time')}")
        if node.fenced:
            parts.append("another node has taken over")
    else:
        if node.sequence_lag:
            parts.append(f"{counted(node.sequence_lag, 'message')} behind")
        if node.HasField("lag_s"):
            parts.append(f"lag {node.lag_s:.1f} s")
        if abs(node.clock_ahead_s) >= CLOCKS_DIFFER_S:
            parts.append(f"clock {node.clock_ahead_s:+.1f} s against the ingest node's")
        if node.rebuilds:
            parts.append(f"odds loaded anew {counted(node.rebuilds, 'time')}")
        if node.HasField("upstream_age_s"):
            heard = f"heard of {age_text(node.upstream_age_s)} ago"
            parts.append(f"{node.upstream or 'the ingest node'} {heard}")
        else:
            parts.append("no ingest node heard of")
    return ", ".join(parts) + (f": {node.reason}" if node.reason else "")


def thread_text(loop: pb.LoopStatus, lines_lost: int, shown: Times) -> str:
    """Return a line about stalls, pauses and lost log lines, empty if there were none."""
    parts = []
    if loop.stalls:
        parts.append(
            f"{counted(loop.stalls, 'stall')}, {loop.stalled_s:.0f} s in all, the longest"
            f" {loop.longest_s:.0f} s; the last at {shown.full(loop.last_at.ToDatetime())}"
            f" {shown.zone} in {loop.last_task or 'no task'}, {loop.last_place}"
        )
    if loop.pauses:
        parts.append(f"paused {counted(loop.pauses, 'time')}, {loop.paused_s:.0f} s in all")
    if lines_lost:
        parts.append(f"{counted(lines_lost, 'log line')} lost")
    return f"thread: {'; '.join(parts)}" if parts else ""


def ages(sources: Iterable[pb.SourceStatus], *, named: bool) -> Grid:
    """Return a table of the ages of odds when clients get them: half of them / 99 of 100.

    Args:
        sources: The sources.
        named: Whether a column has their names.
    """
    grid = Grid(
        *([Column(name="source", folds=True)] if named else []),
        Column(name="tier"),
        Column(name="target", right=True),
        Column(name="change sent", right=True),
        Column(name="from source", right=True),
        Column(name="answer", right=True),
    )
    for source in sources:
        name = [source.state.source] if named else []
        for tier in source.freshness:
            by_stage = {delay.stage: delay for delay in tier.delays}
            if by_stage.keys() & set(_AGES):
                target = _short(tier.target.ToTimedelta().total_seconds())
                told = (_both(by_stage.get(stage)) for stage in _AGES)
                grid.add(*name, tier.tier, target, *told)
    return grid


def delays(sources: Iterable[pb.SourceStatus], *, named: bool) -> Grid:
    """Return a table of all delays of sources, with their names if `named`."""
    grid = Grid(
        *([Column(name="source", folds=True)] if named else []),
        Column(name="tier", folds=True),
        Column(name="delay", folds=True),
        Column(name="times", right=True),
        *(Column(name=name, right=True) for name in _PERCENTILES),
    )
    for source in sources:
        name = [source.state.source] if named else []
        for tier in source.freshness:
            for delay in tier.delays:
                told = (_percentile(delay, f"{each}_s") for each in _PERCENTILES)
                grid.add(*name, tier.tier, delay.stage, f"{delay.count:,}", *told)
    return grid


def foreign_clocks(reply: pb.GetStatusResponse) -> Iterator[str]:
    """Yield a line for each source whose clock differs from ours."""
    for source in reply.sources:
        if source.clock_ahead or source.clock_behind:
            ahead = counted(source.clock_ahead, "change")
            yield (
                f"{source.state.source}, its clock: {ahead} ahead of ours, "
                f"{source.clock_behind:,} over a day behind; in no delay"
            )


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
