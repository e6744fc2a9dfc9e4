"""Two sources name one match differently: the service joins, parts and rejoins their events."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
import trio
from msgspec.structs import replace

from odds_service.bridge import open_bridge
from odds_service.config import load_settings
from odds_service.model.change import SourceChange
from odds_service.model.market import MarketKey
from odds_service.model.observation import Completeness, Observation, ObservedEvent, Scope
from odds_service.service import Running
from odds_service.sources.base import Offer, Pace, Pull
from odds_service.storage import open_store
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.e2e.test_life import flat
from tests.support.command_line import ran
from tests.support.observations import observed_event
from tests.support.serving import call, service, wait_until
from tests.support.watching import Fold, watching

H2H, TOTALS = MarketKey("h2h"), MarketKey("totals", "2.5")
START = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=6)

offers: dict[str, list[ObservedEvent]] = {}  # the present offer of each source


class Scripted:
    """A source whose offer the test sets."""

    kind: ClassVar[str] = "scripted"
    pace: Pace = Pace.steady(0.05)

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    @asynccontextmanager
    async def open(cls, name: str, table: dict[str, Any]) -> AsyncIterator[Self]:
        assert table == {}
        yield cls(name)

    async def discover(self) -> Offer:
        await trio.lowlevel.checkpoint()
        return Offer((Pull(key="all", listing="all"),))

    async def fetch(self, pull: Pull) -> Observation:
        return self._observed(Scope(listing=pull.key))

    async def fetch_event(self, source_event_id: str, listing: str | None) -> Observation:
        return self._observed(Scope(events=frozenset({source_event_id}), listing=listing))

    def _observed(self, scope: Scope) -> Observation:
        now = datetime.now(UTC)
        return Observation(
            source=self.name,
            scope=scope,
            completeness=Completeness.COMPLETE,
            started_at=now,
            observed_at=now,
            events=tuple(offers[self.name]),
        )


@contextmanager
def plugged_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    entry = EntryPoint("scripted", f"{__name__}:Scripted", "odds_service.sources")
    monkeypatch.setattr("odds_service.sources.registry.entry_points", lambda **_: [entry])
    yield


def match(event_id: str, home: str, away: str, ids: Mapping[str, str]) -> ObservedEvent:
    bookmaker = {f"book {event_id}": {H2H: {"home": 1.9, "away": 2.1}, TOTALS: {"over": 1.8}}}
    event = observed_event(event_id, bookmaker, home=home, away=away, start_time=START)
    return replace(event, shared_ids=ids)


def show(one: Mapping[str, str], two: Mapping[str, str]) -> None:
    """Offer the match at both sources, and one that differs by its marks (women, youth) alone."""
    offers["one"] = [match("1", "Wuhan Three Towns", "Qingdao Hainiu FC", one),
                     match("2", "Wuhan Three Towns W", "Qingdao Hainiu W", {})]  # fmt: skip
    offers["two"] = [match("8", "WUHAN THREE TOWNS FC", "Qingdao Hainiu", two),
                     match("9", "Wuhan Three Towns (U21)", "Qingdao Hainiu (U21)", {})]  # fmt: skip


def carried(running: Running) -> dict[str, dict[str, str]]:
    return {e.event.id: e.event.source_ids for e in running.parts.cache.events.values()}


async def test_two_sources_meet_part_and_meet_again_and_every_reader_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'odds.db'}"
    settings = load_settings(server={"listen": "127.0.0.1:0"}, database={"url": url})
    sources = [{"kind": "scripted", "name": name} for name in ("one", "two")]
    settings = settings.model_copy(update={"sources": sources})
    others = {"one:2": {"one": "2"}, "two:9": {"two": "9"}}
    show({}, {})
    offered_by_two, offers["two"] = offers["two"], []
    fold = Fold()
    with plugged_in(monkeypatch):
        async with service(settings) as running:
            feed = running.parts.feed

            async def until(expected: dict[str, dict[str, str]]) -> None:
                whole = others | expected
                await wait_until(lambda: carried(running) == whole, str(whole))
                await running.parts.writer.committed(feed.head_revision)
                await watcher.level(lambda: feed.head_revision)
                assert fold.odds == flat(running)

            with watching(running.address, fold=fold) as watcher:
                await wait_until(lambda: "one:1" in carried(running), "the first source's event")
                offers["two"] = offered_by_two
                await until({"one:1": {"one": "1", "two": "8"}})
                show({"sr": "1"}, {"sr": "2"})
                await until({"one:1": {"one": "1"}, "sr:2": {"two": "8"}})
                show({"sr": "1"}, {"sr": "1"})
                await until({"one:1": {"one": "1", "two": "8"}})
            reasons = [change.reason for change in fold.changes]
            assert reasons.count("split") == 2 + 2 * 2  # two of events, REMOVED and ADDED
            assert reasons.count("merged") == 2 + 2
            (merged,) = [c for c in fold.changes if c.kind == pb.CHANGE_KIND_EVENT_ENDED]
            assert (merged.event_id, merged.event.merged_into) == ("sr:2", "one:1")
            why = (await ran("events", "--why", "--server", running.address)).stdout
            assert "Wuhan Three Towns – Qingdao Hainiu FC  one:1" in why
            assert "two 8: WUHAN THREE TOWNS FC – Qingdao Hainiu  [shared id sr 1]" in why
            odds = await call(running.address, partial(get_odds, event_id="one:1"))
            assert [b.bookmaker for b in odds.events[0].bookmakers] == ["book 1", "book 8"]
        head = feed.head_revision
        async with service(settings) as again:
            status = again.parts.cache.sources
            await wait_until(
                lambda: all(state.last_success_at for state in status.values()), "both sources"
            )
            assert carried(again) == others | {"one:1": {"one": "1", "two": "8"}}
            commits = again.parts.feed.read_after(head, 100)
            assert commits is not None
            since = [change for commit in commits for change in commit.changes]
            # On a busy machine a source may be late, and back again.
            assert {type(change) for change in since} <= {SourceChange}
    async with open_bridge(), open_store(url) as store:
        verified = await store.verify()
    head = again.parts.feed.head_revision
    assert (verified.revision, verified.faulty, verified.faults) == (head, 0, [])


def get_odds(stub: Any, event_id: str) -> pb.GetOddsResponse:
    request = pb.GetOddsRequest(filter=pb.Filter(event_ids=[event_id]))
    reply: pb.GetOddsResponse = stub.GetOdds(request, timeout=30)
    return reply
