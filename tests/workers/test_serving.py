"""Answers of a worker that exceed a frame: split, and at the end an event is left out by name."""

from collections.abc import Mapping

import pytest
import trio
import trio.testing

from odds_service.model.market import MarketKey
from odds_service.model.observation import Observation, ObservedEvent
from odds_service.sources.access import Access
from odds_service.sources.base import Offer, Pace, Pull
from odds_service.sources.boundary import Limits
from odds_service.workers import frames as module
from odds_service.workers.frames import Frames
from odds_service.workers.messages import Answered, Fetch, Part, to_service, to_worker
from odds_service.workers.mirror import Mirror
from odds_service.workers.serving import EVENTS, TOO_LARGE, Serving
from tests.support.observations import observe, observed_event

H2H = MarketKey("h2h")
SMALL: Mapping[str, Mapping[MarketKey, Mapping[str, float | None]]] = {
    "b": {H2H: {"home": 1.5, "away": 2.5}}
}
LARGE = {"b": {MarketKey("totals", str(line)): {"over": 1.9, "under": 1.8} for line in range(200)}}


class Listing:
    """A source that always shows the same events."""

    kind = "listing"
    name = "toa"
    pace = Pace.steady(60.0)

    def __init__(self, events: list[ObservedEvent]) -> None:
        self._events = events

    async def discover(self) -> Offer:
        await trio.lowlevel.checkpoint()
        return Offer(())

    async def fetch(self, pull: Pull) -> Observation:
        await trio.lowlevel.checkpoint()
        return observe(self._events)

    async def fetch_event(self, source_event_id: str, listing: str | None) -> Observation:
        return await self.fetch(Pull(key=source_event_id))


@pytest.mark.parametrize("place", [0, EVENTS, 2 * EVENTS])  # in the first, a later, the last part
async def test_an_event_that_exceeds_a_frame_is_left_out_and_named(
    place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 4_000)
    events = [observed_event(f"e{number}", SMALL) for number in range(2 * EVENTS + 1)]
    events[place] = observed_event("large", LARGE)
    one, other = trio.testing.memory_stream_pair()
    sends, receives = Frames(one, to_worker), Frames(other, to_service)
    serving = Serving(1, Listing(events), Access(), Limits(), sends)  # type: ignore[arg-type]  # it is never opened
    mirror = Mirror()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sends.pump)
        for call in (1, 2):  # the second one builds on the first
            nursery.start_soon(serving.answer, Fetch(call, 1, 0.0, Pull(key="all")))
            seen: list[ObservedEvent] = []
            end: Observation | None = None
            while end is None:
                message = await receives.receive()
                if isinstance(message, Part):
                    seen += [mirror.take(delta) for delta in message.events]
                if isinstance(message, Answered):
                    end = message.observation
            assert seen == [event for event in events if event.source_event_id != "large"]
            assert end.unreadable == {"large"}
            assert end.problems == {TOO_LARGE: 1}
        nursery.cancel_scope.cancel()
