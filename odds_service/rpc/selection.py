"""Filters: what a caller selects, checked once and then asked per event and per market."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal

from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import Struct

from odds_service.model.change import MarketChange
from odds_service.model.event import Event, EventStatus
from odds_service.model.market import Market
from odds_service.model.snapshot import BookmakerOdds
from odds_service.rpc.errors import bad_request
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import utc_time

MAX_VALUES: Final = 10_000  # in one field of a filter; ids of a whole season
MAX_VALUE_CHARS: Final = 256  # no name is longer


class Selection(Struct, frozen=True, eq=False, kw_only=True, weakref=True):
    """A checked filter; None does not restrict. Two are the same only when they are one object.

    size_bytes: about what it holds in memory.
    """

    sports: frozenset[str] | None = None
    competitions: frozenset[str] | None = None
    event_ids: frozenset[str] | None = None
    bookmakers: frozenset[str] | None = None
    markets: frozenset[str] | None = None
    sources: frozenset[str] | None = None
    start_from: datetime | None = None
    start_to: datetime | None = None
    in_play: bool | None = None
    size_bytes: int = 0

    @property
    def by_event(self) -> bool:
        """Return whether more than an event's id must be known to tell whether it is selected."""
        of_it = (self.sports, self.competitions, self.start_from, self.start_to, self.in_play)
        return any(field is not None for field in of_it)

    @property
    def of_markets(self) -> bool:
        """Whether, of a selected event, some markets may be left out."""
        return not (self.bookmakers is None and self.markets is None and self.sources is None)

    def takes_event_id(self, event_id: str) -> bool:
        return self.event_ids is None or event_id in self.event_ids

    def takes_event(self, event: Event) -> bool:
        return (
            (self.event_ids is None or event.id in self.event_ids)
            and (self.sports is None or event.sport in self.sports)
            and (self.competitions is None or event.competition in self.competitions)
            and (self.start_from is None or event.start_time >= self.start_from)
            and (self.start_to is None or event.start_time < self.start_to)
            and (self.in_play is None or (event.status is EventStatus.IN_PLAY) is self.in_play)
        )

    def takes_source(self, source: str) -> bool:
        return self.sources is None or source in self.sources

    def takes_bookmaker(self, source: str, bookmaker: str) -> bool:
        return self.takes_source(source) and (
            self.bookmakers is None or bookmaker in self.bookmakers
        )

    def markets_of(self, odds: BookmakerOdds) -> Iterable[Market]:
        """The markets that are selected of a selected bookmaker."""
        if self.markets is None:
            return odds.markets.values()
        wanted = self.markets
        return [market for key, market in odds.markets.items() if key.market in wanted]

    def takes_market(self, change: MarketChange) -> bool:
        """Return whether the change of a selected event is selected."""
        return self.takes_bookmaker(change.source, change.bookmaker) and (
            self.markets is None or change.after.key.market in self.markets
        )


EVERYTHING: Final = Selection()


def selection(request: pb.Filter) -> Selection:
    """Check a filter. Raises Refused (INVALID_ARGUMENT) naming the field that is wrong."""
    start_from = _time(request, "start_from", request.start_from)
    start_to = _time(request, "start_to", request.start_to)
    if start_from is not None and start_to is not None and start_from >= start_to:
        raise bad_request("filter.start_to", "is not after start_from")
    chosen = Selection(
        sports=_values("sports", request.sports),
        competitions=_values("competitions", request.competitions),
        event_ids=_values("event_ids", request.event_ids),
        bookmakers=_values("bookmakers", request.bookmakers),
        markets=_values("markets", request.markets),
        sources=_values("sources", request.sources),
        start_from=start_from,
        start_to=start_to,
        in_play=request.in_play if request.HasField("in_play") else None,
        size_bytes=3 * request.ByteSize(),  # short texts weigh more than their letters
    )
    unrestricted = chosen.event_ids is None and not (chosen.by_event or chosen.of_markets)
    return EVERYTHING if unrestricted else chosen


def _values(field: str, values: Iterable[str]) -> frozenset[str] | None:
    chosen = frozenset(values)
    if not chosen:
        return None
    if len(chosen) > MAX_VALUES:
        reason = f"holds {len(chosen)} values; {MAX_VALUES} are allowed"
        raise bad_request(f"filter.{field}", reason)
    for value in chosen:
        if not value:
            raise bad_request(f"filter.{field}", "holds an empty value")
        if len(value) > MAX_VALUE_CHARS:
            raise bad_request(f"filter.{field}", f"a value is over {MAX_VALUE_CHARS} characters")
    return chosen


def _time(
    request: pb.Filter, field: Literal["start_from", "start_to"], value: Timestamp
) -> datetime | None:
    return checked_time(f"filter.{field}", value) if request.HasField(field) else None


def checked_time(field: str, value: Timestamp) -> datetime:
    """A timestamp of a request as an aware time. Raises Refused naming the field."""
    try:
        return utc_time(value)
    except ValueError:
        raise bad_request(field, "is no time between the years 1 and 9999") from None
