"""A source that does what a file says, as an installed plug-in that worker processes find, too.

The file holds JSON: `{"do": "show", "events": …}`, the events as in `Events`, or another deed; see
`Puppet._look`. Beside it, the source leaves the id of its process (`NAME.pid`).
"""

import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import pytest
import trio

from odds_service.config import load_settings
from odds_service.errors import SettingsError, SourceError
from odds_service.model.asks import Asks
from odds_service.model.market import MarketKey, Outcome, observed_market
from odds_service.model.observation import (
    Completeness,
    Observation,
    ObservedBookmaker,
    ObservedEvent,
    Scope,
)
from odds_service.sources.base import Offer, Pace, Pull

ROOT: Final = Path(__file__).resolve().parents[2]
STARTS: Final = datetime(2099, 1, 1, tzinfo=UTC)  # the same in all processes

Markets = list[tuple[str, str, dict[str, float]]]
Events = Mapping[str, Mapping[str, Markets]]


class Puppet:
    """The source; its table has `script`, the path of the file, and may have `interval_s`."""

    kind: ClassVar[str] = "puppet"

    def __init__(self, name: str, script: Path, interval_s: float) -> None:
        self.name = name
        self.pace = Pace.steady(interval_s, discovery_s=86_400.0)
        self._script = script

    @classmethod
    @asynccontextmanager
    async def open(cls, name: str, table: dict[str, Any]) -> AsyncIterator[Self]:
        if "script" not in table:
            raise SettingsError("script: Field required")
        await trio.lowlevel.checkpoint()
        script = Path(table["script"])
        if script.with_suffix(".refuse").exists():
            raise SettingsError("refused for now")
        part = script.with_suffix(".pid-part")
        part.write_text(str(os.getpid()))
        part.rename(script.with_suffix(".pid"))  # so that a reader sees all of it
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_end_when_told, script.with_suffix(".ends"))
            yield cls(name, script, table.get("interval_s", 0.5))
            nursery.cancel_scope.cancel()

    def asks(self) -> Asks:
        return Asks(listings=frozenset({"all"}))

    async def discover(self) -> Offer:
        await trio.lowlevel.checkpoint()
        return Offer((Pull(key="all"),), {"a_problem_of_the_offer": 1})

    async def fetch(self, pull: Pull) -> Observation:
        return await self._look(Scope(listing=pull.key))

    async def fetch_event(self, source_event_id: str, listing: str | None) -> Observation:
        return await self._look(Scope(listing=listing, events=frozenset({source_event_id})))

    async def _look(self, scope: Scope) -> Observation:
        await trio.lowlevel.checkpoint()
        deed = json.loads(self._script.read_text())
        match deed["do"]:
            case "hang":
                time.sleep(deed.get("seconds", 3_600))  # noqa: ASYNC251  # what is tested
            case "die":
                os._exit(7)
            case "crash":
                raise KeyError("of the puppet")
            case "refuse":
                raise SourceError("rate_limited", "slow down", retry_after_s=deed["wait_s"])
            case "wait":
                await trio.sleep_forever()
        asked = scope.events
        now = datetime.now(UTC)
        return Observation(
            source=self.name,
            scope=scope,
            completeness=Completeness.COMPLETE,
            started_at=now,
            observed_at=now,
            events=tuple(
                shown_event(event_id, bookmakers)
                for event_id, bookmakers in deed.get("events", {}).items()
                if asked is None or event_id in asked
            ),
            unmapped={"odd market": 2},
        )


async def _end_when_told(path: Path) -> None:
    """Fail in the background once a file is there, as a plug-in's own task may."""
    ends = trio.Path(path)
    while not await ends.exists():  # noqa: ASYNC110  # a file has no event
        await trio.sleep(0.05)
    await ends.unlink()
    raise RuntimeError("of the puppet's own task")


def shown_event(event_id: str, bookmakers: Mapping[str, Markets]) -> ObservedEvent:
    """Return an event as the file tells it."""
    shown = []
    for name, markets in bookmakers.items():
        made = {}
        for market, line, prices in markets:
            key = MarketKey(market, line)
            made[key] = observed_market(
                key, [Outcome(each, each.title(), price) for each, price in prices.items()]
            )
        shown.append(ObservedBookmaker(bookmaker=name, markets=made))
    return ObservedEvent(
        source_event_id=event_id,
        sport="soccer",
        competition="soccer_nowhere",
        home=f"Home {event_id}",
        away=f"Away {event_id}",
        start_time=STARTS,
        bookmakers=tuple(shown),
    )


class Script:
    """The file of one puppet."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.path = folder / f"{name}.json"
        self.show(1.5)

    def tell(self, **deed: Any) -> None:
        """Replace the file at once, so that a reader sees the old or the new one."""
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(deed))
        part.rename(self.path)

    def show(self, price: float, **events: Any) -> None:
        """Show an event of one market, with this price of the home side, or other events."""
        one: Events = {"e": {"b": [("h2h", "", {"home": price, "away": 2.0})]}}
        self.tell(do="show", events=events or one)

    @property
    def pid(self) -> int:
        """The process in which the source was opened last."""
        return int(self.path.with_suffix(".pid").read_text())

    def table(self, **more: Any) -> dict[str, Any]:
        """Return the source's table in the settings."""
        return {"kind": "puppet", "name": self.name, "script": str(self.path)} | more


@pytest.fixture
def puppets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the plug-in for this process and for those that it starts; return a folder."""
    installed = tmp_path / "installed"
    described = installed / "puppets-1.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: puppets\nVersion: 1\n")
    (described / "entry_points.txt").write_text(
        "[odds_service.sources]\npuppet = tests.support.puppets:Puppet\n"
    )
    monkeypatch.syspath_prepend(installed)
    paths = (installed, ROOT, os.environ.get("PYTHONPATH", ""))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(str(path) for path in paths if str(path)))
    assert sys.path[0] == str(installed)
    return tmp_path


def settings_of(folder: Path, scripts: list[Script], *, workers: int, **place: int) -> Any:
    """Return settings of a service with these puppets, on SQLite."""
    settings = load_settings(
        server={"listen": "127.0.0.1:0"},
        database={"url": f"sqlite:///{folder / 'odds.db'}"},
        workers={"count": workers, "place": place},
    )
    return settings.model_copy(update={"sources": [script.table() for script in scripts]})
