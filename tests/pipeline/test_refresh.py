"""A refresh is applied like any observation: it may remove odds, and nothing undoes it."""

from datetime import timedelta

import msgspec
import pytest
import trio
import trio.testing

from odds_service.clock import DrivenClock
from odds_service.errors import SourceError
from odds_service.model.change import ChangeKind, MarketChange, SourceChange
from odds_service.model.market import MarketKey
from odds_service.model.observation import Observation, Scope
from odds_service.model.refresh import RefreshOutcome
from odds_service.pipeline.refresh import Refresher
from odds_service.pipeline.scrape import Scraper, ScraperRetired
from odds_service.sources.calls import GatedSource
from tests.pipeline.test_detect import Stage
from tests.pipeline.test_scrape import Scripted, hang, listings_of
from tests.support.observations import NOON, Offer, cached, fold, observe, offered

H2H, TOTALS = MarketKey("h2h"), MarketKey("totals", "2.5")
ONE = Scope(listing="soccer_epl", events=frozenset({"e"}))
WHOLE: Offer = {"e": {"b": {H2H: {"home": 2.0}, TOTALS: {"over": 1.9}}}, "f": {"b": {}}}
LESS: Offer = {"e": {"b": {H2H: {"home": 2.2}}}, "f": {"b": {}}}


class Committed:
    """A writer that has always committed everything."""

    async def committed(self, revision: int) -> None:
        await trio.lowlevel.checkpoint()


def only_e(offer: Offer) -> Offer:
    return {"e": offer["e"]}


@pytest.fixture
def stage() -> Stage:
    return Stage()


def refresher_of(stage: Stage, source: Scripted, nursery: trio.Nursery) -> Refresher:
    send, _ = trio.open_memory_channel[object](1)
    clock = DrivenClock(lambda: NOON + timedelta(minutes=2))
    scraper = Scraper(GatedSource(source, clock), send, clock, listings_of())
    scrapers = {"toa": scraper}
    return Refresher(stage.cache, stage.detector, Committed(), stage.queue, scrapers, nursery)


async def test_what_a_refresh_lacks_is_removed_and_the_next_poll_finds_nothing_new(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    await stage.detector.observe(observe(offered(WHOLE), 0))

    async def fetched() -> Observation:
        return observe(offered(only_e(LESS)), 2, scope=ONE)

    async with trio.open_nursery() as nursery:
        refresher = refresher_of(stage, Scripted(fetched), nursery)
        reply = await refresher.refresh("toa:e", 5.0)
    assert [(c.kind, c.after.key) for c in reply.changes if isinstance(c, MarketChange)] == [
        (ChangeKind.PRICES, H2H),
        (ChangeKind.REMOVED, TOTALS),
    ]
    assert stage.published()[-2:] == reply.changes
    assert stage.enqueued() == stage.published()
    # A poll that began before the refresh and ends after it must not undo it.
    late = await stage.detector.observe(observe(offered(WHOLE), 1))
    assert [c for c in late.changes if getattr(c, "event_id", "") == "toa:e"] == []
    assert stage.detector.counts.late_events == 1
    again = await stage.detector.observe(observe(offered(LESS), 3))
    assert again.changes == []
    assert fold(stage.published()) == cached(stage.cache.events)


async def test_a_refresh_that_fails_removes_nothing_and_is_named(
    stage: Stage, autojump_clock: trio.testing.MockClock
) -> None:
    await stage.detector.observe(observe(offered(WHOLE), 0))
    before, head = cached(stage.cache.events), stage.feed.head_revision

    async def fetched() -> Observation:
        raise SourceError("html", "a page came where JSON was due")

    async with trio.open_nursery() as nursery:
        refresher = refresher_of(stage, Scripted(fetched), nursery)
        reply = await refresher.refresh("toa:e", 5.0)
    assert [(each.source, each.error_kind) for each in reply.sources] == [("toa", "html")]
    assert cached(stage.cache.events) == before
    assert stage.feed.head_revision == head


@pytest.mark.parametrize("replaced", [True, False])
async def test_a_refresh_goes_on_with_the_scraper_that_a_reload_put_there(
    stage: Stage, autojump_clock: trio.testing.MockClock, replaced: bool
) -> None:
    await stage.detector.observe(observe(offered(WHOLE), 0))
    asked = trio.Event()

    async def stuck() -> Observation:
        asked.set()
        return await hang()

    async def fetched() -> Observation:
        return observe(offered(only_e(LESS)), 2, scope=ONE)

    send, _ = trio.open_memory_channel[object](1)
    clock = DrivenClock(lambda: NOON + timedelta(minutes=2))
    old, new = (
        Scraper(GatedSource(Scripted(step), clock), send, clock, listings_of())
        for step in (stuck, fetched)
    )
    scrapers = {"toa": old}
    replies: list[RefreshOutcome] = []
    async with trio.open_nursery() as nursery:
        refresher = Refresher(
            stage.cache, stage.detector, Committed(), stage.queue, scrapers, nursery
        )

        async def refresh() -> None:
            replies.append(await refresher.refresh("toa:e", 5.0))

        nursery.start_soon(refresh)
        await asked.wait()
        del scrapers["toa"]
        if replaced:
            scrapers["toa"] = new
        await old.retire()
    (reply,) = replies
    (source,) = reply.sources
    assert source.error_kind == ("" if replaced else "not_configured")
    assert bool(reply.changes) is replaced
    with pytest.raises(ScraperRetired):
        await old.fetch_event("e", None)


async def test_a_fetch_under_replaced_settings_changes_nothing(stage: Stage) -> None:
    early = msgspec.structs.replace(observe(offered(WHOLE), 1), sequence=1)
    state = stage.cache.sources["toa"]
    stage.detector.set_source(state)
    ignored = await stage.detector.observe(early)
    assert (ignored.changes, stage.cache.events) == ([], {})
    late = msgspec.structs.replace(early, sequence=10**12)
    assert (await stage.detector.observe(late)).changes
    stage.detector.drop_source("toa")
    head = stage.feed.head_revision
    assert (await stage.detector.observe(late)).changes == []
    assert stage.feed.head_revision == head
    last = stage.published()[-1]
    assert isinstance(last, SourceChange)
    assert (last.kind, last.after.reason) == (ChangeKind.SOURCE_DOWN, "no_longer_asked")
