"""Views of the cache as bytes: one GetOdds reply, or the bounded pieces of an image."""

from collections.abc import Generator, Iterable, Iterator
from datetime import datetime
from typing import Final, NamedTuple

from msgspec import Struct

from odds_service.cache import CacheView
from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.model.event import Event, EventStatus
from odds_service.model.market import Market
from odds_service.model.overround import Standing, judged
from odds_service.model.snapshot import BookmakerOdds, EventOdds, Reading, as_last_seen
from odds_service.serving.deliveries import AnswerAges
from odds_service.wire.encode import (
    Wires,
    bookmaker_beginning,
    bookmaker_field,
    bookmaker_head,
    chosen_wire,
    event_field,
    join_markets,
    look_fields,
    market_wire,
    markets_wire,
    match_message,
)
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import varint

# A piece is encoded without a pause, which takes the loop about 10 ms at first and less later.
IMAGE_PIECE_BYTES: Final = 256 * 1024
NEVER_STORED: Final = 2**63  # above all revisions


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


class Look(Struct):
    """Bookmakers of one event with equal times and the same standing, and so of one source.

    Attributes:
        odds: The first of them.
        fields: Their times, encoded.
        stale: Whether their odds are not live.
        lasts_s: The seconds for which time alone does not change their standing.
        bookmakers: Their number.
        stored: The newest snapshot that is stored; 0 without one.
        unstored: The oldest snapshot that is not.
    """

    odds: BookmakerOdds
    fields: bytes
    stale: bool
    lasts_s: float
    bookmakers: int = 0
    stored: int = 0
    unstored: int = NEVER_STORED


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
        self.ages = ages
        self.now = now
        self._selection = selection
        self._hides = selection.hides
        self._takes_all = selection.bookmakers is None and selection.sources is None
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
        if len(chosen) > 1:
            chosen.sort(key=_by_start)
        return chosen

    def bookmakers(self, entry: EventOdds) -> Iterator[BookmakerOdds]:
        """Yield the selected bookmakers of an event, by source and name."""
        held = entry.bookmakers
        if self._takes_all:
            return map(held.__getitem__, sorted(held))
        takes = self._selection.takes_bookmaker
        return (held[key] for key in sorted(held) if takes(*key))

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
        return self._judged(odds)[0]

    def _judged(self, odds: BookmakerOdds) -> tuple[Standing, float]:
        event = self.cached.events[odds.event_id].event
        start_time = event.start_time
        if event.told.get(odds.source) is EventStatus.IN_PLAY:
            # It is fetched as often as after its start.
            start_time = min(start_time, self.now.wall)
        return judged(odds, self.cached.sources.get(odds.source), self.now, start_time)

    def event_fields(self, entry: EventOdds, looks: list[Look]) -> list[bytes]:
        """Return a whole selected event as the fields of an EventOdds, in pieces to be joined.

        Args:
            entry: The event.
            looks: Receives the looks at its selected bookmakers.
        """
        fields = [self._event(entry)]
        for _, head, markets, _ in self._bookmakers(entry, looks):
            fields += (bookmaker_beginning(head, markets), markets)
        return fields

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

    def _bookmaker_fields(self, entry: EventOdds, limit_bytes: int) -> Iterator[tuple[bytes, int]]:
        """Yield the selected bookmakers as fields of about `limit_bytes`, with their markets."""
        looks: list[Look] = []
        for odds, head, markets, count in self._bookmakers(entry, looks):
            if len(markets) <= limit_bytes:
                yield bookmaker_field(head, markets), count
                continue
            for some in _groups(self._selection.markets_of(odds), limit_bytes):
                yield bookmaker_field(head, join_markets(some)), len(some)

    def _bookmakers(
        self, entry: EventOdds, looks: list[Look]
    ) -> Iterator[tuple[BookmakerOdds, bytes, bytes, int]]:
        """Yield each selected bookmaker: odds, head, markets as bytes, and their number."""
        types = self._selection.markets
        durable = self.cached.durable_revision
        look: Look | None = None
        for odds in self.bookmakers(entry):
            if types is None:
                markets, count = markets_wire(odds), len(odds.markets)
            else:
                markets, count = chosen_wire(odds, types)
                if not count:
                    continue
            seen = as_seen(odds, self._selection.markets_of(odds)) if odds.lagging else odds
            # The bookmakers of one pull follow each other, and are judged and counted at once.
            if look is None or not _seen_together(seen, look.odds):
                stands, lasts_s = self._judged(seen)
                look = Look(seen, look_fields(seen), stands is not Standing.LIVE, lasts_s)
                looks.append(look)
            look.bookmakers += 1
            snapshot_id = seen.snapshot_id
            if snapshot_id > durable:
                look.unstored = min(look.unstored, snapshot_id)
            elif snapshot_id > look.stored:
                look.stored = snapshot_id
            yield odds, bookmaker_head(seen, durable, look.stale, look.fields), markets, count
        if self.ages is not None:
            for each in looks:
                first = each.odds
                carried = entry.sources.get(first.source)
                self.ages.add(carried, first.confirmed_boot_s, each.bookmakers)


def _by_start(entry: EventOdds) -> tuple[datetime, str]:
    event = entry.event
    return event.start_time, event.id


def _seen_together(one: BookmakerOdds, other: BookmakerOdds) -> bool:
    """Return whether two bookmakers of one event have equal times and the same standing."""
    return (
        one.confirmed_boot_s == other.confirmed_boot_s
        and one.source == other.source
        and one.confirmed_at == other.confirmed_at
        and one.observed_at == other.observed_at
        and one.doubted is other.doubted
    )


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
