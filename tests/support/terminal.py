"""Commands at a pseudo-terminal of a given width; the screen as a person sees it."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping
from typing import Final

import pyte
import trio
from msgspec import Struct

from tests.support.command_line import COMMAND, ENVIRONMENT, WITHIN_S

LINES: Final = 200  # tall enough that nothing scrolls away


class Seen(Struct, frozen=True):
    """The end of a command at a terminal.

    Attributes:
        code: The exit code.
        lines: The lines on the screen, without trailing blanks.
        raw: Everything that the terminal was sent.
        screen: The screen, with the styles of its characters.
    """

    code: int
    lines: list[str]
    raw: str
    screen: pyte.Screen

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def style(self, text: str) -> pyte.screens.Char:
        """Return the first character of a text on the screen, with its colour and weight."""
        row = next(n for n, line in enumerate(self.lines) if text in line)
        return self.screen.buffer[row][self.lines[row].index(text)]


def at_terminal(
    *arguments: str,
    width: int = 80,
    interrupt_when: Callable[[str], bool] | None = None,
    environment: Mapping[str, str] = {},
) -> Seen:
    """Run a command at a terminal; with `interrupt_when`, press ^C once its output fulfils it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    variables = {k: v for k, v in ENVIRONMENT.items() if k not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env=variables | {"TERM": "xterm-256color", "TZ": "UTC"} | dict(environment),
    )  # fmt: skip
    os.close(theirs)
    received = b""
    end = time.monotonic() + WITHIN_S
    try:
        while time.monotonic() < end:
            if not select.select([ours], [], [], 0.1)[0]:
                continue
            try:
                piece = os.read(ours, 65_536)
            except OSError:  # Linux's end of a terminal
                piece = b""
            if not piece:
                break
            received += piece
            if interrupt_when is not None and interrupt_when(received.decode(errors="replace")):
                process.send_signal(signal.SIGINT)
                interrupt_when = None
        code = process.wait(WITHIN_S)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    raw = received.decode(errors="replace")
    screen = pyte.Screen(width, LINES)
    pyte.Stream(screen).feed(raw)
    lines = [line.rstrip() for line in screen.display]
    while lines and not lines[-1]:
        lines.pop()
    return Seen(code, lines, raw, screen)


async def seen(*arguments: str, width: int = 80, environment: Mapping[str, str] = {}) -> Seen:
    """Run a command at a terminal, from Trio."""
    return await trio.to_thread.run_sync(
        lambda: at_terminal(*arguments, width=width, environment=environment)
    )
