"""`odds-service bus`: make, check and show the stream on the bus that several nodes share."""

import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from odds_service.bus import inspecting
from odds_service.bus.connection import Connection, NatsOptions, user_of
from odds_service.bus.log import LogError, Stored, Unavailable
from odds_service.bus.messages import BadMessage, DecodedBatch, Opened, decode
from odds_service.bus.monitoring import syncs_always
from odds_service.bus.needs import excess, lacking, needs
from odds_service.bus.opening import nats_options
from odds_service.bus.short_work import on_bus_loop
from odds_service.commands.figures import bytes_text
from odds_service.commands.options import output, plain_output, takes, times
from odds_service.commands.output import Cell, Column, Grid, Output
from odds_service.commands.running import run_interruptible
from odds_service.commands.service_options import Config
from odds_service.commands.text import age_text
from odds_service.commands.times import Times
from odds_service.config import Role, load_settings
from odds_service.errors import SettingsError
from odds_service.logs import configure_logs
from odds_service.model.text import counted

T = TypeVar("T")

OK: Final[Cell] = ("ok", "green")
NOTE: Final[Cell] = ("note", "yellow")
WRONG: Final[Cell] = ("wrong", "bold red")

bus = typer.Typer(
    help="Make, check or show the stream of the log that several nodes share.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@bus.command()
@takes(out=plain_output)
def init(*, config: Config = None, out: Output) -> None:
    """Make the stream of the log, unless it is there with the same settings."""
    _, options = _node(config)
    found, made = _asked(options, inspecting.make_stream)
    what = "made stream" if made else "there is already a stream"
    out.sentence(f"{what} {options.stream}, {_copies(found)}")
    for each in inspecting.differences(found.config, options):
        out.remark(f"it stays as it is: {inspecting.told([each])}")


@bus.command()
@takes(out=output)
def check(
    *,
    config: Config = None,
    monitor: Annotated[
        list[str] | None,
        typer.Option(help="http://HOST:8222, where a server shows its settings; repeatable."),
    ] = None,
    out: Output,
) -> None:
    """Check servers, stream and the rights of this node; exit with code 1 if anything is wrong."""
    role, options = _node(config)
    checks = _Checks()

    async def look(connection: Connection) -> None:
        for url in options.servers:
            checks.server(await inspecting.server_seen(options, url))
        try:
            if (held := await inspecting.permissions(connection)) is not None:
                checks.rights(role, options, held)
            found = await inspecting.stream_seen(connection)
            if held is None:  # by the user alone: the connection is fine
                about = "not visible without the right to publish $SYS.REQ.USER.INFO"
                checks.add(NOTE, "rights", about)
            checks.stream(found, options)
            if found.first <= found.last:
                checks.read(await inspecting.read_one(connection, found))
        except LogError as error:
            checks.add(WRONG, f"stream {options.stream}", str(error))

    _asked(options, look)
    for url in monitor or ():
        checks.monitored(url)
    if not monitor:
        checks.add(NOTE, "sync_interval", "not visible; give --monitor http://HOST:8222")
    out.grid(checks.grid)
    if checks.wrong:
        raise typer.Exit(1)


@bus.command()
@takes(out=output, shown=times)
def status(
    *,
    config: Config = None,
    messages: Annotated[int, typer.Option(min=0, help="The newest messages to show.")] = 5,
    out: Output,
    shown: Times,
) -> None:
    """Show the stream, its copies, and the newest messages with their epoch and revision."""
    _, options = _node(config)

    async def look(connection: Connection) -> tuple[inspecting.StreamSeen, list[Stored]]:
        found = await inspecting.stream_seen(connection)
        return found, await inspecting.newest(connection, found, messages)

    found, last = _asked(options, look)
    made = f"{shown.full(found.made_at)} {shown.zone}"
    out.sentence(f"stream {options.stream}, {_copies(found)}, made {made}")
    held = f"{found.first:,} to {found.last:,}" if found.first <= found.last else "none"
    out.sentence(
        f"messages {held}, {bytes_text(found.size_bytes)}, {counted(found.readers, 'reader')}"
    )
    _print_grid(_servers(found), out)
    _print_grid(_messages(last, found), out)


class _Checks:
    """The results of `check`, as they come."""

    def __init__(self) -> None:
        self.grid = Grid(
            Column(name="result"),
            Column(name="about", folds=True),
            Column(name="found", folds=True),
        )
        self.wrong = False

    def add(self, result: Cell, about: str, found: str) -> None:
        self.wrong = self.wrong or result is WRONG
        self.grid.add(result, about, found)

    def server(self, seen: inspecting.ServerSeen) -> None:
        about = f"server {_place(seen.url)}"
        if seen.trouble:
            self.add(WRONG, about, seen.trouble)
        else:
            self.add(OK, about, f"version {seen.version}, answers in {_ms(seen.answer_s)}")

    def rights(self, role: Role, options: NatsOptions, held: dict[str, Any]) -> None:
        about = f"rights of {user}" if (user := user_of(options)) else "rights"
        missing = lacking(needs(role.value, options), held)
        for need in missing:
            self.add(WRONG, about, f"may not {need}")
        if not missing:
            self.add(OK, about, f'has all that role = "{role.value}" needs')
        risks = excess(role.value, options)
        beyond = [need for need in risks if need not in lacking(risks, held)]
        if beyond:
            named = "; ".join(map(str, beyond))
            self.add(NOTE, about, f"may do more than a role needs: {named}")

    def stream(self, found: inspecting.StreamSeen, options: NatsOptions) -> None:
        about = f"stream {options.stream}"
        self.add(OK, about, f"{_copies(found)}, leader {found.leader or 'unknown'}")
        for each in inspecting.differences(found.config, options):
            self.add(WRONG if each.needed else NOTE, about, inspecting.told([each]))
        for copy in found.copies:
            if copy.state == "offline":
                self.add(WRONG, about, f"the copy on {copy.server} is offline")

    def read(self, within_s: float) -> None:
        self.add(OK, "reader", f"the newest message came in {_ms(within_s)}")

    def monitored(self, url: str) -> None:
        try:
            server, always = syncs_always(url)
        except Unavailable as error:
            self.add(WRONG, f"monitor {url}", str(error))
            return
        about = f"sync_interval of {server}"
        if always:
            self.add(OK, about, "always")
        else:
            text = "not always: a power loss takes acknowledged messages away"
            self.add(WRONG, about, text)


def _node(config: Path | None) -> tuple[Role, NatsOptions]:
    """Return the role of the settings' node, and its bus.

    Raises:
        SettingsError: The settings are wrong, or name no bus.
    """
    settings = load_settings(config)
    if settings.role is Role.ALL:
        raise SettingsError(
            'role = "all" uses no bus: give the settings of an ingest or a read node (--config)'
        )
    return settings.role, nats_options(settings.bus)


def _asked(options: NatsOptions, work: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
    """Return the result of some work on a connection, which ends with it."""

    async def run() -> T:
        connection = Connection(options)
        try:
            return await work(connection)
        finally:
            await connection.aclose()

    if threading.current_thread() is threading.main_thread():  # else the process is not ours
        configure_logs("error", "auto")  # what the log would say is in the answer
    return run_interruptible(on_bus_loop, run)


def _servers(found: inspecting.StreamSeen) -> Grid:
    grid = Grid(Column(name="server"), Column(name="copy"), Column(name="behind", right=True))
    for copy in found.copies:
        grid.add(copy.server, copy.state, f"{copy.behind:,}")
    return grid


def _messages(last: Sequence[Stored], found: inspecting.StreamSeen) -> Grid:
    """Return a table of messages; their ages are by the clock of the bus."""
    grid = Grid(
        Column(name="message", right=True),
        Column(name="holds"),
        Column(name="epoch", is_id=True),
        Column(name="revision", right=True),
        Column(name="durable", right=True),
        Column(name="bytes", right=True),
        Column(name="age", right=True),
    )
    for stored in last:
        age_s = found.now.timestamp() - stored.stored_ns / 1e9
        row = [*_described(stored.message), f"{len(stored.message):,}", age_text(max(age_s, 0.0))]
        grid.add(f"{stored.sequence:,}", *row)
    return grid


def _described(message: bytes) -> tuple[str, str, str, str]:
    """Return what a message holds, its epoch, its revision, and the durable one."""
    try:
        found = decode(message)
    except BadMessage as error:
        return str(error), "", "", ""
    if isinstance(found, Opened):
        return "start of an epoch", found.epoch, str(found.first_revision - 1), ""
    if not isinstance(found, DecodedBatch):
        return f"part {found.number} of {found.count}", found.epoch, str(found.revision), ""
    changes = sum(len(commit.changes) for commit in found.commits)
    holds = counted(changes, "change") if changes else "freshness" if found.freshness else "a beat"
    return holds, found.epoch, str(found.revision), str(found.durable_revision)


def _print_grid(grid: Grid, out: Output) -> None:
    """Print a table that has rows; in a pipe, an empty line goes before."""
    if grid.rows:
        if not out.on_terminal:
            out.line("")
        out.grid(grid)


def _copies(found: inspecting.StreamSeen) -> str:
    number = found.config["num_replicas"]
    return "1 copy, which ends with its server" if number == 1 else f"{number} copies"


def _place(url: str) -> str:
    """Return the host and port of a server's URL, without a user and a password."""
    return url.rpartition("/")[2].rpartition("@")[2]


def _ms(seconds: float) -> str:
    return f"{seconds * 1_000:.1f} ms"
