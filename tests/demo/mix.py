"""The mix of changes between consecutive bodies, for recorded and simulated series."""

from collections.abc import Iterable
from typing import Final

import msgspec

FEATURED: Final = frozenset({"h2h", "spreads", "totals"})  # what the recorded series have
FLICKER_POLLS: Final = 3


class Outcome(msgspec.Struct):
    name: str
    price: float
    point: float | None = None


class Market(msgspec.Struct):
    key: str
    last_update: str
    outcomes: list[Outcome]


class Book(msgspec.Struct):
    key: str
    markets: list[Market]


class Event(msgspec.Struct):
    id: str
    home_team: str
    bookmakers: list[Book]


class Mix(msgspec.Struct, frozen=True):
    """Shares of changes.

    Departures are per poll and present thing; flickers are shares of departures.
    """

    changed: float  # of markets seen in two bodies in a row
    line_moves: float  # of changes
    stamps_moved: float  # of unchanged markets
    market_departures: float  # of (event, bookmaker, market) while its bookmaker stayed
    bookmaker_departures: float  # of (event, bookmaker) while its event stayed
    event_departures: float
    market_flickers: float  # back within FLICKER_POLLS polls
    bookmaker_flickers: float
    event_flickers: float


class _Departures:
    """Things that come and go."""

    def __init__(self) -> None:
        self.standing = 0
        self.departed = 0
        self.flickered = 0
        self._gone: dict[object, int] = {}

    def poll(self, number: int, gone: set[object], present: set[object]) -> None:
        self.standing += len(present)
        self.departed += len(gone)
        for thing in [thing for thing in self._gone if thing in present]:
            self.flickered += number - self._gone.pop(thing) <= FLICKER_POLLS
        self._gone.update(dict.fromkeys(gone, number))

    @property
    def share(self) -> float:
        return self.departed / self.standing

    @property
    def flickers(self) -> float:
        return self.flickered / self.departed if self.departed else 0.0


def measure(bodies: Iterable[bytes]) -> Mix:
    """Return the mix of at least two bodies of one sport, without alternates and players."""
    changed = both = line_moves = still = stamps_moved = 0
    markets, books, events = _Departures(), _Departures(), _Departures()
    before: dict[tuple[str, str, str], tuple[object, object, str]] | None = None
    books_before: set[tuple[str, str]] = set()
    events_before: set[str] = set()
    for number, body in enumerate(bodies):
        decoded = msgspec.json.decode(body, type=list[Event])
        now = {
            (event.id, book.key, market.key): _odds(event, market)
            for event in decoded
            for book in event.bookmakers
            for market in book.markets
            if market.key in FEATURED
        }
        books_now = {(event.id, book.key) for event in decoded for book in event.bookmakers}
        events_now = {event.id for event in decoded}
        if before is not None:
            for triple in before.keys() & now.keys():
                (line_was, odds_were, stamp_was), (line, odds, stamp) = before[triple], now[triple]
                both += 1
                if odds_were != odds:
                    changed += 1
                    line_moves += line_was != line
                else:
                    still += 1
                    stamps_moved += stamp_was != stamp
            markets.poll(
                number,
                {t for t in before.keys() - now.keys() if t[:2] in books_now},
                set(now),
            )
            books.poll(
                number, {b for b in books_before - books_now if b[0] in events_now}, set(books_now)
            )
            events.poll(number, set(events_before - events_now), set(events_now))
        before, books_before, events_before = now, books_now, events_now
    return Mix(
        changed=changed / both,
        line_moves=line_moves / changed,
        stamps_moved=stamps_moved / still,
        market_departures=markets.share,
        bookmaker_departures=books.share,
        event_departures=events.share,
        market_flickers=markets.flickers,
        bookmaker_flickers=books.flickers,
        event_flickers=events.flickers,
    )


def _odds(event: Event, market: Market) -> tuple[object, object, str]:
    """Return the line (the home side's, or of totals), the odds in any order, and the stamp."""
    line = next(
        (o.point for o in market.outcomes if o.name in (event.home_team, "Over")),
        None,
    )
    odds = sorted((o.name, o.price, o.point or 0.0) for o in market.outcomes)
    return line, odds, market.last_update
