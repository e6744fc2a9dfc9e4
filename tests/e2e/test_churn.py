"""A bookmaker whose ids differ at each poll, beside a healthy one, in a whole service."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import trio
from starlette.requests import Request
from starlette.responses import Response

from odds_service.model.source import SourceStatus
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.databases import SqlitePlace
from tests.support.offer import hours_from_now
from tests.support.serving import service, settings_for, status_of, wait_until
from tests.support.sites import serve_site

EVENTS = 30  # in each answer
FIRST, AN_HOUR = 50, 10  # the bounds
POLLS = 40  # after the bound is reached


class Both:
    """The site of two bookmakers: `icehockey_nhl` is healthy, all ids of `soccer_epl` are new."""

    def __init__(self) -> None:
        self.polls = dict.fromkeys(("soccer_epl", "icehockey_nhl"), 0)

    async def __call__(self, request: Request) -> Response:
        await trio.lowlevel.checkpoint()
        sport = request.url.path.split("/")[3]
        if not request.url.path.endswith("/odds"):
            return Response(status_code=404)
        self.polls[sport] += 1
        poll = self.polls[sport]
        churns = sport == "soccer_epl"
        listed = [
            event(sport, f"{poll if churns else 'same'}-{each}", each, 1.5 + poll % 50 / 100)
            for each in range(EVENTS)
        ]
        return Response(json.dumps(listed).encode(), headers={"content-type": "application/json"})


def event(sport: str, source_event_id: str, number: int, price: float) -> dict[str, Any]:
    # Half of the games keep their sides under the new ids, half have new ones too.
    sides = f"{sport} {number}" if number % 2 else f"{sport} {source_event_id}"
    home, away = f"Home of {sides}", f"Away of {sides}"
    start = hours_from_now(5).strftime("%Y-%m-%dT%H:%M:%SZ")
    outcomes = [{"name": home, "price": price}, {"name": away, "price": 2.5}]
    markets = [{"key": "h2h", "outcomes": outcomes}]
    return {
        "id": source_event_id, "sport_key": sport, "sport_title": sport, "commence_time": start,
        "home_team": home, "away_team": away,
        "bookmakers": [{"key": "b", "title": "b", "markets": markets}],
    }  # fmt: skip


def numbers(reply: pb.GetStatusResponse, name: str) -> pb.SourceStatus:
    (found,) = (each for each in reply.sources if each.state.source == name)
    return found


async def test_a_bookmaker_with_ever_new_ids_is_bounded_beside_a_healthy_one(
    tmp_path: Path,
) -> None:
    place, site = SqlitePlace(tmp_path), Both()
    async with trio.open_nursery() as nursery:
        port: int = await nursery.start(partial(serve_site, site))
        settings = settings_for(tmp_path, port, ["soccer_epl"], name="churns", interval_s=0.05)
        (churns,) = settings.sources
        healthy = churns | {"name": "healthy", "sports": ["icehockey_nhl"]}
        limits = settings.limits.model_copy(
            update={"max_events": FIRST, "max_new_events_per_h": AN_HOUR}
        )
        settings = settings.model_copy(update={"sources": [churns, healthy], "limits": limits})
        async with service(settings) as running:
            parts, states = running.parts, running.parts.cache.sources
            await wait_until(lambda: states["churns"].reason == "too_many_new_events", "the bound")
            begun = dict(site.polls)
            await wait_until(
                lambda: all(site.polls[each] > begun[each] + POLLS for each in begun), "more polls"
            )
            assert states["churns"].status is SourceStatus.STALE
            assert states["healthy"].status is SourceStatus.UP
            # Memory: the ids of the churning source leave, and no new ones come.
            of_churns = [e for e in parts.cache.events.values() if "churns" in e.sources]
            assert of_churns == []
            assert parts.reconciler.remembered <= FIRST + AN_HOUR
            held = [e for e in parts.cache.events.values() if "healthy" in e.sources]
            assert len(held) == EVENTS
            reply = await status_of(running.address)
            told = numbers(reply, "churns")
            assert told.state.reason == "too_many_new_events"
            assert "limits.max_new_events_per_h: 10" in told.state.detail
            assert FIRST <= told.new_events <= FIRST + AN_HOUR
            assert told.new_events_left_out > POLLS * EVENTS - FIRST
            assert told.problems["too_many_new_events"] == told.new_events_left_out
            well = numbers(reply, "healthy")
            assert (well.new_events, well.new_events_left_out, well.events) == (EVENTS, 0, EVENTS)
            assert well.changes > POLLS
            feed = parts.feed
            await wait_until(lambda: feed.durable_revision >= reply.head_revision, "stored")
            rows = place.value("SELECT count(*) FROM event_sources WHERE source = 'churns'")
            assert int(rows) <= FIRST + AN_HOUR
            written = place.value("SELECT count(*) FROM odds_history WHERE source = 'churns'")
            assert int(written) <= 4 * (FIRST + AN_HOUR) + 2
        nursery.cancel_scope.cancel()
