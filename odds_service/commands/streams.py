"""Standard output and error of the command line as a whole; light, for the overview's sake."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final


def tolerate_encodings() -> None:
    """Let characters that the terminal's encoding lacks be replaced instead of raising."""
    for file in (sys.stdout, sys.stderr):
        file.reconfigure(errors="replace")  # type: ignore[union-attr]  # both are text files here


def complain(text: str, style: str = "red") -> None:
    """Print an error as one line, which a terminal breaks between words only."""
    from rich.console import Console
    from rich.text import Text

    from odds_service.commands.visible import visible

    console = Console(stderr=True)
    console.print(Text(visible(text), style=style), soft_wrap=not console.is_terminal)


_SERVERS: Final = logging.getLogger("odds_service.client.rotation")


class _Remarks(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Print the text of a record as a remark."""
        complain(record.getMessage(), style="yellow")


def tell_of_servers() -> None:
    """Print on standard error when the client changes over to another server."""
    _SERVERS.addHandler(_Remarks())
    _SERVERS.propagate = False


@contextmanager
def silent_about_servers() -> Iterator[None]:
    """Print nothing about other servers during a block."""
    _SERVERS.disabled = True
    try:
        yield
    finally:
        _SERVERS.disabled = False


def end_line() -> None:
    """End the line on which ^C was typed, so that the prompt begins a new one."""
    if sys.stderr.isatty():
        sys.stderr.write("\n")
