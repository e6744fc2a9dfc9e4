"""Views of the cache as bytes: one GetOdds reply, or the bounded pieces of an image."""

from collections.abc import Collection, Generator, Iterable, Iterator
from typing import Final, NamedTuple

from odds_service.cache import CacheView
from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.model.event import Event, EventStatus
from odds_service.model.market import Market
from odds_service.model.overround import Standing, standing
from odds_service.model.snapshot import BookmakerOdds, EventOdds, Reading, as_last_seen
from odds_service.serving.deliveries import AnswerAges
from odds_service.wire.encode import (
    Wires,
    bookmaker_field,
    bookmaker_head,
    event_field,
    join_markets,
    market_wire,
    markets_wire,
    match_message,
)
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import varint

# A piece is encoded without a pause, which takes the loop about 10 ms at first and less later.
IMAGE_PIECE_BYTES: Final = 256 * 1024


class Part(NamedTuple):
    """Some bookmakers of one event, as the bytes of an EventOdds.

    Attributes:
        payload: The bytes, without tag and length.
        markets: The number of markets.
        first: Whether this is the event's first part.
    """

    payload: bytes
    markets: int
    first: bool


class OddsView:
    """The selected part of a view of the cache, with staleness judged at `now`.

    `ages` receives the age of all odds that are encoded; None to count none.
    """

    def __init__(
        self,
        cached: CacheView,
        selection: Selection,
        now: Reading,
        wires: Wires,
        ages: AnswerAges | None = None,
    ) -> None:
        self.cached = cached
        self._ages = ages
        self.now = now
        self._selection = selection
        self._hides = selection.hides
        self._wires = wires

    def events(self) -> list[EventOdds]:
        """Return the selected events by start time."""
        entries = self.cached.events.values()
        takes = self._selection.takes_event
        chosen = (
            list(entries)
            if self._selection is EVERYTHING
            else [entry for entry in entries if takes(entry.event)]
        )
        chosen.sort(key=lambda entry: (entry.event.start_time, entry.event.id))
        return chosen

    def bookmakers(self, entry: EventOdds) -> Iterator[BookmakerOdds]:
        """Yield the selected bookmakers of an event, by source and name."""
        for key in sorted(entry.bookmakers):
            if self._selection.takes_bookmaker(*key):
                yield entry.bookmakers[key]

    def markets_of(self, odds: BookmakerOdds) -> Iterable[Market]:
        """Return the selected markets of a selected bookmaker."""
        return self._selection.markets_of(odds)

    def shown(self, entry: EventOdds) -> Event:
        """Return an event without the names that the caller may not see."""
        return self._selection.shown(entry.event)

    def matches(self, entry: EventOdds) -> list[pb.SourceMatch]:
        """Return the views of an event by the sources that the caller may see, by name.

        A reason can name any source, so a caller that may not see all gets none.
        """
        may_show = self._selection.may_show
        found = [
            match_message(carried)
            for source, carried in sorted(entry.sources.items())
            if may_show(source)
        ]
        if self._selection.only_sources is not None:
            for match in found:
                match.ClearField("reason")
        return found

    def standing(self, odds: BookmakerOdds) -> Standing:
        """Return the standing of a bookmaker's odds at `now`."""
        event = self.cached.events[odds.event_id].event
        start_time = event.start_time
        if event.told.get(odds.source) is EventStatus.IN_PLAY:
            # It is fetched as often as after its start.
            start_time = min(start_time, self.now.wall)
        return standing(odds, self.cached.sources.get(odds.source), self.now, start_time)

    def event_odds(self, entry: EventOdds, best: bytes = b"") -> bytes:
        """Return a whole selected event as bytes, without tag and length."""
        fields = [field for field, _ in self._bookmaker_fields(entry)]
        return b"".join((self._event(entry), *fields, best))

    def _event(self, entry: EventOdds) -> bytes:
        """Return an event without the names that the caller may not see, as a field."""
        if not self._hides:
            return self._wires.event(entry.event)
        shown = self._selection.shown(entry.event)
        return self._wires.event(shown) if shown is entry.event else event_field(shown)

    def parts(self, entry: EventOdds, limit_bytes: int) -> Iterator[Part]:
        """Yield a selected event in parts of about `limit_bytes`, each with the event itself.

        A bookmaker is split only if it alone exceeds the limit.
        """
        event = self._event(entry)
        fields = [event]
        size, markets, first = len(event), 0, True
        for field, count in self._bookmaker_fields(entry, limit_bytes):
            if markets and size + len(field) > limit_bytes:
                yield Part(b"".join(fields), markets, first)
                fields, size, markets, first = [event], len(event), 0, False
            fields.append(field)
            size += len(field)
            markets += count
        yield Part(b"".join(fields), markets, first)

    def _bookmaker_fields(
        self, entry: EventOdds, limit_bytes: int | None = None
    ) -> Iterator[tuple[bytes, int]]:
        # The bookmakers of one pull follow each other, so their ages are counted at once.
        source, confirmed_s, alike = "", 0.0, 0
        for odds in self.bookmakers(entry):
            if self._selection.markets is None:
                chosen: Collection[Market] = odds.markets.values()
                markets = markets_wire(odds)
            else:
                chosen = list(self._selection.markets_of(odds))
                if not chosen:
                    continue
                markets = join_markets(chosen)
            seen = as_seen(odds, chosen)
            if seen.confirmed_boot_s == confirmed_s and seen.source == source:
                alike += 1
            else:
                self._count(entry, source, confirmed_s, alike)
                source, confirmed_s, alike = seen.source, seen.confirmed_boot_s, 1
            stale = self.standing(seen) is not Standing.LIVE
            head = bookmaker_head(seen, self.cached.durable_revision, stale)
            if limit_bytes is None or len(markets) <= limit_bytes:
                yield bookmaker_field(head, markets), len(chosen)
                continue
            for some in _groups(chosen, limit_bytes):
                yield bookmaker_field(head, join_markets(some)), len(some)
        self._count(entry, source, confirmed_s, alike)

    def _count(self, entry: EventOdds, source: str, confirmed_s: float, times: int) -> None:
        """Count the ages of odds of one source that were confirmed at one time."""
        if times and self._ages is not None:
            self._ages.add(entry.sources.get(source), confirmed_s, times)


