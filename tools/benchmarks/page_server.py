"""A page of events by gRPC, in one process: repeated, anew after each change, and an echo.

`python -m tools.benchmarks.page_server EVENTS BOOKMAKERS MARKETS` prints its port, its requests and
the sizes of their replies, and answers each line with the processor time so far, without that of
the changes. The calls are `/page/echo-N`, `/page/repeated-N` and `/page/anew-N` of request N.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer
from msgspec.structs import replace

from odds_service.access import Tokens
from odds_service.cache import OddsCache
from odds_service.feed import ChangeFeed
from odds_service.model.change import ChangeKind, Commit, MarketChange
from odds_service.model.event import Event
from odds_service.model.market import Market, MarketKey, Markets, MarketStatus, Outcome
from odds_service.model.snapshot import BookmakerOdds, EventOdds, EventSource, Reading
from odds_service.model.source import SourceState, SourceStatus
from odds_service.serving.admission import Entrance, entrances
from odds_service.serving.guard import Revocations
from odds_service.serving.parts import ServingParts, utc_now
from odds_service.serving.server_context import ServerContext
from odds_service.serving.table import SERVICER
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tools.benchmarks.generic_server import Handle, echo, serve_calls
from tools.benchmarks.processes import tell
from tools.benchmarks.watch_wire import EPOCH, SETTINGS

PAGE: Final = 50  # events
LISTING: Final = 20  # events that one fetch confirms; every fifth of them is on the page
MOVED: Final = 5  # markets that it changes
KINDS: Final = ("h2h", "totals", "spreads", "btts", "double_chance")


def clocks() -> Reading:
    return Reading(utc_now(), time.clock_gettime(time.CLOCK_BOOTTIME))


class Odds:
    """A cache whose listings are fetched in turn. moving_s: processor time that this took."""

    def __init__(self, events: int, bookmakers: int, markets: int) -> None:
        now = clocks()
        self.moving_s = 0.0
        self._events = [_event(place, bookmakers, markets, now) for place in range(events)]
        self.feed = ChangeFeed(EPOCH, 1)
        up = SourceState(source="sim", interval_s=1e6, status=SourceStatus.UP)
        self.cache = OddsCache(self.feed, events=self._events, sources=[up])
        self._turn = 0

    def page(self) -> list[str]:
        """Return the ids of a page, a quarter of each listing."""
        step = max(1, len(self._events) // PAGE)
        return [entry.event.id for entry in self._events[::step][:PAGE]]

    def fetch(self) -> None:
        """Confirm the next listing, with some of its odds changed."""
        began = time.thread_time()
        now, revision = clocks(), self.feed.head_revision
        changes, touched = [], {}
        at = self._turn * LISTING % len(self._events)
        for place in range(at, min(at + LISTING, len(self._events))):
            entry = self._events[place]
            held = dict(entry.bookmakers)
            for key, odds in held.items():
                held[key] = replace(
                    odds, observed_at=now.wall, confirmed_at=now.wall,
                    confirmed_boot_s=now.boot_s or 0.0,
                )  # fmt: skip
            if place - at < MOVED:
                revision += 1
                key = list(held)[self._turn % len(held)]
                before = list(held[key].markets.values())[revision % len(held[key].markets)]
                price = 1.5 + revision % 89 / 100
                outcomes = tuple(replace(each, price=price) for each in before.outcomes)
                after = Market(before.key, MarketStatus.OPEN, outcomes, revision, now.wall)
                markets = Markets(held[key].markets)
                markets[after.key] = after
                held[key] = replace(held[key], snapshot_id=revision, markets=markets)
                changes.append(
                    MarketChange(
                        revision, ChangeKind.PRICES, "", entry.event.id, *key, revision, now.wall,
                        now.wall, before, after,
                    )
                )  # fmt: skip
            touched[entry.event.id] = self._events[place] = replace(entry, bookmakers=held)
        self._turn += 1
        self.cache.swap(touched, {}, Commit(changes), now.wall)
        self.feed.advance_durable(self.feed.head_revision)
        self.moving_s += time.thread_time() - began


def _event(place: int, bookmakers: int, markets: int, now: Reading) -> EventOdds:
    event = Event(
        id=f"sim:{place:06}", sport="soccer", competition=f"league{place // LISTING}",
        home=f"Home {place}", away=f"Away {place}", source_ids={"sim": str(place)},
        start_time=datetime(2100, 1, 1, tzinfo=UTC) + timedelta(minutes=place),
    )  # fmt: skip
    held = {}
    for name in (f"book{each}" for each in range(bookmakers)):
        shown = Markets()
        for line in range(markets):
            key = MarketKey(KINDS[line % len(KINDS)], f"{line}.5")
            outcomes = (Outcome("over", "Over", 1.9), Outcome("under", "Under", 1.9))
            shown[key] = Market(key, MarketStatus.OPEN, outcomes, 1, now.wall)
        held["sim", name] = BookmakerOdds(
            1, event.id, "sim", name, now.wall, now.wall, None, shown, now.boot_s or 0.0
        )
    return EventOdds(event, {"sim": EventSource("sim", str(place), "l", None, tier="all")}, held)


def serve(
    events: Annotated[int, typer.Argument()],
    bookmakers: Annotated[int, typer.Argument()],
    markets: Annotated[int, typer.Argument()],
) -> None:
    """Serve until standard input ends."""
    odds = Odds(events, bookmakers, markets)

    async def prepare() -> tuple[Mapping[str, Handle], Mapping[str, object]]:
        return await _calls(odds)

    serve_calls("page", SETTINGS, prepare, lambda: tell(time.process_time() - odds.moving_s))


async def _calls(odds: Odds) -> tuple[Mapping[str, Handle], Mapping[str, object]]:
    unused: Any = None  # by these calls
    parts = ServingParts(
        cache=odds.cache, feed=odds.feed, gate=unused, settings=SETTINGS, status=unused,
        clocks=clocks,
    )  # fmt: skip
    context = ServerContext(parts, asyncio.get_running_loop())
    tokens = Tokens(SETTINGS)
    entrance = entrances(context, tokens, Revocations(context, tokens), SERVICER)["GetOdds"]
    filters = (
        pb.Filter(event_ids=odds.page()),
        pb.Filter(event_ids=odds.page(), markets=list(KINDS[:1])),
    )
    requests = [pb.GetOddsRequest(filter=only).SerializeToString() for only in filters]
    replies = [await entrance.answer(each, _Nobody(), "", closed=True) for each in requests]
    calls = {}
    for place, reply in enumerate(replies):
        calls[f"echo-{place}"] = echo(reply)
        calls[f"repeated-{place}"] = _answer(entrance, lambda: None)
        calls[f"anew-{place}"] = _answer(entrance, odds.fetch)
    sizes = [len(reply) for reply in replies]
    return calls, {"requests": [each.hex() for each in requests], "sizes": sizes}


class _Nobody:
    """The context of a call that nobody made."""

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def time_remaining(self) -> float | None:
        return None


def _answer(entrance: Entrance, before: Callable[[], None]) -> Handle:
    async def handle(request: bytes, context: Any) -> bytes:
        before()
        return await entrance.answer(request, context, "", closed=True)

    return handle


if __name__ == "__main__":
    typer.run(serve)
