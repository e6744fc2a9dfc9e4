"""`odds-service replay`: serve a recorded series in the shape of The Odds API."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import trio
import typer
from starlette.routing import request_response

from odds_service.asgi import serve_app
from odds_service.commands.options import output, takes
from odds_service.commands.output import Output
from odds_service.commands.progress import progress
from odds_service.commands.running import run_in_trio
from odds_service.demo.replay import Replay
from odds_service.demo.series import Series
from odds_service.errors import SettingsError, first_in
from odds_service.model.text import counted
from odds_service.ports import offer_free
from odds_service.recorded_files import RecordingError

LOOK_S: Final = 0.5  # between two looks at the position


@takes(out=output)
def replay(
    *,
    path: Annotated[Path, typer.Argument(help="Folder or zip of timestamped JSON bodies.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free port.")] = 8080,
    speed: Annotated[
        float | None,
        typer.Option(help="Speed relative to the recording; default: one body per pull."),
    ] = None,
    out: Output,
) -> None:
    """Serve recorded odds over HTTP in the shape of The Odds API, until ^C.

    Prints a table of settings for a source that reads them; any API key works.
    """
    run_in_trio(_replay, path, host, port, speed, out)


async def _replay(path: Path, host: str, port: int, speed: float | None, out: Output) -> None:
    try:
        with await trio.to_thread.run_sync(Series, path) as series:
            await _serve(Replay(series, speed=speed), series, host, port, out)
    except (RecordingError, ValueError) as error:
        raise SettingsError(str(error)) from error


async def _serve(app: Replay, series: Series, host: str, port: int, out: Output) -> None:
    try:
        async with trio.open_nursery() as nursery:
            bound = await nursery.start(_listen, app, host, port)
            for line in _told(series, f"http://{host}:{bound}"):
                out.line(line)
            nursery.start_soon(_watch, app, out)
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    nursery.cancel_scope.cancel()
    except* OSError as group:
        reason = f"{first_in(group)}{offer_free(host, port)}"
        raise SettingsError(f"cannot listen on {host}:{port}: {reason}") from group


async def _listen(
    app: Replay,
    host: str,
    port: int,
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    await serve_app(request_response(app), host=host, port=port, task_status=task_status)


def _told(series: Series, url: str) -> Iterator[str]:
    """Yield lines: what is served, and the settings of a source for it."""
    for sport, bodies in series.bodies.items():
        times = [body.recorded_at for body in bodies if body.recorded_at is not None]
        span = f", {min(times):%Y-%m-%d %H:%M} to {max(times):%Y-%m-%d %H:%M} UTC" if times else ""
        yield f"# {sport}: {counted(len(bodies), 'pull')}{span}"
    yield "[[sources]]"
    yield 'kind = "the-odds-api"'
    yield f'url = "{url}"'
    yield 'api_key = "any"'
    yield f"sports = {json.dumps(list(series.bodies))}"
    yield "interval_s = 1.0"


async def _watch(app: Replay, out: Output) -> None:
    """Show the position of the replay, and say when it is over."""
    with progress("bodies", out) as step:
        while not app.over:
            step(app.sent, app.bodies)
            await trio.sleep(LOOK_S)
    out.remark("the replay is over: every body was sent; the last ones are sent again, until ^C")
