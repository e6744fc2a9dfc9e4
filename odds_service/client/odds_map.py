"""The client's map of the current odds, folded from the messages of one stream. No I/O.

Each message but the first names the revision of the previous one, so a single comparison detects a
gap. An image is collected separately and replaces the whole map once it is complete.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from msgspec.structs import replace

from odds_service.client import decode
from odds_service.client.errors import StreamGap
from odds_service.client.market_change import ChangeKind, MarketChange
from odds_service.client.market_decoding import moment
from odds_service.client.text import enum_word
from odds_service.client.values import (
    BookmakerOdds,
    Change,
    Changes,
    EventChange,
    EventOdds,
    Freshness,
    Heartbeat,
    ImageLoaded,
    Lagged,
    Odds,
    Opened,
    SourceChange,
    SourceState,
    Step,
    StreamClosing,
    UnknownChange,
)
from odds_service.model.cursor import Cursor
from odds_service.model.market import Market, MarketKey, MarketStatus
from odds_service.model.overround import SUSPECT_BELOW, BestMarket, Standing, best_markets
from odds_service.model.snapshot import BookmakerKey
from odds_service.model.snapshot import BookmakerOdds as AnyBookmakerOdds
from odds_service.model.source import SourceStatus
from odds_service.model.text import counted
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

LEFT_FILTER: Final = "left_filter"  # the reason of an event's last change under a filter


class _Image(NamedTuple):
    """An image that is still incomplete."""

    events: dict[str, EventOdds]
    sources: dict[str, SourceState]
    pieces: list[int]


class OddsMap:
    """The odds of a stream: event -> (source, bookmaker) -> market.

    `events` and `sources` are live views that each message updates; their values are immutable and
    may be kept. The map must not be used while `whole` is false: no image has arrived yet, or a new
    one is on its way. A map that starts from a bare cursor, without odds, stays empty until an
    image arrives.

    The map is not thread-safe.

    Attributes:
        cursor: The place in the log that the map shows.
        durable_revision: The last revision known to be stored.
        whole: Whether the map may be used.
        ended: Whether the end of a replay has come.
    """

    def __init__(self, start: Odds | Cursor | None = None) -> None:
        self._events: dict[str, EventOdds] = {}
        self._sources: dict[str, SourceState] = {}
        self.cursor: Cursor | None = None
        self.durable_revision = 0
        self.whole = self.ended = False
        if isinstance(start, Odds):
            self._events.update(start.events)
            self._sources.update(start.sources)
            self.cursor = start.cursor
            self.durable_revision = start.durable_revision
            self.whole = True
        else:
            self.cursor = start
        self._holds_odds = self.whole
        self._expected: int | None = None  # the next prev_revision; None before `opened`
        self._image_due = False
        self._image: _Image | None = None

    @property
    def events(self) -> Mapping[str, EventOdds]:
        """The odds by event id."""
        return MappingProxyType(self._events)

    @property
    def sources(self) -> Mapping[str, SourceState]:
        """The last known states by source."""
        return MappingProxyType(self._sources)

    def cut(self) -> Odds:
        """Return a copy of the current odds that later messages do not change.

        Raises:
            ValueError: The map is not whole.
        """
        if not self.whole or self.cursor is None:
            raise ValueError("the map is not whole: its image has not come yet")
        return Odds(self.cursor, self.durable_revision, self._events.copy(), self._sources.copy())

    def best(self, event_id: str, *, suspect_below: float = SUSPECT_BELOW) -> list[BestMarket]:
        """Return the best prices of an event's markets over its live bookmakers, by market key.

        A bookmaker is live while its source is up and its odds are not stale. The result is empty
        for an event that is not in the map.

        Args:
            event_id: The id of the event.
            suspect_below: The combined overround below which best prices count as suspect.

        Raises:
            ValueError: The map is not whole.
        """
        if not self.whole:
            raise ValueError("the map is not whole: its image has not come yet")
        entry = self._events.get(event_id)
        if entry is None:
            return []
        return best_markets(
            entry.event, entry.bookmakers.values(), self._standing, suspect_below=suspect_below
        )

    def _standing(self, odds: AnyBookmakerOdds) -> Standing:
        source = self._sources.get(odds.source)
        if source is None or source.status is not SourceStatus.UP:
            return Standing.STALE
        if odds.confirmed_at < odds.observed_at:
            return Standing.ABSENT
        marked = isinstance(odds, BookmakerOdds) and odds.stale
        return Standing.STALE if marked else Standing.LIVE

    def restart(self) -> None:
        """Prepare for a new stream, and drop an incomplete image."""
        self._expected = None
        self._image = None
        self._image_due = False

    def take(
        self, message: pb.WatchChangesResponse | pb.ReplayResponse, *, fold: bool = True
    ) -> Step | None:
        """Fold in the next message of the stream.

        Args:
            message: The message.
            fold: False leaves changes to `fold` and `reach`, which must follow.

        Returns:
            The step for the caller, or None if there is nothing to report.

        Raises:
            StreamGap: A message is missing or contradicts the stream so far. The map is no longer
                whole.
        """
        try:
            step = self._take(message)
            if fold and isinstance(step, Changes):
                self._fold(step.changes)
                self.reach(step)
        except StreamGap:
            self.whole = self._holds_odds = False
            raise
        return step

    def fold(self, changes: Sequence[Change], epoch: str | None = None) -> None:
        """Fold in the next changes of a message that was taken without them.

        Args:
            changes: Changes that belong together.
            epoch: The epoch of the message's cursor if every place in the message is one to resume
                at; then the cursor moves too.

        Raises:
            StreamGap: A change contradicts the stream so far. The map is no longer whole.
        """
        try:
            self._fold(changes)
        except StreamGap:
            self.whole = self._holds_odds = False
            raise
        if epoch is not None:
            self.cursor = Cursor(epoch, changes[-1].revision)

    def reach(self, step: Changes) -> None:
        """Record that all changes of a message are folded in."""
        self.cursor = step.cursor
        self.durable_revision = step.durable_revision

    def _take(self, message: pb.WatchChangesResponse | pb.ReplayResponse) -> Step | None:
        match message.WhichOneof("message"):
            case "opened":
                return self._opened(message.opened)
            case "changes":
                return self._changes(message.changes)
            case "freshness" if isinstance(message, pb.WatchChangesResponse):
                return self._freshness(message.freshness)
            case "end" if isinstance(message, pb.ReplayResponse):
                self._end(message.end)
            case "heartbeat":
                return self._heartbeat(message.heartbeat)
            case "image_begin":
                self._begin_image(message.image_begin)
            case "image":
                self._add_piece(message.image)
            case "image_end":
                return self._end_image(message.image_end)
            case "lagged":
                return self._lagged(message.lagged)
            case "closing":
                return self._closing(message.closing)
            case None:  # a newer kind of message: skipping it may lose changes
                raise StreamGap("a message of a kind that this client does not know")
        return None

    def _follow(self, prev_revision: int, at: pb.Cursor) -> None:
        """Check that a message follows the previous one, and remember its position."""
        if self._expected is None:
            raise StreamGap("the stream did not begin with `opened`")
        if prev_revision != self._expected:
            raise StreamGap(
                f"a message follows revision {prev_revision}, and the one before it ended at"
                f" {self._expected}"
            )
        self._expected = at.revision

    def _opened(self, opened: pb.Opened) -> Opened:
        if self._expected is not None:
            raise StreamGap("the stream was opened twice")
        self._expected = opened.cursor.revision
        image = opened.intent == pb.INTENT_IMAGE
        if image:
            self._announce_image()
        else:
            if self.cursor is not None and self.cursor.revision != opened.cursor.revision:
                raise StreamGap(
                    f"resumed at revision {opened.cursor.revision} instead of"
                    f" {self.cursor.revision}"
                )
            self.whole = self._holds_odds
            self._reach(opened.cursor, opened.durable_revision)
            for state in _by_name(opened.sources).values():
                self._set_source(state)
        return Opened(
            cursor=decode.cursor(opened.cursor),
            image=image,
            reason=enum_word(pb.IntentReason.Name, opened.reason, "INTENT_REASON_"),
            conflate_s=opened.conflate.ToTimedelta().total_seconds(),
            heartbeat_s=opened.heartbeat.ToTimedelta().total_seconds(),
        )

    def _announce_image(self) -> None:
        self.whole = False
        self._image_due = True

    def _reach(self, at: pb.Cursor, durable_revision: int) -> None:
        self.cursor = decode.cursor(at)
        self.durable_revision = durable_revision

    def _begin_image(self, begin: pb.ImageBegin) -> None:
        self._follow(begin.prev_revision, begin.cursor)
        self._announce_image()
        self._image = _Image({}, _by_name(begin.sources), [])

    def _add_piece(self, piece: pb.Image) -> None:
        self._follow(piece.prev_revision, piece.cursor)
        if self._image is None or piece.piece != len(self._image.pieces) + 1:
            raise StreamGap(f"piece {piece.piece} of an image is out of its place")
        self._image.pieces.append(piece.piece)
        events = self._image.events
        for part in piece.events:
            entry = decode.event_odds(part)
            held = events.get(entry.event.id)
            events[entry.event.id] = entry if held is None else _joined(held, entry)

    def _end_image(self, end: pb.ImageEnd) -> ImageLoaded:
        self._follow(end.prev_revision, end.cursor)
        image, self._image = self._image, None
        if image is None or len(image.pieces) != end.pieces:
            raise StreamGap(f"an image of {end.pieces} pieces is not whole")
        markets = sum(
            len(odds.markets)
            for entry in image.events.values()
            for odds in entry.bookmakers.values()
        )
        if (len(image.events), markets) != (end.events, end.markets):
            raise StreamGap(
                f"an image of {counted(end.events, 'event')} and"
                f" {counted(end.markets, 'market')} holds {len(image.events)} and {markets}"
            )
        self._events = image.events
        self._sources = image.sources
        self._image_due = False
        self.whole = self._holds_odds = True
        self.cursor = decode.cursor(end.cursor)
        return ImageLoaded(
            cursor=self.cursor, events=end.events, markets=end.markets, unknown=end.unknown
        )

    def _heartbeat(self, heartbeat: pb.Heartbeat) -> Heartbeat:
        self._follow(heartbeat.prev_revision, heartbeat.cursor)
        self._no_image("a heartbeat")
        self._reach(heartbeat.cursor, heartbeat.durable_revision)
        return Heartbeat(
            cursor=decode.cursor(heartbeat.cursor),
            durable_revision=heartbeat.durable_revision,
            sent_at=moment(heartbeat.sent_at),
        )

    def _freshness(self, message: pb.Freshness) -> Freshness:
        self._follow(message.prev_revision, message.cursor)
        self._no_image("freshness")
        freshness = decode.freshness(message)
        fresh: dict[str, dict[BookmakerKey, BookmakerOdds]] = {}
        for each in freshness.odds:
            entry = self._events.get(each.event_id)
            place = each.source, each.bookmaker
            if entry is None or place not in entry.bookmakers:
                continue
            fresh.setdefault(each.event_id, {})[place] = replace(
                entry.bookmakers[place],
                observed_at=max(each.confirmed_at, entry.bookmakers[place].observed_at),
                confirmed_at=each.confirmed_at,
                stale=each.stale,
            )
        for event_id, bookmakers in fresh.items():
            entry = self._events[event_id]
            self._events[event_id] = EventOdds(entry.event, {**entry.bookmakers, **bookmakers})
        self._reach(message.cursor, message.durable_revision)
        return freshness

    def _lagged(self, lagged: pb.Lagged) -> Lagged:
        self._follow(lagged.prev_revision, lagged.cursor)
        self._announce_image()
        return Lagged(
            lost_from=lagged.lost_from,
            lost_to=lagged.lost_to,
            reason=enum_word(pb.IntentReason.Name, lagged.reason, "INTENT_REASON_"),
        )

    def _closing(self, closing: pb.Closing) -> StreamClosing:
        self._follow(closing.prev_revision, closing.cursor)
        if not self._image_due:
            self._reach(closing.cursor, closing.durable_revision)
        return StreamClosing(
            cursor=decode.cursor(closing.cursor),
            reason=closing.reason,
            retry_after_s=closing.retry_after.ToTimedelta().total_seconds(),
        )

    def _changes(self, message: pb.Changes) -> Changes:
        self._follow(message.prev_revision, message.cursor)
        self._no_image("changes")
        return Changes(
            cursor=decode.cursor(message.cursor),
            changes=tuple(_known(decode.historical_change(each)) for each in message.changes),
            durable_revision=message.durable_revision,
        )

    def _fold(self, changes: Sequence[Change]) -> None:
        touched: dict[tuple[str, BookmakerKey], dict[MarketKey, Market]] = {}
        for change in changes:
            if isinstance(change, SourceChange):
                self._set_source(change.state)
            elif not self._holds_odds:
                continue  # resumed at a bare cursor: an empty map is better than part of one
            elif isinstance(change, EventChange):
                self._apply_event(change)
            else:
                self._apply_market(change, touched)

    def _end(self, end: pb.ReplayEnd) -> None:
        self._follow(end.prev_revision, end.cursor)
        self._no_image("the end")
        self.cursor = decode.cursor(end.cursor)
        self.ended = True

    def _no_image(self, what: str) -> None:
        if self._image_due:
            raise StreamGap(f"{what} came in place of the image that was announced")

    def _set_source(self, state: SourceState) -> None:
        """Replace a source's state, and mark its odds as stale unless it is up."""
        held = self._sources.get(state.source)
        self._sources[state.source] = state
        if held is not None and held.status is state.status:
            return
        stale = state.status is not SourceStatus.UP
        for event_id, entry in self._events.items():
            marked = {
                key: replace(odds, stale=stale)
                for key, odds in entry.bookmakers.items()
                if odds.source == state.source and odds.stale is not stale
            }
            if marked:
                self._events[event_id] = EventOdds(entry.event, {**entry.bookmakers, **marked})

    def _apply_event(self, change: EventChange) -> None:
        held = self._events.get(change.event_id)
        if change.kind is ChangeKind.EVENT_ENDED or change.reason == LEFT_FILTER:
            self._events.pop(change.event_id, None)
        elif held is None:
            self._events[change.event_id] = EventOdds(change.event, {})
        else:
            self._events[change.event_id] = EventOdds(change.event, held.bookmakers)

    def _apply_market(
        self,
        change: MarketChange,
        touched: dict[tuple[str, BookmakerKey], dict[MarketKey, Market]],
    ) -> None:
        """Apply a change of one market.

        Args:
            change: The change.
            touched: The markets copied for this message, which may be changed in place.
        """
        entry = self._events.get(change.event_id)
        if entry is None:
            raise StreamGap(f"a market of event {change.event_id}, which was never announced")
        place = change.source, change.bookmaker
        held = entry.bookmakers.get(place)
        at = change.event_id, place
        markets = touched.get(at)
        if markets is None or held is None or held.markets is not markets:
            markets = dict(held.markets) if held is not None else {}
            touched[at] = markets
        if change.after.status is MarketStatus.REMOVED:
            markets.pop(change.key, None)
        else:
            markets[change.key] = change.after
        bookmakers = dict(entry.bookmakers)
        if markets:
            bookmakers[place] = _moved(held, change, markets)
        else:
            bookmakers.pop(place, None)
        self._events[change.event_id] = EventOdds(entry.event, bookmakers)


