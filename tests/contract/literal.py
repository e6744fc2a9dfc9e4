"""A watcher written from the sentences of the proto alone, on top of generated messages.

Each method follows the comment of its message and uses no knowledge of the server's code, so the
result is the one that an engineer in another language gets.
"""

from typing import NamedTuple, TypeAlias

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

MarketPlace: TypeAlias = tuple[str, str, str, bytes]  # event id, source, bookmaker, market key
BookmakerPlace: TypeAlias = tuple[str, str, str]  # event id, source, bookmaker

GONE = pb.MARKET_STATUS_REMOVED


class Held(NamedTuple):
    """The markets by place and the events by id, as bytes, at one revision."""

    markets: dict[MarketPlace, bytes]
    events: dict[str, bytes]


def held_in(events: list[pb.EventOdds]) -> Held:
    """Return the odds and events of a reply of GetOdds, or of an image."""
    held = Held({}, {})
    for entry in events:
        held.events[entry.event.id] = _bytes(entry.event)
        for odds in entry.bookmakers:
            for market in odds.markets:
                place = entry.event.id, odds.source, odds.bookmaker, _bytes(market.key)
                held.markets[place] = _bytes(market)
    return held


def bettable(held: Held) -> Held:
    """Return a copy without revisions and times, which may differ between equal odds."""
    markets = {}
    for place, market in held.markets.items():
        bare = pb.Market.FromString(market)
        for field in ("revision", "changed_at", "source_updated_at"):
            bare.ClearField(field)
        markets[place] = _bytes(bare)
    return Held(markets, held.events)


class LiteralWatcher:
    """A map over any number of streams.

    Attributes:
        cursor: The cursor of the last message of any type; `request` resumes there.
        acts: Whether a client may act on the map now.
    """

    def __init__(self, **fields: object) -> None:
        self.held = Held({}, {})
        self.cursor: pb.Cursor | None = None
        self.acts = False
        self.opened = pb.Opened()
        self.sources: dict[str, pb.SourceState] = {}
        self.fresh: dict[BookmakerPlace, pb.OddsFreshness] = {}
        self.changes: list[pb.Change] = []
        self.lagged: list[pb.Lagged] = []
        self.begun = 0  # the number of images that began
        self._fields = fields
        self._first = True
        self._collected: list[pb.EventOdds] | None = None
        self._pieces = 0

    def request(self) -> pb.WatchChangesRequest:
        """Return the request that opens the next stream."""
        self._first = True
        request = pb.WatchChangesRequest(**self._fields)  # type: ignore[arg-type]  # fields by name
        if self.cursor is not None:
            request.resume.CopyFrom(self.cursor)
        return request

    def take(self, message: pb.WatchChangesResponse) -> None:
        kind = message.WhichOneof("message")
        assert kind is not None
        assert message.ByteSize() <= 2**20
        assert (kind == "opened") is self._first
        part = getattr(message, kind)
        if kind != "opened":
            assert self.cursor is not None
            assert part.prev_revision == self.cursor.revision, message
        self._first = False
        getattr(self, f"_{kind}")(part)
        self.cursor = part.cursor

    def _opened(self, opened: pb.Opened) -> None:
        self.opened = opened
        self.acts = opened.intent != pb.INTENT_IMAGE
        self.sources = {state.source: state for state in opened.sources}

    def _image_begin(self, begin: pb.ImageBegin) -> None:
        self.held = Held({}, {})
        self._collected, self._pieces = [], 0
        self.begun += 1
        self.acts = False
        self.sources = {state.source: state for state in begin.sources}

    def _image(self, image: pb.Image) -> None:
        assert self._collected is not None
        self._pieces += 1
        assert image.piece == self._pieces
        self._collected.extend(image.events)

    def _image_end(self, end: pb.ImageEnd) -> None:
        assert self._collected is not None
        self.held = held_in(self._collected)
        self._collected = None
        assert (end.pieces, end.events) == (self._pieces, len(self.held.events))
        assert end.markets == len(self.held.markets)
        self.acts = True

    def _changes(self, message: pb.Changes) -> None:
        assert self.acts
        revision = 0
        for change in message.changes:
            assert change.revision >= revision, "in the order of their revisions"
            revision = change.revision
            self.changes.append(change)
            self._apply(change)
        assert revision <= max(message.cursor.revision, message.changes[-1].revision)

    def _apply(self, change: pb.Change) -> None:
        if change.HasField("source_state"):
            self.sources[change.source] = change.source_state
            return
        ended = change.kind == pb.CHANGE_KIND_EVENT_ENDED
        left = change.kind == pb.CHANGE_KIND_EVENT_UPDATED and change.reason == "left_filter"
        if ended or left:
            self.held.events.pop(change.event_id, None)
            for place in [place for place in self.held.markets if place[0] == change.event_id]:
                del self.held.markets[place]
        elif change.HasField("event"):
            self.held.events[change.event_id] = _bytes(change.event)
        else:
            assert change.event_id in self.held.events, "an event comes before its first market"
            key = _bytes(change.after.key)
            place = change.event_id, change.source, change.bookmaker, key
            if change.after.status == GONE:
                self.held.markets.pop(place, None)
            else:
                self.held.markets[place] = _bytes(change.after)

    def _heartbeat(self, _: pb.Heartbeat) -> None:
        assert self.acts

    def _lagged(self, lagged: pb.Lagged) -> None:
        self.acts = False
        self.lagged.append(lagged)

    def _closing(self, _: pb.Closing) -> None:
        pass

    def _freshness(self, message: pb.Freshness) -> None:
        assert self.acts
        for odds in message.odds:
            self.fresh[odds.event_id, odds.source, odds.bookmaker] = odds


def _bytes(message: pb.Event | pb.Market | pb.MarketKey) -> bytes:
    return message.SerializeToString(deterministic=True)
