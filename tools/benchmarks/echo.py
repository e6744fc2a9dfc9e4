"""The ceiling of `read`: a bare grpc.aio server with prepared replies, in a thread.

`python -m tools.benchmarks.echo FILE…` answers the call `/echo/N` with the bytes of the N-th file.
Prints `{"port": N}` and serves until its standard input ends.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from odds_service.config import ServerSettings
from tools.benchmarks.generic_server import Handle, echo, serve_calls


def serve(files: Annotated[list[Path], typer.Argument()]) -> None:
    """Serve until standard input ends."""
    calls = {str(place): echo(file.read_bytes()) for place, file in enumerate(files)}

    async def prepare() -> tuple[Mapping[str, Handle], Mapping[str, object]]:
        return calls, {}

    serve_calls("echo", ServerSettings(), prepare)


if __name__ == "__main__":
    typer.run(serve)
