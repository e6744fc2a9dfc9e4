"""Imports of recorded series are what a fold of the bodies by hand gives, times included."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from odds_service.model.change import EventChange, MarketChange
from odds_service.model.market import AtStart, Market, MarketKey
from tests.importing.support import closing_of, imported, log_of
from tests.support.databases import DatabasePlace
from tests.support.oracle import Identity, Oracle, Outcomes
from tests.support.places import on_databases
from tests.support.recorded import ODDS_API, needs_recorded
from tests.support.recorded_log import timed_bodies

pytestmark = [needs_recorded, on_databases]

SERIES: Final = (
    "kbo_inplay_20260804",
    "nfl_week1_20250910-15.zip",
    "nfl_oddities_reappear.zip",
    "ncaaf_oddities_swap_point_reappear.zip",
    "ncaaf_offseason_transient_empty_20260224.zip",
)
LONG_SERIES: Final = ("nfl_sunday_20251012.zip", "wnba_5min_20260804-08.zip")
FOR_EVER: Final = {"over_hours": 1e6, "unconfirmed_hours": 1e6}
END: Final = timedelta(seconds=1)  # after the last body

Plain = tuple[tuple[str, float | None], ...] | None


class Told(NamedTuple):
    at: datetime
    kind: str
    key: Identity
    before: Plain
    after: Plain


def plain(outcomes: Outcomes | None) -> Plain:
    if outcomes is None:
        return None
    return tuple(sorted((key, None if p is None else float(p)) for key, p in outcomes))


def by_hand(path: Path) -> Counter[Told]:
    """Return the changes of a fold. An event is updated too when it starts."""
    oracle, told = Oracle(), Counter[Told]()
    described: dict[str, tuple[str, str, str, bool]] = {}
    at = datetime.min.replace(tzinfo=UTC)
    for at, body in timed_bodies(path):
        known, events = len(oracle.changes), json.loads(body)
        oracle.poll(events)
        changes = [each for each in oracle.changes[known:] if each.kind != "EVENT_UPDATED"]
        for each in changes:
            told[Told(at, each.kind, each.key, plain(each.before), plain(each.after))] += 1
        new = {each.key.event for each in changes if each.kind == "EVENT_ADDED"}
        for event in events:
            begun = datetime.fromisoformat(event["commence_time"]) <= at
            now = event["home_team"], event["away_team"], event["commence_time"], begun
            if event["id"] not in new and described[event["id"]] != now:
                told[_of_event(at, "EVENT_UPDATED", event["id"])] += 1
            described[event["id"]] = now
    for event_id in oracle.events:
        told[_of_event(at + END, "EVENT_ENDED", event_id)] += 1
    return told


def _of_event(at: datetime, kind: str, event_id: str) -> Told:
    return Told(at, kind, Identity(event_id, "", "", None, ""), None, None)


def identity(event_id: str, bookmaker: str, key: MarketKey) -> Identity:
    line = Fraction(key.line) if key.line else None
    return Identity(event_id.removeprefix("toa:"), bookmaker, key.market, line, key.participant)


def shown(market: Market | None) -> Plain:
    if market is None or not market.outcomes:
        return None
    return tuple(sorted((outcome.key, outcome.price) for outcome in market.outcomes))


@pytest.mark.parametrize("series", SERIES)
async def test_the_log_is_the_fold_of_the_bodies(place: DatabasePlace, series: str) -> None:
    await check_log(place, series)


@pytest.mark.long
@pytest.mark.parametrize("series", LONG_SERIES)
async def test_the_log_of_long_series_is_the_fold_of_the_bodies(
    place: DatabasePlace, series: str
) -> None:
    await check_log(place, series)


async def check_log(place: DatabasePlace, series: str) -> None:
    result = await imported(place, ODDS_API / series, retention=FOR_EVER)
    assert not result.failures
    told = Counter[Told]()
    log = await log_of(place)
    assert result.changes == len(log)
    assert [each.revision for each in log] == list(range(1, len(log) + 1))
    for each in log:
        match each:
            case MarketChange():
                key = identity(each.event_id, each.bookmaker, each.after.key)
                after = None if each.kind.name == "REMOVED" else shown(each.after)
                told[Told(each.detected_at, each.kind.name, key, shown(each.before), after)] += 1
            case EventChange():
                event_id = each.event_id.removeprefix("toa:")
                told[_of_event(each.detected_at, each.kind.name, event_id)] += 1
    expected = by_hand(ODDS_API / series)
    assert told - expected == Counter()
    assert expected - told == Counter()


class Close(NamedTuple):
    prices: Plain
    at_start: AtStart


def closes_by_hand(path: Path) -> dict[Identity, Close]:
    """Return the closing odds of events that the last body before their start and one after show.

    Those are looked at on both sides of the start, so that it is known what stood.
    """
    polls: list[tuple[datetime, list[dict[str, Any]], dict[Identity, Outcomes]]] = []
    oracle = Oracle()
    for at, body in timed_bodies(path):
        events = json.loads(body)
        oracle.poll(events)
        polls.append((at, events, dict(oracle.markets)))
    starts = {
        event["id"]: datetime.fromisoformat(event["commence_time"])
        for _, events, _ in polls
        for event in events
    }
    found: dict[Identity, Close] = {}
    for event_id, start in starts.items():
        before = [(held, events) for at, events, held in polls if at < start]
        if not before or all(at < start for at, *_ in polls):
            continue
        if event_id not in {event["id"] for event in before[-1][1]}:
            continue
        for held, _ in before:
            for key, outcomes in held.items():
                if key.event == event_id and any(price for _, price in outcomes):
                    stood = before[-1][0].get(key) is not None
                    state = AtStart.OFFERED if stood else AtStart.NOT_OFFERED
                    found[key] = Close(plain(outcomes), state)
    return found


@pytest.mark.parametrize("series", ["nfl_week1_20250910-15.zip"])
async def test_closing_odds_equal_an_own_count(place: DatabasePlace, series: str) -> None:
    await imported(place, ODDS_API / series, retention=FOR_EVER)
    expected = closes_by_hand(ODDS_API / series)
    found = {
        identity(each.event_id, each.bookmaker, each.market.key): Close(
            shown(each.market), each.at_start
        )
        for each in await closing_of(place)
    }
    assert len(expected) > 500
    assert {key: close.prices for key, close in found.items() if key in expected} == {
        key: close.prices for key, close in expected.items()
    }
    known = {key for key, close in found.items() if close.at_start is not AtStart.NOT_KNOWN}
    assert {k: found[k] for k in known & expected.keys()} == {
        k: expected[k] for k in known & expected.keys()
    }
    assert len(known & expected.keys()) > len(expected) / 2
