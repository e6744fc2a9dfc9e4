"""The events of a GetOdds reply; those that are as in the last reply are copied from it.

Under steady scraping, some odds have changed whenever a page of events is asked for again, but few
of this page. The bytes of all others are right until their event changes, something of it is
stored, or its odds grow stale.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias
from weakref import ref

from msgspec import Struct

from odds_service.model.overround import standing_terms
from odds_service.model.snapshot import EventOdds, Reading
from odds_service.serving.odds import NEVER_STORED, Look, OddsView
from odds_service.wire.encode import reply_event

_LONGEST_S: Final = 3_600.0  # bytes of an event are encoded anew after this time at the latest
_MARGIN_S: Final = 0.001  # for the rounding of times


class Encoded(NamedTuple):
    """The bytes of an event: what they were made of, and how long they are right.

    Attributes:
        entry: The event. A reply keeps no odds in memory that have left the cache.
        looks: Source, time on the boot clock, and number of bookmakers of each look at its odds.
        stored: The newest snapshot that was stored; 0 without one.
        unstored: The oldest snapshot that was not.
        until_s: The time of the wall clock, since 1970, from which its odds may have another
            standing.
        until_boot_s: The same on the boot clock.
    """

    entry: ref[EventOdds]
    looks: list[tuple[str, float, int]]
    stored: int
    unstored: int
    until_s: float
    until_boot_s: float


_Place: TypeAlias = tuple[Encoded, int, int]  # with the first byte in the reply, and the end


class LastEvents(Struct, frozen=True):
    """The events of a request's last reply.

    Attributes:
        reply: The whole message.
        places: Event id -> its place.
        terms: The standing_terms() of the sources.
        now: The clocks by which staleness was judged.
    """

    reply: bytes
    places: Mapping[str, _Place]
    terms: Mapping[str, tuple[object, ...]]
    now: Reading


class ReplyEvents:
    """The events of one reply in the making.

    Args:
        view: The selected odds.
        last: The events of the last reply to an equal request; None to encode all anew.
        keep: Whether `last_events` will be asked for.

    Attributes:
        size: The bytes so far.
    """

    def __init__(self, view: OddsView, last: LastEvents | None, *, keep: bool) -> None:
        self._view = view
        self._fields: list[bytes | memoryview] = []
        self.size = 0
        self._keep = keep
        self._last: Mapping[str, _Place] = {}
        self._from = self._upto = 0  # bytes of the last reply that are to be copied next
        if not keep:
            return
        now, cached = view.now, view.cached
        self._places: dict[str, _Place] = {}
        self._terms = standing_terms(cached.sources)
        self._durable = cached.durable_revision
        self._now_s, self._boot_s = now.wall.timestamp(), now.boot_s or 0.0
        if last is not None and last.terms == self._terms and _follows(now, last.now):
            self._last, self._reply = last.places, memoryview(last.reply)

    def add(self, entry: EventOdds, best: bytes = b"") -> None:
        """Add an event. `best`: its best prices, as fields."""
        held = self._last.get(entry.event.id)
        if held is not None and self._holds(held[0], entry):
            encoded, begin, end = held
            if begin != self._upto:
                self._copy()
                self._from = begin
            self._upto = end
            size = end - begin
            ages = self._view.ages
            if ages is not None:
                for source, confirmed_boot_s, bookmakers in encoded.looks:
                    ages.add(entry.sources.get(source), confirmed_boot_s, bookmakers)
        else:
            self._copy()
            looks: list[Look] = []
            fields = self._view.event_fields(entry, looks)
            if best:
                fields.append(best)
            payload = sum(map(len, fields))
            beginning = reply_event(payload)
            self._fields.append(beginning)
            self._fields += fields
            size = len(beginning) + payload
            if not self._keep:
                self.size += size
                return
            encoded = self._encoded(entry, looks)
        self._places[entry.event.id] = encoded, self.size, self.size + size
        self.size += size

    def fields(self) -> list[bytes | memoryview]:
        """Return the events as fields of GetOddsResponse, in pieces to be joined."""
        self._copy()
        return self._fields

    def last_events(self, reply: bytes) -> LastEvents:
        """Return the events for the next reply. `reply`: the whole message, events first."""
        return LastEvents(reply, self._places, self._terms, self._view.now)

    def _copy(self) -> None:
        if self._upto > self._from:
            self._fields.append(self._reply[self._from : self._upto])
        self._from = self._upto = 0

    def _holds(self, encoded: Encoded, entry: EventOdds) -> bool:
        return (
            encoded.entry() is entry
            and encoded.stored <= self._durable < encoded.unstored
            and self._now_s < encoded.until_s
            and self._boot_s < encoded.until_boot_s
        )

    def _encoded(self, entry: EventOdds, looks: list[Look]) -> Encoded:
        lasts_s, stored, unstored = _LONGEST_S, 0, NEVER_STORED
        counts = []
        for look in looks:
            lasts_s = min(lasts_s, look.lasts_s)
            stored, unstored = max(stored, look.stored), min(unstored, look.unstored)
            counts.append((look.odds.source, look.odds.confirmed_boot_s, look.bookmakers))
        lasts_s -= _MARGIN_S
        until_s, until_boot_s = self._now_s + lasts_s, self._boot_s + lasts_s
        return Encoded(ref(entry), counts, stored, unstored, until_s, until_boot_s)


def _follows(now: Reading, before: Reading) -> bool:
    """Return whether standings that lasted until `before` may be judged by time alone."""
    return (
        before.wall <= now.wall
        and (before.boot_s is None) is (now.boot_s is None)
        and before.distrust_before_s == now.distrust_before_s
    )
