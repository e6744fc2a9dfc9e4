"""The pictures of terminal and board: there, small, and of what exists."""

import html
import re
import shlex
from pathlib import Path
from typing import Final

import pytest

from tests.commands.test_documented import refusal
from tools.board_pictures import MOST_BYTES, Shot, shots
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
    boards = {f"{shot.name}.webp" for shot in shots("")}
    assert {path.name for path in named} >= {"get.svg", "chart.svg"} | boards
    assert [str(path) for path in named if not path.exists()] == []


def test_a_picture_is_drawn_from_what_a_terminal_was_sent() -> None:
    svg = drawn("\x1b[32mgreen\x1b[0m & <plain>\r\n", "odds-service events")
    assert title(svg) == "odds-service events"
    assert "green" in svg
    assert "&lt;plain&gt;" in svg
    assert set(re.findall(r"\w+://[^\s\"'<)]+", svg)) == {OWN}


def webp_size(picture: bytes) -> tuple[int, int]:
    """Return width and height of a lossy WebP."""
    assert (picture[:4], picture[8:12]) == (b"RIFF", b"WEBP")
    start = picture.index(b"\x9d\x01\x2a") + 3  # the frame's start code
    return (
        int.from_bytes(picture[start : start + 2], "little") & 0x3FFF,
        int.from_bytes(picture[start + 2 : start + 4], "little") & 0x3FFF,
    )


@pytest.mark.parametrize("shot", shots("an-event"), ids=lambda shot: shot.name)
def test_a_picture_of_the_board_is_small_and_of_its_size(shot: Shot) -> None:
    picture = (FOLDER / f"{shot.name}.webp").read_bytes()
    assert len(picture) <= MOST_BYTES
    assert webp_size(picture) == shot.size


def test_no_picture_is_left_behind() -> None:
    assert {path.stem for path in FOLDER.glob("*.webp")} == {shot.name for shot in shots("")}
