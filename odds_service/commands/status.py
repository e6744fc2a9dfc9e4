"""`odds-service status`: the state of a service."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Protocol

import typer

from odds_service.client import Address, connect, enum_word
from odds_service.commands import figures
from odds_service.commands.options import AsJson, connection, output, takes, times
from odds_service.commands.output import Cell, Column, Grid, Output
from odds_service.commands.text import age_text, tally, why_text
from odds_service.commands.times import Times
from odds_service.model.text import counted
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

CALL_S: Final = 30
NAMES_SHOWN: Final = 5
NAMED_FROM: Final = 100  # a narrower terminal gets a table of ages and delays for each source
STYLES: Final = {
    pb.SOURCE_HEALTH_UP: "green",
    pb.SOURCE_HEALTH_STALE: "yellow",
    pb.SOURCE_HEALTH_DOWN: "bold red",
}


class BySource(Protocol):
    """A table of figures of sources, with a column of their names if `named`."""

    def __call__(self, sources: Iterable[pb.SourceStatus], *, named: bool) -> Grid: ...


@takes(address=connection, out=output, shown=times)
def status(
    *,
    delays: Annotated[
        bool, typer.Option("--delays", help="Print the delays of each stage instead.")
    ] = False,
    as_json: AsJson = False,
    address: Address,
    out: Output,
    shown: Times,
) -> None:
    """Print revisions, sources, the age of odds, queues, storage and subscribers."""
    with connect(address) as stub:
        reply = stub.GetStatus(pb.GetStatusRequest(), timeout=CALL_S)
    if as_json:
        out.json(reply)
    elif delays:
        _print_delays(reply, out)
    else:
        for line in _lines(reply, shown):
            out.sentence(line)
        _print_tables(reply, out, shown)


def _lines(reply: pb.GetStatusResponse, shown: Times) -> Iterator[str]:
    """Yield the lines about the service as a whole."""
    yield f"odds-service {reply.version}, up {age_text(reply.uptime.ToTimedelta().total_seconds())}"
    yield (
        f"head {reply.head_revision}, durable {reply.durable_revision}, "
        f"oldest in memory {reply.oldest_revision}"
    )
    yield (
        f"{counted(reply.events, 'event')}, {counted(reply.markets, 'market')}, "
        f"{counted(reply.subscriber_count, 'subscriber')}"
    )
    if reply.HasField("node"):
        yield figures.node_text(reply.node)
    if reply.HasField("storage"):
        yield from figures.storage_lines(reply.storage)
    if clock := figures.clock_text(reply.clock, shown):
        yield clock
    if thread := figures.thread_text(reply.loop, reply.log_lines_lost, shown):
        yield thread
    yield _writer(reply.writer)


def _print_tables(reply: pb.GetStatusResponse, out: Output, shown: Times) -> None:
    """Print the tables that have rows."""
    _print_grid(_sources(reply, shown), out)
    _print_grid(_remarks(reply), out)
    title = "age of odds when clients get them, p50 / p99"
    _print_by_source(reply, figures.ages, out, title)
    _print_grid(_queues(reply), out)
    _print_grid(_subscribers(reply, shown), out)
    _print_grid(_usage(reply), out)


def _print_grid(grid: Grid, out: Output, title: str = "", *, below: bool = True) -> None:
    """Print a table; `below` others with an empty line, which it has at a terminal anyway."""
    if not grid.rows:
        return
    if title or (below and not out.on_terminal):
        out.line("")
    if title:
        out.heading(title)
    out.grid(grid)


def _print_by_source(
    reply: pb.GetStatusResponse, table: BySource, out: Output, title: str = ""
) -> bool:
    """Print a table with all sources, or one for each source where the terminal is narrow.

    Returns:
        Whether there was anything to print.
    """
    if not out.on_terminal or out.width >= NAMED_FROM:
        whole = table(reply.sources, named=True)
        _print_grid(whole, out, title, below=bool(title))
        return bool(whole.rows)
    found = False
    for source in reply.sources:
        grid = table([source], named=False)
        found = found or bool(grid.rows)
        name = source.state.source
        _print_grid(grid, out, f"{name}: {title}" if title else name)
    return found


def _print_delays(reply: pb.GetStatusResponse, out: Output) -> None:
    for text in figures.foreign_clocks(reply):
        out.sentence(text)
    if not _print_by_source(reply, figures.delays, out):
        out.remark("no delays are known yet")


def _sources(reply: pb.GetStatusResponse, shown: Times) -> Grid:
    """Return a table of the sources; quotas have a column only where one is known."""
    quotas = any(source.state.HasField("quota_left") for source in reply.sources)
    grid = Grid(
        Column(name="source", folds=True),
        Column(name="state"),
        Column(name=f"last success ({shown.zone})"),
        Column(name="failures"),
        Column(name="fresh", folds=True),
        *([Column(name="quota left", right=True)] if quotas else []),
    )
    for source in reply.sources:
        state = source.state
        succeeded = state.HasField("last_success_at")
        word = enum_word(pb.SourceHealth.Name, state.state, "SOURCE_HEALTH_")
        row: list[Cell] = [
            state.source,
            (word, STYLES.get(state.state, "")),
            shown.second(state.last_success_at.ToDatetime()) if succeeded else "never",
            f"{source.failures} of {source.pulls}",
            _fresh(source),
        ]
        if quotas:
            row.append(str(state.quota_left) if state.HasField("quota_left") else "unknown")
        grid.add(*row)
    return grid


def _remarks(reply: pb.GetStatusResponse) -> Grid:
    """Return a table of reasons, and of what was left out of each source since the start."""
    grid = Grid(
        Column(name="source", folds=True),
        Column(name="about", folds=True),
        Column(name="since the start", folds=True),
    )
    for source in reply.sources:
        for about, text in _remarks_on(source):
            grid.add(source.state.source, about, text)
    return grid


def _remarks_on(source: pb.SourceStatus) -> Iterator[tuple[str, str]]:
    if why := why_text(source.state):
        yield "why it is so", why
    if source.problems:
        yield "failed, skipped", tally(dict(source.problems), len(source.problems))
    if source.markets_unmapped:
        share = source.markets_unmapped / (source.markets_mapped + source.markets_unmapped)
        told = f"{source.markets_unmapped} ({share:.1%} of those read)"
        names = tally(dict(source.unmapped), NAMES_SHOWN)
        yield "unmapped markets", f"{told}: {names}" if names else told
    if source.new_events or source.new_events_left_out:
        left_out = f", {source.new_events_left_out:,} left out as too many at once"
        taken = f"{source.new_events:,} taken"
        yield "new events", taken + (left_out if source.new_events_left_out else "")
    if source.changes or source.answers_left_out:
        answers = f", {counted(source.answers_left_out, 'answer')} left out for too many of them"
        told = f"{source.changes:,} in known events"
        yield "changes", told + (answers if source.answers_left_out else "")


def _fresh(source: pb.SourceStatus) -> str:
    """Return the pulls of each tier that meet its target now, leaving out empty tiers."""
    return ", ".join(
        f"{tier.tier} {tier.fresh} of {tier.pulls}" for tier in source.freshness if tier.pulls
    )


def _queues(reply: pb.GetStatusResponse) -> Grid:
    grid = Grid(
        Column(name="queue"),
        Column(name="waiting", right=True),
        Column(name="capacity", right=True),
        Column(name="unit"),
    )
    for channel in reply.channels:
        grid.add(channel.name, f"{channel.fill:,}", f"{channel.capacity:,}", channel.unit)
    return grid


def _writer(writer: pb.WriterStatus) -> str:
    """Return a line about the way into the database."""
    state = enum_word(pb.WriterState.Name, writer.state, "WRITER_STATE_")
    parts = [f"writer {state}, lag {writer.lag_s:.1f} s"]
    if writer.pending_changes:
        parts.append(f"{counted(writer.pending_changes, 'change')} not stored yet")
    if writer.HasField("bridged_s"):
        parts.append(f"the queue is full in {age_text(writer.bridged_s)} at this pace")
    if writer.retries:
        parts.append(f"tried again {counted(writer.retries, 'time')}")
    if writer.dead_letters:
        parts.append(counted(writer.dead_letters, "dead letter"))
    return ", ".join(parts) + (f": {writer.reason}" if writer.reason else "")


def _subscribers(reply: pb.GetStatusResponse, shown: Times) -> Grid:
    """Return a table of the subscribers that are the furthest behind."""
    grid = Grid(
        Column(name="subscriber", folds=True),
        Column(name="revision", right=True),
        Column(name="behind", right=True),
        Column(name="lag", right=True),
        Column(name=f"since ({shown.zone})"),
        Column(name="reads"),
    )
    for each in reply.subscribers:
        grid.add(
            each.peer,
            str(each.revision),
            f"{each.lag_changes:,}",
            age_text(each.lag_s),
            shown.second(each.connected_at.ToDatetime()),
            "database" if each.replaying else "memory",
        )
    return grid


def _usage(reply: pb.GetStatusResponse) -> Grid:
    """Return a table of the use by each token, which only admins get."""
    grid = Grid(
        Column(name="token", folds=True),
        Column(name="calls", right=True),
        Column(name="changes sent", right=True),
        Column(name="refreshes", right=True),
    )
    for used in reply.usage:
        grid.add(used.name, f"{used.calls:,}", f"{used.changes:,}", f"{used.refreshes:,}")
    return grid
