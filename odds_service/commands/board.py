"""The board's address, as the demo tells it, and its opening in a browser at the press of Enter."""

import os
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from typing import Final

import trio

_READ_BYTES: Final = 1_024  # of what is typed; the rest is read next


def board_address(addresses: Sequence[str]) -> str:
    """Return the address to type into a browser, of the HTTP door's; empty without one."""
    return f"http://{addresses[0]}/" if addresses else ""


def board_lines(board: str, refused: str) -> list[str]:
    """Return the lines about the board.

    Args:
        board: Its address, empty if it is not served.
        refused: The reason why it is not where it was asked for, empty if it is.
    """
    if not board:
        return []
    why = f" ({refused})" if refused else ""
    how = "; press Enter to open it" if may_open() else ""
    return [f"the odds in a browser: {board}{why}{how}"]


def may_open(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> bool:
    """Return whether a person is at the terminal and a desktop is there to open a browser on."""
    desktop = platform == "darwin" or bool(
        environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")
    )
    return desktop and sys.stdin is not None and sys.stdin.isatty()


async def open_when_asked(board: str, scope: trio.CancelScope) -> None:
    """Open the board once Enter is pressed; the end of the input is no such press.

    Args:
        board: The address.
        scope: Cancelled to stop waiting.
    """
    with scope:
        await trio.lowlevel.wait_readable(sys.stdin)
        if os.read(sys.stdin.fileno(), _READ_BYTES):
            # It waits for the browser's command, and for some browsers that is for ever.
            await trio.to_thread.run_sync(webbrowser.open, board, abandon_on_cancel=True)
