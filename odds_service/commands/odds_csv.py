"""The odds of an answer as CSV: one line for each outcome and bookmaker."""

from datetime import UTC
from typing import IO, Final

from odds_service.client import enum_word
from odds_service.commands.csv_cells import write_rows
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

COLUMNS: Final = (
    "event_id", "event", "sport", "competition", "start_time", "event_status",
    "source", "bookmaker", "stale", "confirmed_at",
    "market", "line", "participant", "market_status", "changed_at",
    "outcome", "name", "price", "active",
)  # fmt: skip


def write_csv(reply: pb.GetOddsResponse, file: IO[str]) -> None:
    """Write the odds, with decimal prices, as UTF-8.

    Args:
        reply: The answer of GetOdds.
        file: A text file, whose own encoding does not matter.
    """
    rows = (
        _cells(entry.event, odds, market, outcome)
        for entry in reply.events
        for odds in entry.bookmakers
        for market in odds.markets
        for outcome in market.outcomes
    )
    write_rows(COLUMNS, rows, file)


def _cells(
    event: pb.Event, odds: pb.BookmakerOdds, market: pb.Market, outcome: pb.Outcome
) -> tuple[object, ...]:
    return (
        event.id,
        event.name,
        event.sport,
        event.competition,
        event.start_time.ToDatetime(UTC),
        enum_word(pb.EventStatus.Name, event.status, "EVENT_STATUS_"),
        odds.source,
        odds.bookmaker,
        odds.stale,
        odds.confirmed_at.ToDatetime(UTC),
        market.key.market,
        market.key.line if market.key.HasField("line") else None,
        market.key.participant,
        enum_word(pb.MarketStatus.Name, market.status, "MARKET_STATUS_"),
        market.changed_at.ToDatetime(UTC),
        outcome.key,
        outcome.name,
        outcome.price if outcome.HasField("price") else None,
        outcome.active,
    )
