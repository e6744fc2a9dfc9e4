"""GetCoverage: counts of the cache by competition and bookmaker."""

from odds_service.model.overround import Standing
from odds_service.serving.context import Context
from odds_service.serving.odds import OddsView, as_seen
from odds_service.serving.server_context import ServerContext
from odds_service.serving.stretches import Stretches
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb


class _Counts:
    """The events, markets and stale events of one bookmaker in one competition."""

    __slots__ = ("events", "markets", "stale_events")

    def __init__(self) -> None:
        self.events = self.markets = self.stale_events = 0


class _Competition:
    """The events of one competition, and the counts of each (bookmaker, source)."""

    __slots__ = ("bookmakers", "events")

    def __init__(self) -> None:
        self.events = 0
        self.bookmakers: dict[tuple[str, str], _Counts] = {}


async def get_coverage(server: ServerContext, request: pb.GetCoverageRequest, _: Context) -> bytes:
    """Answer with the counts of one view of the cache.

    Raises:
        Refused: A field of the filter is malformed.
    """
    selection = server.selection(request.filter)
    parts = server.parts
    view = OddsView(parts.cache.view(selection.event_ids), selection, parts.reading(), server.wires)
    found: dict[tuple[str, str], _Competition] = {}
    stretches = Stretches()
    for entry in view.cached.events.values():
        if not selection.takes_event(entry.event):
            continue
        place = entry.event.sport, entry.event.competition
        competition = found.setdefault(place, _Competition())
        competition.events += 1
        for key, odds in entry.bookmakers.items():
            if not selection.takes_bookmaker(*key):
                continue
            chosen = list(view.markets_of(odds)) if selection.markets else odds.markets.values()
            if not chosen:
                continue
            counts = competition.bookmakers.setdefault((odds.bookmaker, odds.source), _Counts())
            counts.events += 1
            counts.markets += len(chosen)
            counts.stale_events += view.standing(as_seen(odds, chosen)) is not Standing.LIVE
        await stretches.pause()
    return pb.GetCoverageResponse(
        competitions=[_message(*each) for each in sorted(found.items(), key=lambda each: each[0])],
        cursor=server.cursor(view.cached.cursor.revision),
    ).SerializeToString()


def _message(place: tuple[str, str], counted: _Competition) -> pb.Coverage:
    sport, competition = place
    return pb.Coverage(
        sport=sport,
        competition=competition,
        events=counted.events,
        bookmakers=[
            pb.BookmakerCoverage(
                bookmaker=bookmaker,
                source=source,
                events=counts.events,
                markets=counts.markets,
                stale_events=counts.stale_events,
            )
            for (bookmaker, source), counts in sorted(
                counted.bookmakers.items(), key=lambda each: each[0]
            )
        ],
    )
