"""The pictures of the terminal: there, of commands that exist, and without outside addresses."""

import html
import re
import shlex
from pathlib import Path
from typing import Final

import pytest

from tests.commands.test_documented import refusal
from tools.pictures import FOLDER, drawn

ROOT: Final = Path(__file__).resolve().parent.parent.parent
OWN: Final = "http://www.w3.org/2000/svg"  # the name of the format, which nobody fetches


def title(svg: str) -> str:
    """Return the command over a picture."""
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    found = [
        text for each in texts if (text := html.unescape(each).replace("\xa0", " "))[:2] == "$ "
    ]
    return found[0].removeprefix("$ ")


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.svg")), ids=lambda file: file.name)
def test_a_picture_shows_a_command_that_exists_and_loads_nothing(file: Path) -> None:
    svg = file.read_text()
    program, *arguments = shlex.split(title(svg))
    assert program == "odds-service"
    assert refusal(arguments) is None
    assert set(re.findall(r"\w+://[^\s\"'<)]+", svg)) == {OWN}


def test_the_pages_show_pictures_that_are_there() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    named = {
        page.parent / picture
        for page in pages
        for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text())
    }
    assert {path.name for path in named} >= {"get.svg", "chart.svg"}
    assert [str(path) for path in named if not path.exists()] == []


def test_a_picture_is_drawn_from_what_a_terminal_was_sent() -> None:
    svg = drawn("\x1b[32mgreen\x1b[0m & <plain>\r\n", "odds-service events")
    assert title(svg) == "odds-service events"
    assert "green" in svg
    assert "&lt;plain&gt;" in svg
    assert set(re.findall(r"\w+://[^\s\"'<)]+", svg)) == {OWN}
