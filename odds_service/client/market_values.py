"""Market types, coverage and unmapped markets: the values of three calls, and their decoders."""

from datetime import datetime

from msgspec import Struct

from odds_service.client.decode import cursor
from odds_service.client.market_decoding import moment
from odds_service.model.cursor import Cursor
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb


class MarketType(Struct, frozen=True, kw_only=True):
    """A market type for people.

    `group` is the key of a MarketGroup, `settles` a few words such as `full time` (empty if
    unknown), and `outcomes` maps keys to names in canonical order. `sport` is empty if no sport is
    known to have the type.
    """

    market: str
    name: str
    group: str
    settles: str
    has_line: bool
    has_participant: bool
    outcomes: dict[str, str]
    sport: str


class MarketGroup(Struct, frozen=True, kw_only=True):
    """A group of market types, such as `totals`, with its name for people."""

    group: str
    name: str


class MarketTypes(Struct, frozen=True, kw_only=True):
    """Market types by group, and all groups in the order to show them."""

    markets: tuple[MarketType, ...]
    groups: tuple[MarketGroup, ...]


class BookmakerCoverage(Struct, frozen=True, kw_only=True):
    """The odds that one bookmaker has for a competition, and the events whose odds are stale."""

    bookmaker: str
    source: str
    events: int
    markets: int
    stale_events: int


class CompetitionCoverage(Struct, frozen=True, kw_only=True):
    """A competition with the number of its events, and the bookmakers that price some of them."""

    sport: str
    competition: str
    events: int
    bookmakers: tuple[BookmakerCoverage, ...]


class Coverage(Struct, frozen=True, kw_only=True):
    """The coverage of all competitions, at one place in the log."""

    competitions: tuple[CompetitionCoverage, ...]
    cursor: Cursor


class UnmappedSample(Struct, frozen=True, kw_only=True):
    """One event whose market was not mapped, in the words of the source."""

    event_id: str
    event_name: str
    outcomes: tuple[str, ...]


class UnmappedMarket(Struct, frozen=True, kw_only=True):
    """A name that a source gives to markets that no table maps, with its latest samples.

    `sport` is empty if the source does not tell; `last_seen_at` is None if unknown.
    """

    source: str
    sport: str
    name: str
    count: int
    last_seen_at: datetime | None
    samples: tuple[UnmappedSample, ...]


def market_types(message: pb.ListMarketsResponse) -> MarketTypes:
    return MarketTypes(
        markets=tuple(
            MarketType(
                market=each.market,
                name=each.name,
                group=each.group,
                settles=each.settles,
                has_line=each.has_line,
                has_participant=each.has_participant,
                outcomes={outcome.key: outcome.name for outcome in each.outcomes},
                sport=each.sport,
            )
            for each in message.markets
        ),
        groups=tuple(MarketGroup(group=each.group, name=each.name) for each in message.groups),
    )


def coverage(message: pb.GetCoverageResponse) -> Coverage:
    return Coverage(
        competitions=tuple(
            CompetitionCoverage(
                sport=each.sport,
                competition=each.competition,
                events=each.events,
                bookmakers=tuple(
                    BookmakerCoverage(
                        bookmaker=row.bookmaker,
                        source=row.source,
                        events=row.events,
                        markets=row.markets,
                        stale_events=row.stale_events,
                    )
                    for row in each.bookmakers
                ),
            )
            for each in message.competitions
        ),
        cursor=cursor(message.cursor),
    )


def unmapped(message: pb.ListUnmappedResponse) -> tuple[UnmappedMarket, ...]:
    return tuple(
        UnmappedMarket(
            source=each.source,
            sport=each.sport,
            name=each.name,
            count=each.count,
            last_seen_at=moment(each.last_seen_at) if each.HasField("last_seen_at") else None,
            samples=tuple(
                UnmappedSample(
                    event_id=sample.event_id,
                    event_name=sample.event_name,
                    outcomes=tuple(sample.outcomes),
                )
                for sample in each.samples
            ),
        )
        for each in message.markets
    )
