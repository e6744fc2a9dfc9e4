"""Messages between the service and its workers, as tagged msgpack arrays.

Both ends run the same code, so fields may change with any release.
"""

from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from odds_service.model.asks import Asks
from odds_service.model.market import MarketKey, MarketStatus, Outcome
from odds_service.model.observation import Observation, ObservedEvent
from odds_service.sources.access import AccessPolicy
from odds_service.sources.base import Offer, Pace, Pull
from odds_service.sources.boundary import Limits

ANEW: Final = -1  # in BookmakerDelta.base: sent whole


class _Message(Struct, array_like=True, tag=True):
    """A message. `source` is the number under which the service opened a source."""


# -- from the service to a worker ------------------------------------------------------------------


class Start(_Message):
    """The first message: the form of the log, and the worker's number in it."""

    worker: int
    log_level: str
    log_format: str


class SetLevel(_Message):
    """Log this level and those above it from now on."""

    level: str


class Open(_Message):
    """Open a source; answered by Opened or Refused. `table` is its table in the settings."""

    source: int
    table: dict[str, Any]
    limits: Limits


class Close(_Message):
    """Close a source; its calls are cancelled. Answered by Closed."""

    source: int


class Discover(_Message):
    """Call discover(); answered by Offered or Failed.

    Attributes:
        held_s: The seconds for which the service knows that the source may not be asked.
    """

    call: int
    source: int
    held_s: float


class Fetch(_Message):
    """Make a pull; answered by Answered, before it Arrived and Parts if it is large, or Failed."""

    call: int
    source: int
    held_s: float
    pull: Pull


class FetchEvent(_Message):
    """Fetch an event on demand; answered as Fetch is."""

    call: int
    source: int
    held_s: float
    source_event_id: str
    listing: str | None


class Cancel(_Message):
    """End a call; no answer follows, but one may be on its way."""

    call: int


class ClockMoved(_Message):
    """Adjust a source to a jump of the wall clock or a sleep; see Access.moved."""

    source: int
    day_offset_s: float
    slept_s: float


class Forget(_Message):
    """Send the events of a source whole from now on."""

    source: int


class Ping(_Message):
    """Asks for a Pong, which shows that the worker's loop runs."""


# -- from a worker to the service ------------------------------------------------------------------


class Opened(_Message):
    """An open source, with all that the service has to know of it."""

    source: int
    kind: str
    pace: Pace
    asks: Asks
    policy: AccessPolicy


class Refused(_Message):
    """A source could not be opened: its settings are wrong, or its code failed."""

    source: int
    text: str


class Closed(_Message):
    """A source is closed."""

    source: int


class Offered(_Message):
    """The answer to Discover, behind the gate."""

    call: int
    offer: Offer


class Arrived(_Message):
    """The whole answer to a fetch has arrived; since it is large, reading it takes a while."""

    call: int


class ShownMarket(Struct, frozen=True, array_like=True, gc=False):
    """A market that is new or differs; see ObservedMarket."""

    key: MarketKey
    status: MarketStatus
    outcomes: tuple[Outcome, ...]
    source_updated_at: datetime | None


class RepricedMarket(Struct, frozen=True, array_like=True, gc=False):
    """A market whose outcomes are those of the base with other prices.

    Attributes:
        place: Its place among the markets of the base.
        prices: The prices in the order of its outcomes.
    """

    place: int
    status: MarketStatus
    prices: tuple[float | None, ...]
    source_updated_at: datetime | None


class BookmakerDelta(Struct, frozen=True, array_like=True, gc=False):
    """A bookmaker of an event, as the difference from one in the event sent before.

    Attributes:
        base: The place of that one among its event's bookmakers, or ANEW.
        shown: The markets that are new or differ; all of them if it is sent anew.
        repriced: The markets that differ in their prices, perhaps in their status, and that is all.
        gone: The keys of markets that are shown no more.
        times: The times of the markets, each once, if those of others than these differ.
        at: For each market its place in `times`, a byte each: first those of the base that stay, in
            its order, then the new ones. Empty if `times` has one for each market in that order.
    """

    base: int
    bookmaker: str
    source_updated_at: datetime | None
    unreadable: tuple[str, ...] = ()
    shown: tuple[ShownMarket, ...] = ()
    repriced: tuple[RepricedMarket, ...] = ()
    gone: tuple[MarketKey, ...] = ()
    times: tuple[datetime | None, ...] = ()
    at: bytes = b""


class EventDelta(Struct, frozen=True, array_like=True, gc=False):
    """An event, as the difference from what was sent of it before.

    Attributes:
        base: The number that it builds on; 0 if it is sent whole.
        number: Its own number.
        fields: The event without its bookmakers; None if it is as before.
        bookmakers: For each bookmaker its place in the base, or its difference; None if all are as
            before.
    """

    source_event_id: str
    base: int
    number: int
    fields: ObservedEvent | None = None
    bookmakers: tuple[int | BookmakerDelta, ...] | None = None


class Part(_Message):
    """Some of the events of an answer, in their order."""

    call: int
    source: int
    events: list[EventDelta]
    forgotten: list[str]  # ids of events that no later message builds on


class Answered(Part):
    """The end of an answer: its last events, and the observation without events."""

    observation: Observation


class Failed(_Message):
    """A call failed as a whole; `problems` are those that the gate has counted before."""

    call: int
    kind: str
    reason: str
    retry_after_s: float | None
    problems: dict[str, int] = {}


class Pong(_Message):
    """The worker's loop runs.

    Attributes:
        cpu_s: The processor time of the worker, in seconds.
        memory_bytes: Its resident memory at most.
    """

    cpu_s: float
    memory_bytes: int


ToWorker = (
    Start | SetLevel | Open | Close | Discover | Fetch | FetchEvent | Cancel | ClockMoved | Forget
    | Ping
)  # fmt: skip
ToService = (
    Opened | Refused | Closed | Offered | Arrived | Part | Answered | Failed | Pong
)  # fmt: skip

to_worker: Final = msgspec.msgpack.Decoder(ToWorker)
to_service: Final = msgspec.msgpack.Decoder(ToService)
