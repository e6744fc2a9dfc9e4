"""What is no text is refused for every source, and its neighbours are kept."""

from collections import Counter

import msgspec
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from odds_service.model.change import ChangeKind, MarketChange
from odds_service.model.market import MarketKey, MarketStatus, Outcome, observed_market
from odds_service.model.observation import Observation, ObservedEvent, Scope
from odds_service.model.text import as_text, is_text
from odds_service.pipeline.texts import with_text_only
from odds_service.storage.rows import history_row
from tests.pipeline.test_detect import Stage
from tests.support.observations import observe, observed_event, offered

H2H, TOTALS = MarketKey("h2h"), MarketKey("totals", "2.5")
BAD = ("a\0b", "half \ud83d", "\udc00")
bad = pytest.mark.parametrize("text", BAD, ids=ascii)
EVENT = observed_event("e", {"b": {H2H: {"home": 1.5}, TOTALS: {"over": 1.9}}})
(SHOWN,) = EVENT.bookmakers


async def seen(stage: Stage, observation: Observation) -> list[MarketChange]:
    """The changes of markets that an observation makes; all of the log can be stored."""
    with structlog.testing.capture_logs():
        applied = await stage.detector.observe(observation)
    for change in stage.published():
        assert b"\\u0000" not in msgspec.json.encode(history_row(change))
    return [change for change in applied.changes if isinstance(change, MarketChange)]


def renamed(field: str, text: str) -> ObservedEvent:
    if field == "shared_ids":
        return replace(EVENT, shared_ids={"sr": text})
    return replace(EVENT, **{field: text})


@bad
@pytest.mark.parametrize(
    "field", ["source_event_id", "sport", "competition", "home", "away", "shared_ids"]
)
async def test_an_event_so_named_is_left_out_and_what_is_known_of_it_stays(
    field: str, text: str
) -> None:
    stage = Stage()
    other = observed_event("other", {"b": {H2H: {"home": 2.0}}})
    assert len(await seen(stage, observe([EVENT, other]))) == 3
    for minute in (1, 2, 3):
        cheaper = observed_event("other", {"b": {H2H: {"home": 2.0 + minute}}})
        (change,) = await seen(stage, observe([renamed(field, text), cheaper], minute))
        assert change.kind is ChangeKind.PRICES
        assert change.after.outcomes[0].price == 2.0 + minute
    assert len(stage.cache.events) == 2
    assert stage.detector.refused == {"toa": Counter(bad_event=3)}


@bad
async def test_a_bookmaker_so_named_is_left_out(text: str) -> None:
    stage = Stage()
    await seen(stage, observe([EVENT]))
    nameless = replace(EVENT, bookmakers=(replace(SHOWN, bookmaker=text), SHOWN))
    for minute in (1, 2):
        assert await seen(stage, observe([nameless], minute)) == []
    assert (
        await seen(stage, observe([replace(nameless, bookmakers=nameless.bookmakers[:1])], 3)) == []
    )
    assert stage.detector.refused == {"toa": Counter(bad_bookmaker=3)}


def with_market(key: MarketKey, *outcomes: Outcome) -> ObservedEvent:
    market = observed_market(key, outcomes)
    return replace(EVENT, bookmakers=(replace(SHOWN, markets={**SHOWN.markets, key: market}),))


@bad
async def test_a_market_so_named_is_left_out_whatever_part_of_it_is_no_text(text: str) -> None:
    stage = Stage()
    good = Outcome("yes", "Yes", 2.0)
    events = [
        with_market(MarketKey(text), good),
        with_market(MarketKey("players", "1.5", text), good),
        with_market(MarketKey("btts"), Outcome(text, "Yes", 2.0)),
        with_market(MarketKey("btts"), Outcome("yes", text, 2.0), Outcome("no", "No", 1.8)),
    ]
    for minute, event in enumerate(events):
        added = await seen(stage, observe([event], minute))
        assert {change.after.key for change in added} == (set() if minute else {H2H, TOTALS})
    assert stage.detector.refused == {"toa": Counter(bad_market=4)}


@bad
async def test_a_market_that_is_known_is_suspended_and_comes_back(text: str) -> None:
    stage = Stage()
    yes = MarketKey("btts")
    kinds: list[ChangeKind] = []
    for minute, name in enumerate(("Yes", text, text, "Yes")):
        event = with_market(yes, Outcome("yes", name, 2.0 + minute))
        kinds += [c.kind for c in await seen(stage, observe([event], minute)) if c.after.key == yes]
    assert kinds == [ChangeKind.ADDED, ChangeKind.SUSPENDED, ChangeKind.RESUMED]


@bad
async def test_a_line_is_not_taken_as_gone_for_one_beside_it_that_is_no_text(text: str) -> None:
    stage = Stage()
    await seen(stage, observe([EVENT]))
    moved = {H2H: SHOWN.markets[H2H], MarketKey("totals", text): SHOWN.markets[TOTALS]}
    moved[MarketKey("totals", text)] = replace(SHOWN.markets[TOTALS], key=MarketKey("totals", text))
    event = replace(EVENT, bookmakers=(replace(SHOWN, markets=moved),))
    (change,) = await seen(stage, observe([event], 1))
    assert (change.kind, change.reason) == (ChangeKind.SUSPENDED, "unreadable")
    assert change.after.status is MarketStatus.SUSPENDED


@bad
async def test_a_listing_so_named_is_a_failure(text: str) -> None:
    stage = Stage()
    assert await seen(stage, observe([EVENT], scope=Scope(listing=text))) == []
    assert stage.cache.events == {}
    assert stage.cache.sources["toa"].consecutive_failures == 1
    assert is_text(stage.cache.sources["toa"].reason)


def test_what_is_text_is_passed_on_as_it_is() -> None:
    observation = observe(offered({"é": {"b": {H2H: {"Ünentschieden 🏆": 1.5}}}}))
    problems: Counter[str] = Counter()
    assert with_text_only(observation, problems) is observation
    assert not problems


texts = st.text(st.characters(categories=("L", "Cs", "Cc")), max_size=4)


@given(st.lists(texts, max_size=4))
@settings(max_examples=200)
def test_text_is_what_can_be_encoded_and_has_no_nul(parts: list[str]) -> None:
    def encodes(text: str) -> bool:
        try:
            return b"\0" not in text.encode()
        except UnicodeEncodeError:
            return False

    assert is_text(*parts) == all(map(encodes, parts))
    assert all(is_text(as_text(part)) for part in parts)
    assert all(as_text(part) == part for part in parts if is_text(part))
