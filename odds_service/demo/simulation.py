"""The simulated events of a sport, which arrive, get odds from bookmakers, start and leave.

The Odds API cannot express "suspended": a body omits everything that cannot be bet on. So
removals and flickers are absences here, short or long, of a line, a market, a bookmaker or an
event. A goal's break is one in this shape too; a source that can say so shows suspended markets
(`second.py`).
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final

import msgspec

from odds_service.demo import names
from odds_service.demo.settings import Happening, SimulationSettings
from odds_service.demo.walk import Fair, Sides, WalkingMarket, chosen, open_markets

MOST_CATCH_UP_STEPS: Final = 20  # after a pause, by clock; further steps are skipped
POSTPONED_SHARE: Final = 0.000_3  # of events before their start, per step
TEAMS: Final = 200
GOAL_STEP: Final = 0.2  # of the fair odds at a goal, in probability
DRIFT_STEP: Final = 0.006  # of the fair odds at each step of a drift
POSTPONED_BY: Final = timedelta(hours=2)


class EventFields(msgspec.Struct, frozen=True):
    """An event in `/events`, and the head of its odds."""

    id: str
    sport_key: str
    sport_title: str
    commence_time: str
    home_team: str
    away_team: str


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The filter of a request; an empty event set and a time of None do not restrict."""

    bookmakers: Collection[str]
    markets: Collection[str]
    event_ids: Collection[str] = ()
    start_from: datetime | None = None
    start_to: datetime | None = None
    american: bool = False
    bookmaker_stamps: bool = True  # the event endpoint leaves the bookmaker's `last_update` out


class Book:
    """One bookmaker on one event."""

    __slots__ = ("absent_until", "head", "key", "lag_s", "markets", "stamp")

    def __init__(self, key: str, title: str, lag_s: int, markets: list[WalkingMarket]) -> None:
        self.key = key
        self.lag_s = lag_s
        self.markets = markets
        self.absent_until = 0
        self.stamp = b""
        self.head = msgspec.json.encode({"key": key, "title": title})[:-1]


class SimulatedEvent:
    """One event with all its bookmakers."""

    __slots__ = (
        "absent_until", "books", "broken_until", "fair", "fields", "head", "markets",
        "slots", "start",
    )  # fmt: skip

    def __init__(self, fields: EventFields, start: datetime, fair: Fair, books: list[Book]) -> None:
        self.absent_until = 0
        self.broken_until = 0  # until then the event is listed without odds
        self.fair = fair
        self.books = books
        self.markets = [market for book in books for market in book.markets]
        self.slots = [
            (market, index) for market in self.markets for index in range(len(market.slots))
        ]
        self.fields = fields
        self.set_start(start)

    def set_start(self, start: datetime) -> None:
        """Set the start of the event."""
        self.start = start
        self.fields = msgspec.structs.replace(self.fields, commence_time=iso(start))
        self.head = msgspec.json.encode(self.fields)[:-1] + b',"bookmakers":['


