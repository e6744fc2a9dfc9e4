"""A plug-in that breaks every rule in turn: all calls still answer, and report its faults."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import pytest
import structlog
import trio
from msgspec.structs import replace

from odds_service.config import load_settings
from odds_service.errors import SettingsError, SourceError
from odds_service.model.market import MarketKey, Outcome, observed_market
from odds_service.model.observation import (
    Completeness,
    Observation,
    ObservedBookmaker,
    ObservedEvent,
    Scope,
)
from odds_service.sources import registry
from odds_service.sources.base import Offer, Pace, Pull
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.metrics.scraping import LOCAL, scrape
from tests.support.serving import call, service, status_of, wait_until

H2H = MarketKey("h2h")
SOON: Final = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=9)


def event(event_id: str, price: Any = 2.0, **fields: Any) -> ObservedEvent:
    outcomes = [Outcome("home", "Home", price), Outcome("away", "Away", 1.9)]
    shown = ObservedBookmaker(bookmaker="b", markets={H2H: observed_market(H2H, outcomes)})
    made = ObservedEvent(
        source_event_id=event_id,
        sport="soccer",
        competition="soccer_nowhere",
        home=f"Home {event_id}",
        away=f"Away {event_id}",
        start_time=SOON,
        bookmakers=(shown,),
    )
    return replace(made, **fields)


def right(*events: ObservedEvent, **fields: Any) -> Observation:
    now = datetime.now(UTC)
    made = Observation(
        source="odd",
        scope=Scope(listing="all"),
        completeness=Completeness.COMPLETE,
        started_at=now,
        observed_at=now,
        events=events or (event("good"), event("other", 3.0)),
    )
    return replace(made, **fields)


def raising(error: BaseException) -> Any:
    raise error


NAIVE = datetime(2026, 8, 4, 12)  # noqa: DTZ001  # the fault: no time zone
STEPS: Final[tuple[Callable[[], Any], ...]] = (
    right,
    lambda: None,
    lambda: {"events": []},
    lambda: right(source="another"),
    lambda: right(event("good"), event("other", "3.0")),
    lambda: right(event("good"), event("other", start_time=NAIVE)),
    lambda: right(event("good"), event("other", home="x" * 5_000_000)),
    lambda: right(event("good"), event("other", home="\x1b]0;mine\x07Home other")),
    lambda: right(event("good"), event("good", 2.5), event("other", 3.0)),
    lambda: right(started_at=NAIVE, observed_at=NAIVE),
    lambda: right(quota_left=2**70, cost=float("nan"), mapped=-1),
    lambda: right(quota_left=2**62, cost=float("inf")),
    lambda: right(unmapped={"half \ud83d" + "x" * 10_000: 10**15}, mapped=10**15),
    lambda: right(unmapped={"a": 1}, unmapped_samples={"a": 3, b"b": None}),
    lambda: right(unmapped_samples=[1]),
    lambda: right(problems={f"\x1b{n}" * 50: 10**15 for n in range(300)}),
    lambda: right(problems={"a": 2**70}),
    lambda: right(event("")),
    lambda: raising(SourceError("rate_limited", "later", retry_after_s=1e12)),
    lambda: raising(SourceError("rate_limited", "later", retry_after_s=float("nan"))),
    lambda: raising(SourceError("k\0" * 999, "half \ud83d" * 999, retry_after_s=float("inf"))),
    lambda: raising(SystemExit(3)),
    lambda: raising(BaseExceptionGroup("all", [SystemExit(1), GeneratorExit()])),
    lambda: raising(ValueError("a bug")),
    right,
)  # fmt: skip


class Odd:
    """A source that takes the given steps, one per fetch."""

    kind: ClassVar[str] = "odd"
    pace: Any = Pace.steady(0.02, concurrency=1)
    opened: ClassVar[list["Odd"]] = []

    def __init__(self, name: str) -> None:
        self.name = name
        self.fetched = 0
        self.opened.append(self)

    @classmethod
    @asynccontextmanager
    async def open(cls, name: str, table: dict[str, Any]) -> AsyncIterator[Self]:
        del table
        yield cls(name)

    async def discover(self) -> Offer:
        await trio.lowlevel.checkpoint()
        return Offer((Pull(key="all"), Pull(key="\0"), Pull(key="all", start_time=NAIVE)))

    async def fetch(self, pull: Pull) -> Observation:
        del pull
        await trio.lowlevel.checkpoint()
        self.fetched += 1
        made: Observation = STEPS[min(self.fetched, len(STEPS)) - 1]()
        return made

    def fetch_event(self, source_event_id: str, listing: str | None) -> Awaitable[Observation]:
        del source_event_id, listing
        return right()  # type: ignore[return-value]  # the fault: not an awaitable


class Plugged:
    """A stand-in for the plug-in's entry point."""

    name = "odd"

    def load(self) -> type[Odd]:
        return Odd


@pytest.fixture(autouse=True)
def plugged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda **_group: [Plugged()])
    Odd.opened.clear()


async def test_all_calls_answer_and_tell_what_was_wrong(tmp_path: Path) -> None:
    settings = load_settings(
        server={"listen": "127.0.0.1:0"},
        database={"url": f"sqlite:///{tmp_path / 'odds.db'}"},
        limits={"max_retry_after_s": 0.05},
    ).model_copy(update={"sources": [{"kind": "odd"}], "metrics": LOCAL})
    with structlog.testing.capture_logs():
        async with service(settings) as running:
            (source,) = Odd.opened
            await wait_until(lambda: source.fetched > len(STEPS) + 1, "all steps")
            status = await status_of(running.address)
            odds = await call(
                running.address, lambda stub: stub.GetOdds(pb.GetOddsRequest(), timeout=60)
            )
            event_id = odds.events[0].event.id
            refreshed = await call(
                running.address,
                lambda stub: stub.RefreshEvent(
                    pb.RefreshEventRequest(event_id=event_id), timeout=60
                ),
            )
            measured = await scrape(running)
    prices = {
        entry.event.name: [o.price for o in entry.bookmakers[0].markets[0].outcomes]
        for entry in odds.events
    }
    assert prices == {
        "Home good – Away good": [2.0, 1.9], "Home other – Away other": [3.0, 1.9]
    }  # fmt: skip
    (told,) = status.sources
    assert told.state.state == pb.SOURCE_HEALTH_UP
    assert not told.state.HasField("quota_left")
    expected = {
        "bad_observation", "bad_market", "bad_event", "bad_time", "bad_character", "bad_count",
        "bad_pull", "repeated_event", "repeated_pull", "wrong_shape", "rate_limited", "crash",
    }  # fmt: skip
    assert expected <= told.problems.keys()
    assert all(name.isprintable() for name in told.problems)
    assert all(name.isprintable() for name in told.unmapped)
    assert [each.error_code for each in refreshed.sources] == ["bad_observation"]
    assert measured.value("odds_source_problems_total", source="odd", problem="bad_event") >= 3


@pytest.mark.parametrize(
    "pace", [None, Pace.steady(float("inf")), Pace(tiers=())], ids=["None", "inf", "no tiers"]
)
async def test_a_pace_that_cannot_be_kept_is_refused_at_the_start(
    pace: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Odd, "pace", pace)
    settings = load_settings(
        server={"listen": "127.0.0.1:0"}, database={"url": f"sqlite:///{tmp_path / 'odds.db'}"}
    ).model_copy(update={"sources": [{"kind": "odd"}]})
    told = pytest.RaisesExc(SettingsError, match=r"sources \(odd\): ")
    with pytest.RaisesGroup(told, flatten_subgroups=True):
        async with service(settings):
            pass
