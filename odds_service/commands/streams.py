"""Standard output and error of the command line as a whole; light, for the overview's sake."""

import sys


def tolerate_encodings() -> None:
    """Let characters that the terminal's encoding lacks be replaced instead of raising."""
    for file in (sys.stdout, sys.stderr):
        file.reconfigure(errors="replace")  # type: ignore[union-attr]  # both are text files here


def complain(text: str) -> None:
    """Print an error as one line, which a terminal breaks between words only."""
    from rich.console import Console
    from rich.text import Text

    from odds_service.commands.visible import visible

    console = Console(stderr=True)
    console.print(Text(visible(text), style="red"), soft_wrap=not console.is_terminal)


def end_line() -> None:
    """End the line on which ^C was typed, so that the prompt begins a new one."""
    if sys.stderr.isatty():
        sys.stderr.write("\n")
