"""`odds-service serve` in a process of its own, with a plug-in that blocks the thread on demand."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

from tests.support.json_log import entries

ROOT: Final = Path(__file__).resolve().parents[2]
LONG_S: Final = 120.0

# The file `order` says what to do in the next fetch: sleep or hold the interpreter for
# seconds, or log an object whose text never comes.
PLUG_IN: Final = '''
import re, time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
import trio
from odds_service.model.market import MarketKey, Outcome, observed_market
from odds_service.model.observation import (
    Completeness, Observation, ObservedBookmaker, ObservedEvent, Scope,
)
from odds_service.sources.base import Offer, Pace, Pull

H2H, SOON = MarketKey("h2h"), datetime.now(UTC) + timedelta(hours=9)


class Endless:
    def __repr__(self):
        time.sleep(100_000)


def block(order):
    Path("taken").touch()
    what, seconds = order.split()
    if what == "sleep":
        time.sleep(float(seconds))
    elif what == "log":
        structlog.get_logger().info("text", of=Endless())
    else:  # one call of C that holds the interpreter
        size, took_s = 18, 0.0
        while took_s < float(seconds):
            began = time.monotonic()
            re.match("(a+)+$", "a" * size + "b")
            took_s = time.monotonic() - began
            size += 1


class Blocker:
    kind = "blocker"
    pace = Pace.steady(0.05, concurrency=1)

    def __init__(self, name):
        self.name, self.fetched = name, 0

    @classmethod
    @asynccontextmanager
    async def open(cls, name, table):
        yield cls(name)

    async def discover(self):
        await trio.lowlevel.checkpoint()
        return Offer((Pull(key="all"),))

    async def fetch(self, pull):
        await trio.lowlevel.checkpoint()
        print("fetched", flush=True)
        order = Path("order")
        if order.exists():
            text = order.read_text()
            order.unlink()
            block(text)
        self.fetched += 1
        now = datetime.now(UTC)
        price = 2 + self.fetched % 900 / 100
        outcomes = [Outcome("home", "Home", price), Outcome("away", "Away", 1.9)]
        shown = ObservedBookmaker(bookmaker="b", markets={H2H: observed_market(H2H, outcomes)})
        event = ObservedEvent(
            source_event_id="e", sport="soccer", competition="soccer_nowhere", home="Home",
            away="Away", start_time=SOON, bookmakers=(shown,),
        )
        return Observation(
            source=self.name, scope=Scope(listing="all"), completeness=Completeness.COMPLETE,
            started_at=now, observed_at=now, events=(event,),
        )
'''  # fmt: skip
SETTINGS: Final = """
[server]
listen = "127.0.0.1:0"
[database]
url = "sqlite:///odds.db"
[shutdown]
drain_s = 5
[log]
format = "json"
[[sources]]
kind = "blocker"
"""


class Blocking:
    """The service in its folder; each start logs to a file, or to a descriptor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        (folder / "blocker.py").write_text(PLUG_IN)
        info = folder / "blocker-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: blocker\nVersion: 1\n")
        (info / "entry_points.txt").write_text(
            "[odds_service.sources]\nblocker = blocker:Blocker\n"
        )
        (folder / "odds.toml").write_text(SETTINGS)

    @contextmanager
    def started(self, stderr: int | None = None) -> Iterator["subprocess.Popen[bytes]"]:
        """Start the service; kill it at the end of the block if it still runs."""
        environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{self.folder}"}
        with (
            self.log.open("wb") as log,
            subprocess.Popen(
                [sys.executable, "-m", "odds_service", "serve", "--config", "odds.toml"],
                stdout=subprocess.DEVNULL, stderr=log if stderr is None else stderr,
                cwd=self.folder, env=environment,
            ) as process,
        ):  # fmt: skip
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def order(self, text: str) -> None:
        """Make the next fetch block, and wait until it does."""
        taken = self.folder / "taken"
        taken.unlink(missing_ok=True)
        (self.folder / "draft").write_text(text)
        (self.folder / "draft").rename(self.folder / "order")
        until(taken.exists, "the plug-in blocks")

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the log's entries of an event."""
        return entries(self.log, event)

    def wait_for(self, event: str) -> dict[str, Any]:
        """Wait for an entry of an event, and return the first one."""
        until(lambda: bool(self.logged(event)), event)
        return self.logged(event)[0]


def until(condition: Any, what: str) -> None:
    """Poll until a condition holds."""
    end = monotonic() + LONG_S
    while not condition():
        assert monotonic() < end, what
        sleep(0.05)
