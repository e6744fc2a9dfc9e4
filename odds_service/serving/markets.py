"""ListMarkets: market types with names, groups and what settles them."""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from odds_service.cache import CacheView
from odds_service.filters.selection import Selection
from odds_service.model.market import NO_LINE, Market, Outcome, outcome_order
from odds_service.model.market_types import (
    GROUPS,
    MINUTE,
    MarketType,
    derived,
    minutes_of,
    outcome_name,
)
from odds_service.serving.context import Context
from odds_service.serving.selection import checked_values
from odds_service.serving.server_context import ServerContext
from odds_service.serving.stretches import Stretches
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

MOST_SEEN: Final = 2_000  # types of the odds that the table lacks; a plug-in may make up names
# The outcomes that a type outside of the table can have without being a name of somebody.
_LISTED: Final = frozenset({"home", "draw", "away", "over", "under", "yes", "no"})

_ORDER: Final = {group: place for place, group in enumerate(GROUPS)}
Place = tuple[str, str]  # sport and market type


async def list_markets(server: ServerContext, request: pb.ListMarketsRequest, _: Context) -> bytes:
    """Answer with the types of the table, and those of the odds that the caller may see.

    Raises:
        Refused: A field is malformed.
    """
    asked = checked_values("markets", request.markets)
    table = _Table(server.parts.market_types)
    selection = server.selection(pb.Filter(markets=request.markets))
    seen = await _seen(server.parts.cache.view(), selection, table)
    rows = [row for row in table.plain.values() if asked is None or row.market in asked]
    rows += seen
    if asked is not None:
        for market in sorted(asked - {row.market for row in rows}):
            rows += table.with_minutes(market) or [derived(market)]
    rows.sort(key=lambda row: _ORDER[row.group])
    return pb.ListMarketsResponse(
        markets=[_message(row) for row in rows],
        groups=[pb.MarketGroup(group=group, name=name) for group, name in GROUPS.items()],
    ).SerializeToString()


class _Table:
    """The types of the market table by sport and type; those with a minute are templates."""

    def __init__(self, types: Iterable[MarketType]) -> None:
        self.plain: dict[Place, MarketType] = {}
        self._templates: dict[str, list[MarketType]] = {}
        for row in types:
            if MINUTE in row.market:
                self._templates.setdefault(row.market, []).append(row)
            else:
                self.plain[row.sport, row.market] = row

    def with_minutes(self, market: str) -> list[MarketType]:
        """Return a type such as `h2h_m15` from the table's `h2h_m{minute}`, for each sport."""
        minutes = minutes_of(market)
        if not minutes:
            return []
        return [
            replace(
                row,
                market=market,
                name=row.name.replace(MINUTE, minutes),
                settles=row.settles.replace(MINUTE, minutes),
            )
            for row in self._templates.get(market.removesuffix(minutes) + MINUTE, ())
        ]

    def other(self, sport: str, market: str) -> MarketType:
        """Return a type that has no row: from a template, or by rules."""
        rows = (row for row in self.with_minutes(market) if row.sport == sport)
        return next(rows, None) or derived(market, sport)


class _Seen:
    """The parts that the markets of one type have, as far as they were seen."""

    __slots__ = ("has_line", "has_participant", "outcomes")

    def __init__(self) -> None:
        self.has_line = self.has_participant = False
        self.outcomes: dict[str, Outcome] = {}

    def add(self, market: Market) -> None:
        if market.key.line != NO_LINE:
            self.has_line = True
        if market.key.participant:
            self.has_participant = True
        for outcome in market.outcomes:
            if outcome.key in _LISTED and outcome.key not in self.outcomes:
                self.outcomes[outcome.key] = outcome

    def shown(self, row: MarketType) -> MarketType:
        """Return a row with these parts besides its own."""
        outcomes = sorted(self.outcomes.values(), key=outcome_order)
        return replace(
            row,
            has_line=row.has_line or self.has_line,
            has_participant=row.has_participant or self.has_participant,
            outcomes=row.outcomes or tuple((one.key, outcome_name(one.key)) for one in outcomes),
        )


async def _seen(view: CacheView, selection: Selection, table: _Table) -> list[MarketType]:
    """Return the types of the selected odds that are not in the table, by type and sport."""
    found: dict[Place, _Seen] = {}
    stretches = Stretches()
    for entry in view.events.values():
        for key, odds in entry.bookmakers.items():
            if selection.takes_bookmaker(*key):
                _look(entry.event.sport, selection.markets_of(odds), table, found)
        await stretches.pause()
    return [
        seen.shown(table.other(sport, market))
        for (sport, market), seen in sorted(
            found.items(), key=lambda each: (each[0][1], each[0][0])
        )
    ]


def _look(sport: str, markets: Iterable[Market], table: _Table, found: dict[Place, _Seen]) -> None:
    last = ""
    for market in markets:
        kind = market.key.market
        if kind == last:
            continue  # the lines of one type follow each other, and are alike
        last = kind
        place = sport, kind
        if place in table.plain:
            continue
        seen = found.get(place)
        if seen is None:
            if len(found) >= MOST_SEEN:
                continue
            seen = found[place] = _Seen()
        seen.add(market)


def _message(row: MarketType) -> pb.MarketType:
    return pb.MarketType(
        market=row.market,
        name=row.name,
        group=row.group,
        settles=row.settles,
        has_line=row.has_line,
        has_participant=row.has_participant,
        outcomes=[pb.OutcomeLabel(key=key, name=name) for key, name in row.outcomes],
        sport=row.sport,
    )
