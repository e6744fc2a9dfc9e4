"""A log of changes and its messages by the contract, without a server.

It shares no code with the service: events and markets are plain dicts, and the state at each
revision is stored as the revision is made.
"""

from collections.abc import Iterator
from typing import Final

from odds_service.client import OddsMap
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

EPOCH: Final = "e1"
EVENTS: Final = ("a", "b", "c")
BOOKMAKERS: Final = ("b1", "b2")
LINES: Final = (None, 0.0, 2.5)

# event -> (source, bookmaker, market, line) -> (status, price)
MarketId = tuple[str, str, str, float | None]
Shown = dict[str, dict[MarketId, tuple[int, float]]]


def held(odds: OddsMap) -> Shown:
    """Return a client's map in the shape of Shown."""
    return {
        event_id: {
            (source, bookmaker, key.market, float(key.line) if key.line else None): (
                int(market.status),
                market.outcomes[0].price or 0.0,
            )
            for (source, bookmaker), shown in entry.bookmakers.items()
            for key, market in shown.markets.items()
        }
        for event_id, entry in odds.events.items()
    }


class Log:
    """A log of changes, with the state after each."""

    def __init__(self) -> None:
        self.changes: list[pb.Change] = []
        self.states: list[Shown] = [{}]  # by revision

    @property
    def head(self) -> int:
        return len(self.changes)

    @property
    def now(self) -> Shown:
        return self.states[-1]

    def toggle_event(self, event_id: str) -> None:
        """Add an event, or end a present one with all its markets."""
        state = dict(self.now)
        ends = state.pop(event_id, None) is not None
        if not ends:
            state[event_id] = {}
        kind = pb.CHANGE_KIND_EVENT_ENDED if ends else pb.CHANGE_KIND_EVENT_ADDED
        self._append(
            pb.Change(kind=kind, event_id=event_id, source="s", event=pb.Event(id=event_id)), state
        )

    def leave_filter(self, event_id: str) -> None:
        """Append the last change with which an event leaves the filter."""
        if event_id not in self.now:
            return
        state = dict(self.now)
        del state[event_id]
        change = pb.Change(
            kind=pb.CHANGE_KIND_EVENT_UPDATED,
            event_id=event_id,
            event=pb.Event(id=event_id),
            reason="left_filter",
        )
        self._append(change, state)

    def show(self, event_id: str, place: MarketId, status: int, price: float) -> None:
        """Set, suspend or remove a market; add its event if it is missing."""
        if event_id not in self.now:
            self.toggle_event(event_id)
        markets = dict(self.now[event_id])
        before = markets.pop(place, None)
        source, bookmaker, _, _ = place
        change = pb.Change(
            kind=pb.CHANGE_KIND_PRICES, event_id=event_id, source=source, bookmaker=bookmaker
        )
        if before is not None:
            change.before.CopyFrom(_market(place, *before))
        change.after.CopyFrom(_market(place, status, price))
        if status == pb.MARKET_STATUS_REMOVED:
            change.kind = pb.CHANGE_KIND_REMOVED
            del change.after.outcomes[:]
        else:
            markets[place] = status, price
        self._append(change, {**self.now, event_id: markets})

    def _append(self, change: pb.Change, state: Shown) -> None:
        change.revision = self.head + 1
        self.changes.append(change)
        self.states.append(state)

    def cursor(self, revision: int) -> pb.Cursor:
        return pb.Cursor(epoch=EPOCH, revision=revision)


def _market(place: MarketId, status: int, price: float) -> pb.Market:
    _, _, market, line = place
    return pb.Market(
        key=pb.MarketKey(market=market, line=line),
        status=pb.MarketStatus.Name(status),  # type: ignore[arg-type]  # a name is taken too
        outcomes=[pb.Outcome(key="home", name="Home", price=price, active=True)],
    )


class Server:
    """One stream of a log, message by message."""

    def __init__(self, log: Log, request: pb.WatchChangesRequest, *, too_old: bool = False) -> None:
        self._log = log
        self._sent = log.head
        self.at = log.head
        self._resume = request.resume.revision if request.HasField("resume") else None
        self.imaging = self._resume is None or too_old

    def open(self) -> pb.WatchChangesResponse:
        if not self.imaging and self._resume is not None:
            self.at = self._sent = self._resume
        opened = pb.Opened(
            cursor=self._log.cursor(self.at),
            intent=pb.INTENT_IMAGE if self.imaging else pb.INTENT_CHANGES,
            reason=pb.INTENT_REASON_TOO_OLD if self.imaging else pb.INTENT_REASON_RESUMED,
        )
        return pb.WatchChangesResponse(opened=opened)

    def image(self) -> Iterator[pb.WatchChangesResponse]:
        """Yield an image of the current state, with one market in each piece."""
        cursor = self._log.cursor(self._log.head)
        state = self._log.now
        begin = pb.ImageBegin(cursor=cursor, prev_revision=self._sent)
        self.at = self._sent = cursor.revision
        yield pb.WatchChangesResponse(image_begin=begin)
        number = markets = 0
        for event_id, shown in state.items():
            event = pb.Event(id=event_id)
            entries = [pb.EventOdds(event=event)]
            by_bookmaker: dict[tuple[str, str], pb.BookmakerOdds] = {}
            for place, (status, price) in shown.items():
                odds = by_bookmaker.setdefault(
                    place[:2], pb.BookmakerOdds(source=place[0], bookmaker=place[1])
                )
                odds.markets.append(_market(place, status, price))
                markets += 1
            entries += [pb.EventOdds(event=event, bookmakers=[o]) for o in by_bookmaker.values()]
            for entry in entries:
                number += 1
                yield pb.WatchChangesResponse(
                    image=pb.Image(
                        events=[entry], cursor=cursor, prev_revision=self._sent, piece=number
                    )
                )
        end = pb.ImageEnd(
            cursor=cursor,
            prev_revision=self._sent,
            pieces=number,
            events=len(state),
            markets=markets,
        )
        self.imaging = False
        yield pb.WatchChangesResponse(image_end=end)

    def changes(self, count: int) -> pb.WatchChangesResponse:
        """Return the next changes of the log."""
        changes = self._log.changes[self.at : self.at + count]
        self.at += len(changes)
        message = pb.Changes(
            changes=changes, prev_revision=self._sent, cursor=self._log.cursor(self.at)
        )
        self._sent = self.at
        return pb.WatchChangesResponse(changes=message)

    def heartbeat(self) -> pb.WatchChangesResponse:
        cursor = self._log.cursor(self.at)
        beat = pb.Heartbeat(cursor=cursor, prev_revision=self._sent)
        return pb.WatchChangesResponse(heartbeat=beat)

    def lagged(self) -> pb.WatchChangesResponse:
        """Return the message that announces another image."""
        lagged = pb.Lagged(
            lost_from=self.at + 1,
            lost_to=self._log.head,
            cursor=self._log.cursor(self.at),
            prev_revision=self._sent,
            reason=pb.INTENT_REASON_TOO_OLD,
        )
        self.imaging = True
        return pb.WatchChangesResponse(lagged=lagged)
