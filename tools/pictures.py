"""Pictures of the terminal and the board for the README and docs, made from the demo.

python -m tools.pictures [FOLDER]

Starts the demo on free ports, runs each command at a pseudo-terminal, and writes what its screen
shows as SVG to docs/pictures; then the views of the board as WebP (board_pictures.py). Run it when
the output of a command or a view of the board has changed.
"""

import re
import socket
import subprocess
import sys
import tempfile
import time
from io import StringIO
from pathlib import Path
from typing import Final

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from odds_service.client import ServiceError, open_sync_client
from tests.support.terminal import at_terminal
from tools.board_pictures import make_pictures

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "docs" / "pictures"
READY_S: Final = 60.0
MOVING_S: Final = 25.0  # so that charts and moves have something to show
WIDTH: Final = 110
# Without outside addresses: the fonts that rich would load, where the reader's own monospace does,
# and its comment.
FORM: Final = re.sub(r"@font-face \{\{.*?\}\}|<!--.*?-->", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def pictures(server: str, event: str) -> dict[str, list[str]]:
    """Return the commands by the names of their pictures."""
    return {
        "events": ["events"],
        "get": ["get", event, "--best", "--market", "h2h", "--market", "totals", "--moves", "-20s"],
        "watch": ["watch", "--bookmaker", "tidewatersports", "--market", "h2h", "--seconds", "6"],
        "chart": ["history", "--event", event, "--market", "h2h", "--chart", "-"],
    }


def main(folder: str = str(FOLDER)) -> None:
    """Make all pictures."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    server, board = _free(), _free()
    with tempfile.TemporaryFile() as log:
        demo = subprocess.Popen(
            [sys.executable, "-m", "odds_service", "demo", "--no-table", "--listen", server,
             "--board", board],
            stdout=log, stderr=log, cwd=ROOT,
        )  # fmt: skip
        try:
            event = _first_event(server)
            time.sleep(MOVING_S)
            for name, command in pictures(server, event).items():
                seen = at_terminal(*command, width=WIDTH, environment={"ODDS_SERVER": server})
                if seen.code != 0:
                    raise SystemExit(f"{name}: exit code {seen.code}: {seen.text}")
                shown = ["odds-service", *(short(each, event) for each in command)]
                (Path(folder) / f"{name}.svg").write_text(drawn(seen.raw, " ".join(shown)))
            make_pictures(f"http://{board}", event, Path(folder))
        finally:
            demo.terminate()
            demo.wait()


def _free() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


def _first_event(server: str) -> str:
    """Wait for the demo; return the id of its first event that has not started."""
    until = time.monotonic() + READY_S
    while True:
        try:
            with open_sync_client(server) as client:
                for listed in client.list_events():
                    if listed.bookmakers and listed.event.sport == "soccer":
                        return listed.event.id
        except ServiceError:
            if time.monotonic() > until:
                raise
        time.sleep(0.5)


def short(argument: str, event: str) -> str:
    """Return an argument as a person would type it: the beginning of the id is enough."""
    return event[:7] if argument == event else argument


def drawn(raw: str, title: str) -> str:
    """Return what a terminal was sent as SVG, under the command that printed it."""
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    console.print(Text.from_ansi(raw.replace("\r", "")))
    return console.export_svg(title=f"$ {title}", code_format=FORM, unique_id="terminal")


if __name__ == "__main__":
    main(*sys.argv[1:])
