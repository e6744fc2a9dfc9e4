"""Stored rows of the log as columns of PRICES; no value is made of a row, market or price."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any, Final

from odds_service.columns.arrow import arrow_schema, pyarrow
from odds_service.columns.decoding import (
    AT,
    KINDS,
    NO_OUTCOME,
    UNSTORED,
    Numbers,
    Odds,
    Outcome,
    Row,
    decoded,
    ended_rows,
    event_of,
)
from odds_service.columns.schema import PRICES
from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.model.change import ChangeKind
from odds_service.model.event import Event
from odds_service.model.market import MarketStatus
from odds_service.store import LOG_COLUMNS

_STATUS: Final = {int(status): status.name.lower() for status in MarketStatus}
_LAST_OF_MARKETS: Final = int(ChangeKind.REMOVED)
_LAST_OF_EVENTS: Final = int(ChangeKind.EVENT_ENDED)
_KIND, _EVENT = AT["kind"], AT["event_id"]
_SOURCE, _BOOKMAKER, _MARKET = AT["source"], AT["bookmaker"], AT["market"]

Outcomes = list[Outcome]


class PriceColumns:
    """A maker of columns from consecutive rows of the log.

    It follows the events, as each row shows its event as of its revision. An event whose odds come
    before any change of it must be described first: see unknown().

    Args:
        selection: The rows to choose, each by its own event as of its revision.

    Raises:
        SettingsError: The extra is not installed.
    """

    def __init__(self, selection: Selection = EVERYTHING) -> None:
        self._pa = pyarrow()
        self._schema = arrow_schema(PRICES)
        self._types = {field.name: field.type for field in self._schema}
        self._selection = selection
        self._events: dict[str, Event | None] = {}
        self._numbers = Numbers()

    def unknown(self, rows: Iterable[Row]) -> list[str]:
        """Return the events that describe() needs before columns are made of these rows."""
        named = set(map(itemgetter(_EVENT), rows)) - {""}
        if named <= self._events.keys():
            return []
        seen = set(self._events)
        found = []
        for row in rows:
            event_id = row[_EVENT]
            if event_id and event_id not in seen:
                seen.add(event_id)
                if row[_KIND] <= _LAST_OF_MARKETS:
                    found.append(event_id)
        return found

    def describe(self, asked: Iterable[str], texts: Mapping[str, str]) -> None:
        """Note events as of the revision before the next rows, as JSON; some may be unknown."""
        for event_id in asked:
            text = texts.get(event_id)
            self._events[event_id] = None if text is None else event_of(text)

    def batch(self, rows: Sequence[Row]) -> Any:
        """Return a RecordBatch with the rows of PRICES for the next rows of the log."""
        chosen, events = self._chosen(rows)
        olds, news = decoded(chosen)
        events = [None if new is None else each for each, new in zip(events, news, strict=True)]
        parents, before, after = _outcomes(olds, news)
        index = self._pa.array(parents, self._pa.int32())
        found = self._of_changes(chosen, olds, news)
        found = {name: values.take(index) for name, values in found.items()}
        found |= self._of_events(events, index) | self._of_outcomes(before, after)
        compute = self._pa.compute
        whole = self._pa.int64()
        wait = compute.subtract(found["start_time"].cast(whole), found["observed_at"].cast(whole))
        found["seconds_to_start"] = compute.divide(wait.cast(self._pa.float64()), 1e6)
        columns = [found[name] for name in PRICES.names]
        return self._pa.record_batch(columns, schema=self._schema)

    def _chosen(self, rows: Sequence[Row]) -> tuple[list[Row], list[Event | None]]:
        """Return the selected rows that show odds, with their events; ends are spread out."""
        everything = self._selection is EVERYTHING
        known = self._events
        chosen: list[Row] = []
        events: list[Event | None] = []
        for row in rows:
            kind = row[_KIND]
            if kind <= _LAST_OF_MARKETS:
                event = known.get(row[_EVENT])
                if everything or kind == UNSTORED or self._takes(row, event):
                    chosen.append(row)
                    events.append(event)
            elif kind <= _LAST_OF_EVENTS:
                event = event_of(row[AT["after"]])
                known[row[_EVENT]] = event
                if kind == _LAST_OF_EVENTS:
                    ended = [
                        each for each in ended_rows(row) if everything or self._takes(each, event)
                    ]
                    chosen += ended
                    events += [event] * len(ended)
                    del known[row[_EVENT]]
        return chosen, events

    def _takes(self, row: Row, event: Event | None) -> bool:
        selection = self._selection
        if selection.markets is not None and row[_MARKET] not in selection.markets:
            return False
        if not selection.takes_bookmaker(row[_SOURCE], row[_BOOKMAKER]):
            return False
        if event is None:
            return not selection.by_event and selection.takes_event_id(row[_EVENT])
        return selection.matches(event)

    def _array(self, name: str, values: Sequence[Any]) -> Any:
        return self._pa.array(values, self._types[name])

    def _of_changes(
        self, rows: Sequence[Row], olds: Sequence[Odds | None], news: Sequence[Odds | None]
    ) -> dict[str, Any]:
        """Return the columns that all outcomes of a change share, with one value for each row."""
        # Four times faster than zip(*rows), which takes turns at thousands of iterators.
        columns = {name: list(map(itemgetter(AT[name]), rows)) for name in LOG_COLUMNS}
        found = {
            name: self._array(name, _or_none(columns[name]))
            for name in (
                "reason", "event_id", "source", "bookmaker", "market", "participant", "snapshot_id",
            )
        }  # fmt: skip
        for name in ("revision", "observed_at", "detected_at"):
            found[name] = self._array(name, columns[name])
        kinds = columns["kind"]
        if UNSTORED in kinds:  # the time of a placeholder is that of its detection
            seen = zip(columns["observed_at"], kinds, strict=True)
            found["observed_at"] = self._array("observed_at", [at if k else None for at, k in seen])
        found["kind"] = self._array("kind", [KINDS[kind] for kind in kinds])
        for name in ("line", "other_line"):
            numbers = self._numbers
            found[name] = self._array(name, [numbers[text] for text in columns[name]])
        for name, odds in (("status_before", olds), ("status_after", news)):
            statuses = [None if each is None else _STATUS[each.status] for each in odds]
            found[name] = self._array(name, statuses)
        claims = [
            None  # a time without a zone tells no moment
            if new is None or (at := new.source_updated_at) is None or at.tzinfo is None
            else at
            for new in news
        ]
        found["source_updated_at"] = self._array("source_updated_at", claims)
        return found

    def _of_outcomes(self, before: Outcomes, after: Outcomes) -> dict[str, Any]:
        named = [old if new is NO_OUTCOME else new for old, new in zip(before, after, strict=True)]
        found = {}
        for column, field, outcomes in (
            ("outcome", "key", named),
            ("outcome_name", "name", named),
            ("price_before", "price", before),
            ("active_before", "active", before),
            ("price_after", "price", after),
            ("active_after", "active", after),
        ):
            # An attrgetter is two times faster than an expression.
            found[column] = self._array(column, list(map(attrgetter(field), outcomes)))
        return found

    def _of_events(self, events: Sequence[Event | None], index: Any) -> dict[str, Any]:
        """Return the columns that describe events; each value is made once, and then pointed to."""
        places: dict[int, int] = {}
        distinct: list[Event | None] = []
        slots: list[int] = []
        for event in events:
            place = places.get(id(event))
            if place is None:
                place = places[id(event)] = len(distinct)
                distinct.append(event)
            slots.append(place)
        chosen = self._pa.array(slots, self._pa.int32()).take(index)
        found = {}
        for name in ("sport", "competition", "home", "away", "title", "start_time"):
            values = [None if event is None else getattr(event, name) or None for event in distinct]
            found[name] = self._array(name, values).take(chosen)
        return found


def _or_none(values: Sequence[Any]) -> Sequence[Any]:
    """Return values with None in place of empty ones; most columns have none."""
    return values if all(values) else [value or None for value in values]


def _outcomes(
    olds: Iterable[Odds | None], news: Iterable[Odds | None]
) -> tuple[list[int], Outcomes, Outcomes]:
    """Return each outcome before or after a change: the place of its change, before and after."""
    parents: list[int] = []
    before: Outcomes = []
    after: Outcomes = []
    for place, (old, new) in enumerate(zip(olds, news, strict=True)):
        # None: a placeholder
        now: Sequence[Outcome] = (NO_OUTCOME,) if new is None else new.outcomes
        was: Sequence[Outcome] = () if old is None else old.outcomes
        if was and now:
            if [each.key for each in was] != [each.key for each in now]:
                was, now = _aligned(was, now)
        elif was:
            now = [NO_OUTCOME] * len(was)
        else:
            was = [NO_OUTCOME] * len(now)
        before += was
        after += now
        parents += [place] * len(now)
    return parents, before, after


def _aligned(was: Sequence[Outcome], now: Sequence[Outcome]) -> tuple[Outcomes, Outcomes]:
    """Return two sets of outcomes side by side, by their keys."""
    old = {each.key: each for each in was}
    new = {each.key: each for each in now}
    keys = dict.fromkeys(chain(old, new))
    return [old.get(key, NO_OUTCOME) for key in keys], [new.get(key, NO_OUTCOME) for key in keys]
