"""`odds-service status`: the state of a service."""

from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from odds_service.client import Address, connect, enum_word, json_line
from odds_service.commands import figures
from odds_service.commands.options import AsJson, connection, takes
from odds_service.commands.text import why_text
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

CALL_S: Final = 30
NAMES_SHOWN: Final = 5
SOURCE_ROOM: Final = 20  # least width of a source's name on any terminal


@takes(address=connection)
def status(
    *,
    delays: Annotated[
        bool, typer.Option("--delays", help="Print the delays of each stage instead.")
    ] = False,
    as_json: AsJson = False,
    address: Address,
) -> None:
    """Print revisions, sources, the age of odds, queues, storage and subscribers."""
    with connect(address) as stub:
        reply = stub.GetStatus(pb.GetStatusRequest(), timeout=CALL_S)
    if as_json:
        typer.echo(json_line(reply))
        return
    console = Console()
    if delays:
        for table in figures.delays(reply):
            console.print(table)
        return
    console.print(
        f"odds-service {reply.version}, up {reply.uptime.seconds} s; "
        f"head {reply.head_revision}, durable {reply.durable_revision}, "
        f"oldest in memory {reply.oldest_revision}\n"
        f"{reply.events} events, {reply.markets} markets, {reply.subscriber_count} subscribers"
    )
    if reply.HasField("storage"):
        console.print(escape(figures.storage_text(reply.storage)))
    if clock := _clock(reply.clock):
        console.print(clock)
    if loop := _loop(reply.loop, reply.log_lines_lost):
        console.print(escape(loop), highlight=False)
    console.print(_sources(reply))
    if figures.has_ages(reply):
        console.print(figures.ages(reply))
    if any(source.problems for source in reply.sources):
        console.print(_left_out(reply))
    if any(source.unmapped for source in reply.sources):
        console.print(_unmapped(reply))
    console.print(_queues(reply))


def _loop(loop: pb.LoopStatus, lines_lost: int) -> str:
    """Return a line about stalls, pauses and lost log lines, empty if there were none."""
    parts = []
    if loop.stalls:
        parts.append(
            f"{loop.stalls} stalls, {loop.stalled_s:.0f} s in all, the longest"
            f" {loop.longest_s:.0f} s; the last at {loop.last_at.ToDatetime():%Y-%m-%d %H:%M:%S}"
            f" UTC in {loop.last_task or 'no task'}, {loop.last_place}"
        )
    if loop.pauses:
        parts.append(f"paused {loop.pauses} times, {loop.paused_s:.0f} s in all")
    if lines_lost:
        parts.append(f"{lines_lost} log lines lost")
    return f"thread: {'; '.join(parts)}" if parts else ""


def _sources(reply: pb.GetStatusResponse) -> Table:
    longest = max((len(source.state.source) for source in reply.sources), default=0)
    name = Column("source", overflow="fold", min_width=min(longest, SOURCE_ROOM))
    table = Table(name, "state", "last success (UTC)", "failures", "fresh", "quota left", "reason")
    for source in reply.sources:
        state = source.state
        succeeded = state.HasField("last_success_at")
        table.add_row(
            state.source,
            enum_word(pb.SourceHealth.Name, state.state, "SOURCE_HEALTH_"),
            f"{state.last_success_at.ToDatetime():%Y-%m-%d %H:%M:%S}" if succeeded else "never",
            f"{source.failures} of {source.pulls}",
            _fresh(source),
            str(state.quota_left) if state.HasField("quota_left") else "unknown",
            escape(why_text(state)),
        )
    return table


def _clock(clock: pb.ClockStatus) -> str:
    """Return a line about irregularities of the machine's clocks, empty if there are none."""
    parts = []
    if clock.jumps:
        at = f"{clock.last_jump_at.ToDatetime():%Y-%m-%d %H:%M:%S}"
        parts.append(f"{clock.jumps} jumps, the last of {clock.last_jump_s:+.0f} s, to {at} UTC")
    if clock.waiting:
        parts.append("not followed yet")
    if clock.sleeps:
        parts.append(f"slept {clock.sleeps} times, {clock.slept_s:.0f} s in all")
    if clock.log_lead_s > 0:
        stands = " and stands still" if clock.log_holds else ""
        parts.append(f"the log's time is {clock.log_lead_s:.0f} s ahead{stands}")
    return f"clock: {'; '.join(parts)}" if parts else ""


def _left_out(reply: pb.GetStatusResponse) -> Table:
    """Return a table of failures and skipped items since the start, the most frequent first."""
    table = Table("source", "left out, and failures, since the start")
    for source in reply.sources:
        if source.problems:
            found = sorted(source.problems.items(), key=lambda each: (-each[1], each[0]))
            text = ", ".join(f"{name} ({times})" for name, times in found)
            table.add_row(escape(source.state.source), escape(text))
    return table


def _unmapped(reply: pb.GetStatusResponse) -> Table:
    """Return a table of unmapped markets, by the sources' names; --json lists more of them."""
    table = Table("source", "unmapped markets", "times", "commonest")
    for source in reply.sources:
        if not source.markets_unmapped:
            continue
        markets = source.markets_mapped + source.markets_unmapped
        names = sorted(source.unmapped.items(), key=lambda each: (-each[1], each[0]))
        table.add_row(
            source.state.source,
            f"{source.markets_unmapped / markets:.1%} of those read",
            str(source.markets_unmapped),
            escape(", ".join(f"{name} ({times})" for name, times in names[:NAMES_SHOWN])),
        )
    return table


def _fresh(source: pb.SourceStatus) -> str:
    """Return the pulls of each tier that meet its target now, leaving out empty tiers."""
    return ", ".join(
        f"{tier.tier} {tier.fresh} of {tier.pulls}" for tier in source.freshness if tier.pulls
    )


def _queues(reply: pb.GetStatusResponse) -> Table:
    table = Table("queue", "fill", "capacity", "unit")
    for channel in reply.channels:
        table.add_row(channel.name, str(channel.fill), str(channel.capacity), channel.unit)
    writer = enum_word(pb.WriterState.Name, reply.writer.state, "WRITER_STATE_")
    lag = f"lag {reply.writer.lag_s:.1f} s"
    table.caption = f"writer {writer}, {lag} {reply.writer.reason}".rstrip()
    return table
