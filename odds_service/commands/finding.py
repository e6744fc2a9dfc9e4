"""The names in a selection: ids by unique prefix, and near names if nothing matches."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from difflib import get_close_matches
from time import monotonic
from typing import Final, TypeVar

from msgspec.structs import replace

from odds_service.client import Filter
from odds_service.errors import OddsServiceError
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc

E = TypeVar("E", pb.EventOdds, pb.ListedEvent)

CALL_S: Final = 60  # for each page
NEAR: Final = 3  # names offered for one that is unknown
ALIKE: Final = 0.5  # the least likeness of a name that is offered, from 0 to 1
LOOKED_AT: Final = 20  # events whose markets are looked at for near names


class NothingMatches(OddsServiceError):
    """Nothing matches what was asked for; the text names what is unknown, and near names."""

    exit_code = 3


def listed_events(
    stub: pb_grpc.OddsServiceStub, where: pb.Filter | None = None, *, end: float | None = None
) -> Iterator[pb.ListedEvent]:
    """Yield the current events of a filter, in the order of their start.

    Args:
        stub: The service.
        where: The filter; None for all events.
        end: The monotonic time at which the last page must have come; None for CALL_S a page.
    """
    request = pb.ListEventsRequest(filter=where)
    while True:
        left_s = CALL_S if end is None else max(end - monotonic(), 0.0)
        page = stub.ListEvents(request, timeout=left_s)
        yield from page.events
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def whole_ids(
    stub: pb_grpc.OddsServiceStub, given: Sequence[str], *, past: bool = False
) -> list[str]:
    """Return event ids in full, from ids or prefixes of which each belongs to one current event.

    Args:
        stub: The service.
        given: Ids, or their prefixes, with or without the namespace before the colon.
        past: Let an unknown id pass, since an event that is over has one too.

    Raises:
        NothingMatches: A prefix belongs to no current event, or to several.
    """
    if not given:
        return []
    events = {each.event.id: each.event for each in listed_events(stub)}
    return [_whole(text, events, past=past) for text in given]


def _whole(text: str, events: dict[str, pb.Event], *, past: bool) -> str:
    if text in events:
        return text
    same = [event_id for event_id in events if own_part(event_id) == text]
    if len(same) == 1:
        return same[0]
    starting = [
        event_id
        for event_id in events
        if text and (event_id.startswith(text) or own_part(event_id).startswith(text))
    ]
    if len(starting) == 1:
        return starting[0]
    if starting:
        shown = ", ".join(f"{each} ({events[each].name})" for each in starting[:NEAR])
        raise NothingMatches(f"{text!r} begins {len(starting)} ids: {shown}")
    if past:
        return text
    named = [f"{each.name} is {each.id}" for each in _named(text, events.values())]
    near = named or get_close_matches(text, events, NEAR, ALIKE)
    raise NothingMatches(f"no such event: {text}" + _offer(near) + "; see `events`")


def own_part(event_id: str) -> str:
    """Return an id without the namespace before its colon, such as `toa`."""
    return event_id.partition(":")[2] or event_id


def _named(text: str, events: Iterable[pb.Event]) -> list[pb.Event]:
    """Return the events that have the text in their names."""
    found = [each for each in events if text.casefold() in each.name.casefold()]
    return found[:NEAR]


def with_odds(entries: Iterable[E], where: Filter) -> list[E]:
    """Return the entries of which a selection leaves something to show.

    An event has no bookmaker left where a filter on bookmakers, markets or sources takes none.
    """
    listed = list(entries)
    if where.bookmakers or where.markets or where.sources:
        return [entry for entry in listed if entry.bookmakers]
    return listed


def explain_nothing(
    stub: pb_grpc.OddsServiceStub,
    where: Filter,
    event_ids: Sequence[str] = (),
    *,
    past: bool = False,
) -> NothingMatches:
    """Return the error for a selection that nothing matches: what is unknown, and near names.

    Args:
        stub: The service.
        where: The selection.
        event_ids: More events.
        past: The question was about the past, of which the service cannot list the names.
    """
    if past:
        events = ", ".join((*event_ids, *where.event_ids))
        return NothingMatches(
            f"nothing matches then{f': no such event {events}' if events else ''}"
        )
    known = _Known(stub)
    if not known.ids:
        return NothingMatches("nothing matches: the service has no events yet; see `status`")
    return nothing_of(
        "no event has all of that",
        ("sport", where.sports, known.sports),
        ("competition", where.competitions, known.competitions),
        ("event", (*where.event_ids, *event_ids), known.ids),
        ("bookmaker", where.bookmakers, known.bookmakers),
        ("source", where.sources, known.sources),
        ("market", where.markets, known.markets() if where.markets else ()),
    )


def nothing_of(
    otherwise: str, *kinds: tuple[str, Sequence[str], Collection[str]]
) -> NothingMatches:
    """Return the error for names that match nothing: the unknown ones, each with near names.

    Args:
        otherwise: The text if all names are known.
        kinds: (kind, the names asked for, the known names).
    """
    unknown = [
        f"no {kind} {text!r}" + _offer(get_close_matches(text.lower(), names, NEAR, ALIKE))
        for kind, chosen, names in kinds
        for text in chosen
        if text not in names
    ]
    return NothingMatches("nothing matches: " + ("; ".join(unknown) or otherwise))


def known_sources(stub: pb_grpc.OddsServiceStub) -> set[str]:
    """Return the sources of the service, and those of its odds."""
    status = stub.GetStatus(pb.GetStatusRequest(), timeout=CALL_S)
    return {each.state.source for each in status.sources} | _Known(stub).sources


class _Known:
    """The names that the service knows now."""

    def __init__(self, stub: pb_grpc.OddsServiceStub) -> None:
        self._stub = stub
        listed = list(listed_events(stub))
        self.ids = [each.event.id for each in listed]
        self.sports = {each.event.sport for each in listed}
        self.competitions = {each.event.competition for each in listed}
        self.bookmakers = {by.bookmaker for each in listed for by in each.bookmakers}
        self.sources = {by.source for each in listed for by in each.bookmakers}

    def markets(self) -> set[str]:
        """Return the market types of some events."""
        request = pb.GetOddsRequest(filter=pb.Filter(event_ids=self.ids[:LOOKED_AT]))
        if not self.ids:
            return set()
        reply = self._stub.GetOdds(request, timeout=CALL_S)
        return {
            market.key.market
            for entry in reply.events
            for odds in entry.bookmakers
            for market in odds.markets
        }


def _offer(names: Sequence[str]) -> str:
    return f" (near: {', '.join(names)})" if names else ""


def resolved(stub: pb_grpc.OddsServiceStub, where: Filter, *, past: bool = False) -> Filter:
    """Return a selection with its events' ids in full; see whole_ids."""
    return replace(where, event_ids=tuple(whole_ids(stub, where.event_ids, past=past)))
