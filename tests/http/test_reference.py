"""The page at /docs: its files obey a strict policy, and a real browser shows and sends calls."""

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from odds_service.http import reference
from odds_service.http.routes import PATHS
from tests.http.demo_service import ROOT, demo_service

PAGE = Path(reference.__file__).parent / "page"


def test_the_page_has_nothing_inline_and_nothing_from_other_hosts() -> None:
    html = (PAGE / "index.html").read_text("utf-8")
    assert re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", html) == []
    for path in PAGE.iterdir():
        assert re.findall(r"https?://|@import|url\(", path.read_text("utf-8")) == [], path.name


def test_text_is_only_set_as_text() -> None:
    script = (PAGE / "reference.js").read_text("utf-8")
    assert re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", script) == []


@pytest.mark.skipif(
    find_spec("playwright") is None or shutil.which("chromium") is None, reason="needs a browser"
)
def test_a_browser_shows_all_calls_and_sends_them() -> None:
    with demo_service() as address:
        page = httpx.get(f"{address}/docs")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        visit = [sys.executable, "-m", "tests.http.reference_visit", address]
        done = subprocess.run(visit, cwd=ROOT, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
    light, dark = json.loads(done.stdout)
    for seen in (light, dark):
        assert seen["links"] == [*(path.call for path in PATHS), "Messages"]
        assert seen["curl"] == (
            'curl -H "Authorization: Bearer $TOKEN" '
            f"'{address}/v1/odds?markets=h2h&markets=totals&includeBest=true'"
        )
        assert seen["answer"].startswith("200")
        assert seen["refused"].startswith("400")
        assert '"field": "conflate"' in seen["refused"]
        assert seen["faults"] == []
        assert seen["hosts"] == [address.removeprefix("http://")]
        assert not seen["wide"]  # nothing is cut off on a phone
    assert light["page"] != dark["page"]