def _joined(held: EventOdds, more: EventOdds) -> EventOdds:
    """Join two parts of one event; a bookmaker with many markets may be in both."""
    bookmakers = dict(held.bookmakers)
    for place, odds in more.bookmakers.items():
        before = bookmakers.get(place)
        if before is not None:
            odds = replace(odds, markets={**before.markets, **odds.markets})
        bookmakers[place] = odds
    return EventOdds(more.event, bookmakers)


def _known(change: Change | UnknownChange) -> Change:
    if isinstance(change, UnknownChange):
        raise StreamGap(f"the odds of change {change.revision} are not known")
    return change


def _moved(
    held: BookmakerOdds | None, change: MarketChange, markets: dict[MarketKey, Market]
) -> BookmakerOdds:
    """Return a bookmaker's odds after a change; the change confirms its other markets too."""
    snapshot_id = change.snapshot_id or (held.snapshot_id if held is not None else 0)
    observed_at = change.observed_at
    if held is None:
        return BookmakerOdds(
            snapshot_id=snapshot_id,
            event_id=change.event_id,
            source=change.source,
            bookmaker=change.bookmaker,
            observed_at=observed_at,
            confirmed_at=observed_at,
            source_updated_at=change.after.source_updated_at,
            markets=markets,
        )
    return replace(
        held,
        snapshot_id=snapshot_id,
        observed_at=max(observed_at, held.observed_at),
        confirmed_at=max(observed_at, held.confirmed_at),
        source_updated_at=change.after.source_updated_at or held.source_updated_at,
        markets=markets,
        stale=False,
    )


def _by_name(states: Iterable[pb.SourceState]) -> dict[str, SourceState]:
    return {state.source: decode.source_state(state) for state in states}
