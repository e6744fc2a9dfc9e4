"""The one gate between the sources and the service.

Every observation and every offer passes it before anything else sees it, from built-in sources and
plug-ins alike. Values behind the gate can be compared, stored, encoded, shown and read back. The
gate leaves out the smallest wrong part and counts it by name; the parts beside it stay. A part that
was left out is not gone: it is marked `unreadable` one level up.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import trio
from msgspec import Struct
from msgspec.structs import replace

from odds_service.errors import SourceError
from odds_service.model.event import EventStatus
from odds_service.model.observation import (
    ANY,
    Completeness,
    Observation,
    ObservedBookmaker,
    ObservedEvent,
)
from odds_service.model.source import BAD_OBSERVATION, NOTHING_READ
from odds_service.model.text import counted, told
from odds_service.sources.base import Offer, Pull
from odds_service.sources.failures import MOST_REASON_CHARS
from odds_service.sources.fields import FIRST_TIME, Wrong, checks_of, counts, repaired, utc
from odds_service.sources.left_out import count_left_out, name_in, unreadable_names
from odds_service.sources.market_gate import MarketGate
from odds_service.sources.sample_gate import samples

MOST_BOOKMAKERS: Final = 1_000  # per event
MOST_PULLS: Final = 100_000  # per offer
MOST_COST: Final = 1e6  # credits of one fetch
_STRETCH: Final = 16  # events between two checkpoints: keeps pauses short

_OBSERVATION: Final = checks_of(
    Observation,
    walked=frozenset({"events", "unreadable", "reason", "started_at", "observed_at", "tier"})
    | {"unmapped_samples"},
)
_EVENT: Final = checks_of(
    ObservedEvent,
    names=frozenset({"home", "away", "title"}),
    walked=frozenset({"bookmakers", "unreadable"}),
)
_PULL: Final = checks_of(Pull)


class Limits(Struct, frozen=True, kw_only=True):
    """Upper bounds on the data of one source; see the settings' section `limits`."""

    max_events: int = 20_000
    max_markets: int = 10_000
    max_retry_after_s: float = 3_600.0

    @classmethod
    def among(cls, bounds: Mapping[str, Any]) -> "Limits":
        """Return these limits from a table that holds others too, such as `limits` of settings."""
        return cls(**{name: bounds[name] for name in cls.__struct_fields__})


