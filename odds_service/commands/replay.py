"""`odds-service replay`: serve a recorded series in the shape of The Odds API."""

import signal
from functools import partial
from pathlib import Path
from typing import Annotated

import trio
import typer
from rich.console import Console

from odds_service.demo.replay import run_replay
from odds_service.demo.series import ReplayError
from odds_service.errors import SettingsError


def replay(
    *,
    path: Annotated[Path, typer.Argument(help="Folder or zip of timestamped JSON bodies.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free port.")] = 8080,
    speed: Annotated[
        float | None,
        typer.Option(help="Speed relative to the recording; default: one body per pull."),
    ] = None,
) -> None:
    """Serve recorded odds over HTTP in the shape of The Odds API, until ^C.

    Point a source of kind `the-odds-api` at the printed address; any API key works.
    """
    trio.run(_replay, path, host, port, speed)


async def _replay(path: Path, host: str, port: int, speed: float | None) -> None:
    try:
        async with trio.open_nursery() as nursery:
            serve = partial(run_replay, path, host=host, port=port, speed=speed)
            bound = await nursery.start(serve)
            Console(stderr=True, soft_wrap=True).print(
                f"replaying {path} at http://{host}:{bound}", highlight=False
            )
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    nursery.cancel_scope.cancel()
    except* OSError as group:
        raise SettingsError(f"cannot listen on {host}:{port}: {_first(group)}") from group
    except* (ReplayError, ValueError) as group:
        raise SettingsError(str(_first(group))) from group


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