class SimulatedSport:
    """The events of a sport, which advance step by step; each body shows one complete step.

    All randomness comes from one generator, seeded with the settings' seed and the sport's key. So
    the n-th step after a given start is always the same.
    """

    def __init__(
        self, sport: names.Sport, events: int, settings: SimulationSettings, start: datetime
    ) -> None:
        self.sport = sport
        self._settings = settings
        self._rng = Random(f"{settings.seed}:{sport.key}")
        self._staging = Random(
            f"{settings.seed}:{sport.key}:happenings"
        )  # leaves the walk as it is
        self._staged: dict[Happening, SimulatedEvent] = {}
        self._start = start.replace(microsecond=0)
        self._step = 0
        self._walked = (
            0  # steps except empty bodies and the bodies after them; absences are measured in it
        )
        self._empty = False
        self._calm = False
        self._bookmakers = names.bookmakers(settings.bookmakers)
        self.events = [self._open_event(arriving=False) for _ in range(events)]
        self._stamp_all()

    @property
    def now(self) -> datetime:
        """Return the simulated time of the current step."""
        return self._start + self._step * self._settings.step

    def poll(self, now: datetime) -> None:
        """Advance by the settings' pace: one step, or to the step that is due at ``now``."""
        if self._settings.pace == "poll":
            self._advance()
            return
        due = (now - self._start) // self._settings.step
        self._step = max(self._step, due - MOST_CATCH_UP_STEPS)
        while self._step < due:
            self._advance()

    def listed(self) -> list[EventFields]:
        """Return the heads of offered()."""
        return [event.fields for event in self.offered()]

    def odds(self, wanted: Wanted) -> list[bytes]:
        """Return the odds of all events as the pieces of one JSON array."""
        pieces = [b"["]
        for event in self.offered():
            if wanted.event_ids and event.fields.id not in wanted.event_ids:
                continue
            if wanted.start_from is not None and event.start < wanted.start_from:
                continue
            if wanted.start_to is not None and event.start > wanted.start_to:
                continue
            if len(pieces) > 1:
                pieces.append(b",")
            pieces.append(self._event_odds(event, wanted))
        pieces.append(b"]")
        return pieces

    def event_odds(self, event_id: str, wanted: Wanted) -> bytes | None:
        """Return the odds of one event as a JSON object; None if it is not on offer."""
        for event in self.offered():
            if event.fields.id == event_id:
                return self._event_odds(event, wanted)
        return None

    def offered(self) -> list[SimulatedEvent]:
        """Return the events on offer at this step, by start."""
        if self._empty:
            return []
        return sorted(
            (event for event in self.events if event.absent_until <= self._walked),
            key=lambda event: event.start,
        )

    def _event_odds(self, event: SimulatedEvent, wanted: Wanted) -> bytes:
        books = []
        for book in event.books:
            if self.is_broken(event) or book.key not in wanted.bookmakers:
                continue
            markets = []
            for market in self._present(book):
                if market.key not in wanted.markets:
                    continue
                if outcomes := market.outcomes(american=wanted.american):
                    markets.append(
                        b'{"key":"%b","last_update":"%b","outcomes":[%b]}'
                        % (market.key.encode("ascii"), market.stamp, outcomes)
                    )
            if markets:
                stamp = b',"last_update":"%b"' % book.stamp if wanted.bookmaker_stamps else b""
                books.append(book.head + stamp + b',"markets":[' + b",".join(markets) + b"]}")
        return event.head + b",".join(books) + b"]}"

    def is_broken(self, event: SimulatedEvent) -> bool:
        """Return whether bookmakers take no bets on an event for now, since there was a goal."""
        return event.broken_until > self._walked

    def markets_of(self, event: SimulatedEvent, bookmaker: str) -> list[WalkingMarket]:
        """Return the markets that a bookmaker has on an event, whether bets are taken or not."""
        return [
            market
            for book in event.books
            if book.key == bookmaker
            for market in self._present(book)
        ]

    def _present(self, book: Book) -> list[WalkingMarket]:
        if book.absent_until > self._walked:
            return []
        return [market for market in book.markets if market.absent_until <= self._walked]

    def _advance(self) -> None:
        """Advance by one step: all events, then all stamps."""
        settings, rng = self._settings, self._rng
        self._step += 1
        if self._empty:
            # Odds that are missing from a transient empty list return unchanged.
            self._empty, self._calm = False, True
        else:
            self._calm = False
            self._empty = rng.random() < settings.empty_share
        if self._empty or self._calm:
            if self._calm:
                self._stamp_all()
            return
        self._walked += 1
        now = self.now
        in_play = timedelta(seconds=settings.in_play_s)
        for index, event in enumerate(self.events):
            if now >= event.start + in_play:
                self.events[index] = self._open_event(arriving=True)
            else:
                self._move(event, now)
        for happening in settings.happenings:
            self._stage(happening, now)
        self._stamp_all()

    def _move(self, event: SimulatedEvent, now: datetime) -> None:
        settings, rng, step = self._settings, self._rng, self._walked
        in_play = now >= event.start
        if not in_play and rng.random() < POSTPONED_SHARE:
            event.set_start(event.start + timedelta(seconds=settings.in_play_s))
        if event.absent_until <= step and rng.random() < settings.event_absence_share:
            event.absent_until = step + self._absence_steps()
        for book in event.books:
            if book.absent_until <= step and rng.random() < settings.bookmaker_absence_share:
                book.absent_until = step + self._absence_steps()
        for index in chosen(len(event.markets), settings.market_absence_share, rng):
            if event.markets[index].absent_until <= step:
                event.markets[index].absent_until = step + self._absence_steps()
        for market in event.markets:
            market.return_due(step)
        for index in chosen(len(event.slots), settings.line_absence_share, rng):
            market, slot = event.slots[index]
            if len(market.slots) > 1:
                market.hide(slot, step + self._absence_steps())
        for index in chosen(len(event.books), settings.outcome_absence_share, rng):
            event.books[index].markets[0].drop_draw(step + self._absence_steps())
        event.fair.drift(rng)
        share = settings.in_play_change_share if in_play else settings.change_share
        for index in chosen(len(event.slots), share, rng):
            market, slot = event.slots[index]
            market.move(slot, rng, settings.line_move_share)
            market.stamp = b""  # a change always gets a new stamp

    def _stage(self, happening: Happening, now: datetime) -> None:
        """Begin a happening at its time, or go on with one that lasts."""
        since_s = self._step * self._settings.step_s - happening.at_s
        if happening.every_s and since_s >= 0:
            since_s %= happening.every_s
        if 0 <= since_s < self._settings.step_s:
            self._begin(happening, now)
        elif happening in self._staged and not 0 <= since_s < happening.lasts_s:
            del self._staged[happening]
        if (event := self._staged.get(happening)) is None:
            return
        if happening.kind == "goal":  # bookmakers find their new prices while they take no bets
            self._reprice(event.slots)
        elif happening.kind == "drift":
            event.fair.home += -DRIFT_STEP if event.fair.home > 0.5 else DRIFT_STEP
            followers = event.books[self._step % 2 :: 2]
            self._reprice([(book.markets[0], 0) for book in followers])

    def _begin(self, happening: Happening, now: datetime) -> None:
        begun = sorted(
            (event for event in self.events if event.start <= now), key=lambda event: event.start
        )
        to_come = sorted(
            (event for event in self.events if event.start > now), key=lambda event: event.start
        )
        match happening.kind:
            case "goal" if begun:
                event = self._staging.choice(begun)
                event.broken_until = self._walked + round(happening.lasts_s / self._settings.step_s)
                event.fair.score(self._staging.choice((GOAL_STEP, -GOAL_STEP)))
                self._staged[happening] = event
            case "drift" if to_come:
                self._staged[happening] = max(to_come, key=lambda each: abs(each.fair.home - 0.5))
            case "postponed" if to_come:
                to_come[0].set_start(to_come[0].start + POSTPONED_BY)
            case "ended" if begun:
                self.events[self.events.index(begun[0])] = self._open_event(arriving=True)

    def _reprice(self, slots: list[tuple[WalkingMarket, int]]) -> None:
        for market, slot in slots:
            market.move(slot, self._staging, 0.0)
            market.stamp = b""

    def _absence_steps(self) -> int:
        settings, rng = self._settings, self._rng
        if rng.random() < settings.flicker_share:
            return rng.randint(1, settings.flicker_steps)
        return rng.randint(settings.flicker_steps, settings.absence_steps)

    def _stamp_all(self) -> None:
        """Move `last_update` of nearly every market, changed or not, as the real API does."""
        now, share, rng = self.now, self._settings.still_share, self._rng
        stamps: dict[int, bytes] = {}

        def stamp(lag_s: int) -> bytes:
            if lag_s not in stamps:
                stamps[lag_s] = iso(now - timedelta(seconds=lag_s)).encode("ascii")
            return stamps[lag_s]

        for event in self.events:
            still = set(chosen(len(event.markets), share, rng))
            number = 0
            for book in event.books:
                book.stamp = stamp(book.lag_s)
                for market in book.markets:
                    if number not in still or not market.stamp:
                        # Some markets are older than their bookmaker says.
                        market.stamp = stamp(book.lag_s + number % 3)
                    number += 1

    def _open_event(self, *, arriving: bool) -> SimulatedEvent:
        """Create an event: an arriving one before its start, an initial one at any stage."""
        settings, rng, sport = self._settings, self._rng, self.sport
        earliest = settings.lead_s / 2 if arriving else -settings.in_play_s
        start = self.now + timedelta(seconds=rng.uniform(earliest, settings.lead_s))
        home, away = rng.sample(range(TEAMS), 2)
        sides = Sides(names.team(home), names.team(away), sport.draw)
        # Real bookmakers offer a two-way h2h also in sports with a draw.
        two_way = msgspec.structs.replace(sides, draw=False)
        fair = Fair(sport, rng)
        books = []
        for number, (key, title) in enumerate(self._bookmakers):
            markets = open_markets(
                settings.markets_per_bookmaker,
                sport,
                two_way if number % 6 == 5 else sides,
                fair,
                rng,
            )
            books.append(Book(key, title, 2 * number, markets))
        fields = EventFields(
            f"{rng.getrandbits(128):032x}", sport.key, sport.title, "", sides.home, sides.away
        )
        return SimulatedEvent(fields, start.replace(microsecond=0), fair, books)


def iso(time: datetime) -> str:
    """Format a time like The Odds API: UTC, whole seconds, ``Z``."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
