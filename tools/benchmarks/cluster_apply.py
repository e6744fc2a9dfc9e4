"""A change on a read node, decoded and applied, beside the client library's way with the same one.

The commits are those that detect makes of a simulated bookmaker. All ways take turns with the same
messages in one thread, and must end with equal prices.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import trio
from msgspec import Struct

from odds_service.bus.messages import Batch, decode, encode
from odds_service.cache import OddsCache
from odds_service.client.market_change import MarketChange
from odds_service.client.odds_map import OddsMap
from odds_service.client.values import Changes as ClientChanges
from odds_service.client.values import Odds
from odds_service.clock import SteadyClock, SystemClock
from odds_service.feed import ChangeFeed
from odds_service.model.change import Commit
from odds_service.model.cursor import Cursor
from odds_service.replica.replica import Replica, Taken
from odds_service.wire.encode import change_wire
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import bytes_tag, varint
from tools.benchmarks.figures import Bounds, Measured, at_most, settle
from tools.benchmarks.load import Load, settings_of
from tools.benchmarks.storage import Changes
from tools.benchmarks.watch_wire import EPOCH

CHANGED: Final = 0.05  # share of the prices that move in a cycle
CHUNK: Final = 15  # messages before the next way's turn
NODE: Final = "decode and apply: read node"
CLIENT: Final = "decode and apply: client library"
WHOLE: Final = "decode and apply: client library, with `before`"
LIMIT: Final = (
    "memory: decoding and folding a commit again, with its odds in the processor's caches, takes"
    " less than half as long"
)
_CHANGES: Final = bytes_tag(pb.WatchChangesResponse.CHANGES_FIELD_NUMBER)


class Both(Struct):
    """One commit as messages of the bus, and as the message of a stream."""

    bus: Sequence[bytes]
    stream: bytes
    changes: int


class Node:
    """The odds of a read node."""

    def __init__(self) -> None:
        feed = ChangeFeed(EPOCH, 0)
        self._replica = Replica(OddsCache(feed), feed, SteadyClock(SystemClock()).reading)

    def take(self, both: Both) -> None:
        """Take the next commit. Raises RuntimeError unless it is applied."""
        for message in both.bus:
            taken = self._replica.take(decode(message))
        if taken is not Taken.APPLIED:
            raise RuntimeError(self._replica.reason)

    def prices(self) -> dict[tuple[object, ...], list[float | None]]:
        """Return all prices."""
        return _prices(self._replica.cache.events)


class Client:
    """The odds of a client; `whole`: it also looks at the odds before each change."""

    def __init__(self, *, whole: bool) -> None:
        self._whole = whole
        self._map = OddsMap(Odds(Cursor(EPOCH, 0), 0, {}, {}))
        opened = pb.Opened(cursor=pb.Cursor(epoch=EPOCH), intent=pb.INTENT_UP_TO_DATE)
        self._map.take(pb.WatchChangesResponse(opened=opened))

    def take(self, both: Both) -> None:
        """Take the next commit. Raises StreamGap if it does not follow."""
        step = self._map.take(pb.WatchChangesResponse.FromString(both.stream))
        if self._whole and isinstance(step, ClientChanges):
            for change in step.changes:
                if isinstance(change, MarketChange):
                    _ = change.before

    def prices(self) -> dict[tuple[object, ...], list[float | None]]:
        """Return all prices."""
        return _prices(self._map.events)


def measure_apply(bounds: Bounds, found: Measured, changes: int) -> None:
    """Measure all ways with at least so many changes a turn, in CPU time of the thread."""
    trio.run(_measure, bounds, found, changes)
    found.ratio("decode and apply: read node, of the client library with `before`", NODE, WHOLE,
                at_most(1 / 3))  # fmt: skip
    found.ratio("decode and apply: read node, of the client library", NODE, CLIENT)
    found.limits("decode and apply: read node, of the client library with `before`", LIMIT)


async def _measure(bounds: Bounds, found: Measured, changes: int) -> None:
    made = Changes(Load(settings_of(60, 4, 20, CHANGED)))
    ways: dict[str, Node | Client] = {
        NODE: Node(),
        CLIENT: Client(whole=False),
        WHOLE: Client(whole=True),
    }
    for both in map(both_of, await made.cycle()):
        for way in ways.values():
            way.take(both)
    for _ in bounds.turns():
        messages: list[Both] = []
        while sum(both.changes for both in messages) < changes:
            messages += map(both_of, await made.cycle())
        used_s = dict.fromkeys(ways, 0.0)
        for begin in range(0, len(messages), CHUNK):
            for name, way in ways.items():
                used_s[name] += _taking_s(way, messages[begin : begin + CHUNK])
        for name, seconds in used_s.items():
            count = sum(both.changes for both in messages)
            found.add(name, seconds / count * 1e6, "µs/change")
    first, *others = (way.prices() for way in ways.values())
    if not all(first == other for other in others):
        raise RuntimeError("the read node and the clients have different prices")


def both_of(commit: Commit) -> Both:
    """Return a commit in both forms."""
    before, after = commit.first_revision - 1, commit.last_revision
    batch = Batch(EPOCH, before, before, [commit], sent_at=datetime.now(UTC))
    # Encoded messages may be joined: of a repeated field, the last value wins.
    tail = pb.Changes(
        prev_revision=before, durable_revision=before,
        cursor=pb.Cursor(epoch=EPOCH, revision=after),
    ).SerializeToString()  # fmt: skip
    body = b"".join([*map(change_wire, commit.changes), tail])
    return Both(encode(batch), _CHANGES + varint(len(body)) + body, len(commit.changes))


def _taking_s(way: Node | Client, messages: Iterable[Both]) -> float:
    settle()  # the garbage of the others is not this one's
    began = time.thread_time()
    for both in messages:
        way.take(both)
    return time.thread_time() - began


def _prices(events: Mapping[str, Any]) -> dict[tuple[object, ...], list[float | None]]:
    """Return all prices by event, bookmaker, market and line."""
    return {
        (event_id, bookmaker, key): [outcome.price for outcome in market.outcomes]
        for event_id, entry in events.items()
        for (_, bookmaker), odds in entry.bookmakers.items()
        for key, market in odds.markets.items()
    }