class Gate:
    """The gate of one source.

    Args:
        source: the name that its observations must have.
        limits: bounds of one observation; the excess is cut and counted.
    """

    def __init__(self, source: str, limits: Limits = Limits()) -> None:  # immutable
        self._source = source
        self._limits = limits
        self._markets = MarketGate(limits.max_markets)

    async def admit(
        self,
        given: object,
        problems: Counter[str],
        *,
        started_at: datetime,
        observed_at: datetime,
    ) -> Observation:
        """Return the valid part of an observation, with checkpoints in between.

        Args:
            given: the value that the source returned, of any type.
            problems: incremented for everything that is wrong, also when this raises.
            started_at: start of the fetch, used if the source's own time is invalid.
            observed_at: end of the fetch, likewise.

        Raises:
            SourceError: of kind `bad_observation` or `wrong_shape`.

        Cancellation:
            Loses the observation.
        """
        for passed in self._pass(given, problems, started_at, observed_at):
            if passed is not None:
                return passed
            await trio.lowlevel.checkpoint()
        raise AssertionError("a pass ends with an observation")

    def check(
        self,
        given: object,
        problems: Counter[str],
        *,
        started_at: datetime,
        observed_at: datetime,
    ) -> Observation:
        """Do the same as `admit`, without checkpoints."""
        steps = self._pass(given, problems, started_at, observed_at)
        return next(passed for passed in steps if passed is not None)

    def offer(self, given: object) -> Offer:
        """Return the valid part of an offer.

        A wrong pull is left out and counted as `bad_pull`; a pull with a repeated key, as
        `repeated_pull`.

        Raises:
            SourceError: of kind `bad_observation`, or `wrong_shape` if all pulls are wrong.
        """
        if type(given) is not Offer or type(given.pulls) is not tuple:
            raise SourceError(BAD_OBSERVATION, f"expected an offer, got {told(given, 100)}")
        problems: Counter[str] = Counter()
        pulls: dict[str, Pull] = {}
        for each in given.pulls:
            try:
                if type(each) is not Pull:
                    raise Wrong("not a Pull", misuse=True)
                changes = repaired(each, _PULL, problems)
                pull = replace(each, **changes)
                if not pull.key:
                    raise Wrong("a pull without a key")
            except Exception as error:  # a source's values may run its own code
                count_left_out(problems, "bad_pull", error)
                continue
            if pulls.setdefault(pull.key, pull) is not pull:
                problems["repeated_pull"] += 1
            if len(pulls) >= MOST_PULLS:
                problems["too_many_pulls"] += 1
                break
        if given.pulls and not pulls:
            raise SourceError(NOTHING_READ, "none of the pulls could be read")
        try:
            problems.update(counts(given.problems))
        except Wrong:
            problems["bad_count"] += 1
        return Offer(tuple(pulls.values()), dict(problems))

    # -- an observation, from the outside inwards ----------------------------------------------

    def _pass(
        self, given: object, problems: Counter[str], started_at: datetime, observed_at: datetime
    ) -> Iterator[Observation | None]:
        """Check an observation; yield None after each stretch of events, then the result."""
        try:
            if type(given) is not Observation:
                raise Wrong(f"expected an observation, got {told(given, 100)}", misuse=True)
            changes = repaired(given, _OBSERVATION, problems)
            if given.source != self._source:
                raise Wrong(f"it is named {told(given.source, 100)!r}", misuse=True)
            if type(given.events) is not tuple:
                raise Wrong("its events are not a tuple", misuse=True)
        except Exception as error:  # a source's values may run its own code
            raise SourceError(BAD_OBSERVATION, told(error, MOST_REASON_CHARS)) from None
        for field, ours in (("started_at", started_at), ("observed_at", observed_at)):
            at = utc(getattr(given, field))
            if at is None:
                problems["bad_time"] += 1
            changes[field] = ours if at is None else at
        changes["reason"] = told(given.reason, MOST_REASON_CHARS)
        changes["tier"] = ""  # the scraper's to tell
        changes["unmapped_samples"] = samples(given.unmapped_samples, problems)
        problems.update(changes.get("problems", given.problems))
        cost: float | None = changes.get("cost", given.cost)
        if cost is not None and cost > MOST_COST:
            problems["bad_count"] += 1
            changes["cost"] = None
        before = problems[BAD_OBSERVATION]
        events: dict[str, ObservedEvent] = {}
        unreadable = unreadable_names(given.unreadable)
        if given.completeness is not Completeness.FAILED:
            for place, each in enumerate(given.events, 1):
                try:
                    event = self._event(each, problems)
                except Exception as error:
                    count_left_out(problems, "bad_event", error)
                    unreadable.add(name_in(each, "source_event_id"))
                else:
                    other = events.setdefault(event.source_event_id, event)
                    if other is not event:
                        problems["repeated_event"] += 1
                        events[event.source_event_id] = _newer(other, event)
                if place % _STRETCH == 0:
                    yield None
            self._require_something(given, events, unreadable, problems[BAD_OBSERVATION] > before)
        kept = list(events.values())
        if len(kept) > self._limits.max_events:
            problems["too_many_events"] += 1
            kept.sort(key=lambda event: (event.start_time, event.source_event_id))
            del kept[self._limits.max_events :]
            if given.completeness is Completeness.COMPLETE:
                changes["completeness"] = Completeness.PARTIAL
            if not changes["reason"]:
                changes["reason"] = f"cut to the first {counted(self._limits.max_events, 'event')}"
        changes |= {
            "events": tuple(kept),
            "unreadable": frozenset(unreadable - events.keys()),
            "problems": dict(problems),
        }
        yield replace(given, **changes)

    def _require_something(
        self,
        given: Observation,
        events: dict[str, ObservedEvent],
        unreadable: set[str],
        misused: bool,
    ) -> None:
        """Raise SourceError if the answer had parts and none of them could be read."""
        if misused and not any(
            shown.markets for event in events.values() for shown in event.bookmakers
        ):
            raise SourceError(BAD_OBSERVATION, "its values do not have the declared types")
        if not events and (given.events or unreadable):
            raise SourceError(NOTHING_READ, "nothing of the answer could be read")

    def _event(self, given: ObservedEvent, problems: Counter[str]) -> ObservedEvent:
        """Return an event without its wrong parts. Raises Wrong if nothing of it is usable."""
        if type(given) is not ObservedEvent or type(given.bookmakers) is not tuple:
            raise Wrong("not an ObservedEvent, or its bookmakers are not a tuple", misuse=True)
        self._markets.begin()
        changes = repaired(given, _EVENT, problems)
        if given.source_event_id in {"", ANY}:
            raise Wrong("an event without an id")
        if given.status is EventStatus.ENDED:
            raise Wrong("a shown event cannot have ended")
        unreadable = unreadable_names(given.unreadable)
        bookmakers: dict[str, ObservedBookmaker] = {}
        for each in given.bookmakers:
            try:
                shown = self._markets.bookmaker(each, problems)
            except Exception as error:
                count_left_out(problems, "bad_bookmaker", error)
                unreadable.add(name_in(each, "bookmaker"))
                continue
            if len(bookmakers) >= MOST_BOOKMAKERS:
                problems["too_many_bookmakers"] += 1
                unreadable.add(ANY)
                break
            if bookmakers.setdefault(shown.bookmaker, shown) is not shown:
                problems["repeated_bookmaker"] += 1
        changes["bookmakers"] = tuple(bookmakers.values())
        changes["unreadable"] = frozenset(unreadable - bookmakers.keys())
        return replace(given, **changes)


def _newer(one: ObservedEvent, other: ObservedEvent) -> ObservedEvent:
    """Return the newer of two events that an answer shows under one id, in either order.

    The newer event has the later time among its bookmakers; a tie goes to the one that sorts last
    as text.
    """
    if one == other:
        return one
    return max(one, other, key=lambda event: (_latest(event), repr(event)))


def _latest(event: ObservedEvent) -> datetime:
    times = [shown.source_updated_at for shown in event.bookmakers]
    times += [
        market.source_updated_at for shown in event.bookmakers for market in shown.markets.values()
    ]
    return max((at for at in times if at is not None), default=FIRST_TIME)