def as_seen(odds: BookmakerOdds, chosen: Iterable[Market]) -> BookmakerOdds:
    """Return the odds with the age of the oldest market type among the chosen markets."""
    if not odds.lagging:
        return odds
    return as_last_seen(odds, {market.key.market for market in chosen})


def _groups(markets: Iterable[Market], limit_bytes: int) -> Iterator[list[Market]]:
    """Yield markets in groups of at most `limit_bytes`, or of a single larger market."""
    group: list[Market] = []
    size = 0
    for market in markets:
        length = len(market_wire(market))
        if group and size + length > limit_bytes:
            yield group
            group, size = [], 0
        group.append(market)
        size += length
    if group:
        yield group


class ImagePiece(NamedTuple):
    """Events as fields of an Image message.

    Attributes:
        body: The fields, encoded.
        events: The number of events that begin in this piece.
        markets: The number of markets.
    """

    body: bytes
    events: int
    markets: int


def image_pieces(
    view: OddsView, tag: bytes, limit_bytes: int = IMAGE_PIECE_BYTES
) -> Generator[ImagePiece, None, None]:
    """Yield the selected odds of a view, event by event, encoding each piece on demand.

    Args:
        view: The selected odds.
        tag: The tag of the field that holds an event.
        limit_bytes: The size of a piece; a single part may be up to twice as large.
    """
    fields: list[bytes] = []
    size = events = markets = 0
    for entry in view.events():
        for part in view.parts(entry, limit_bytes):
            if fields and size + len(part.payload) > limit_bytes:
                yield ImagePiece(b"".join(fields), events, markets)
                fields = []
                size = events = markets = 0
            fields += (tag, varint(len(part.payload)), part.payload)
            size += len(part.payload)
            markets += part.markets
            events += part.first
    if fields:
        yield ImagePiece(b"".join(fields), events, markets)
