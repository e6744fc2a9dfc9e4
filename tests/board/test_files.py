"""The files of the board: what they may hold, and how the door serves them."""

import re
from pathlib import Path

import httpx

from odds_service.http import board_files
from tests.board.rig import BoardRig

FOLDER = Path(board_files.__file__).parent / "board"
FILES = sorted(path for path in FOLDER.iterdir() if path.is_file())


def test_nothing_is_inline_and_nothing_comes_from_other_hosts() -> None:
    html = (FOLDER / "index.html").read_text("utf-8")
    assert re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", html) == []
    for path in FILES:
        text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert re.findall(r"https?://|@import|url\(", text) == [], path.name


def test_text_is_only_set_as_text() -> None:
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
    for path in FILES:
        assert re.findall(ways, path.read_text("utf-8")) == [], path.name


def test_each_module_says_what_it_offers() -> None:
    for path in FILES:
        if path.suffix == ".js":
            assert path.read_text("utf-8").startswith("// "), path.name


def test_they_are_served_fresh_and_under_a_strict_policy(rig: BoardRig) -> None:
    with httpx.Client(base_url=rig.address) as client:
        for path in FILES:
            name = "" if path.name == "index.html" else path.name
            answer = client.get(f"/{name}")
            assert answer.content == path.read_bytes()
            assert answer.headers["cache-control"] == "no-cache"
            assert "'unsafe" not in answer.headers["content-security-policy"]
            if path.suffix == ".js":
                assert answer.headers["content-type"].startswith("text/javascript")
            again = client.get(f"/{name}", headers={"if-none-match": answer.headers["etag"]})
            assert again.status_code == 304
        assert client.get("/board_files.py").status_code == 404
