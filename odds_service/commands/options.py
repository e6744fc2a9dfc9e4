"""Options that the client commands share, and how they print."""

from pathlib import Path
from typing import Annotated, Final

import typer

from odds_service.client import Address
from odds_service.rpc.pb.odds.v1 import odds_pb2 as pb

DEFAULT_SERVER: Final = "127.0.0.1:50051"

Server = Annotated[str, typer.Option(envvar="ODDS_SERVER", help="host:port of the service.")]
Ca = Annotated[Path | None, typer.Option(help="Certificates to trust; without: no TLS.")]
Token = Annotated[str | None, typer.Option(envvar="ODDS_TOKEN", help="Bearer token; needs --ca.")]
Sports = Annotated[list[str] | None, typer.Option("--sport", help="Only this sport; repeatable.")]
Events = Annotated[list[str] | None, typer.Option("--event", help="Only this event; repeatable.")]
Bookmakers = Annotated[
    list[str] | None, typer.Option("--bookmaker", help="Only this bookmaker; repeatable.")
]
Markets = Annotated[
    list[str] | None, typer.Option("--market", help="Only this market type; repeatable.")
]
AsJson = Annotated[
    bool, typer.Option("--json", help="One JSON object a line (protobuf's JSON mapping).")
]


def address_of(server: str, ca: Path | None, token: str | None) -> Address:
    if token is not None and ca is None:
        raise typer.BadParameter("a token is sent over TLS only: give --ca", param_hint="--token")
    return Address(server, ca, token)


def filter_of(
    sports: list[str] | None = None,
    events: list[str] | None = None,
    bookmakers: list[str] | None = None,
    markets: list[str] | None = None,
) -> pb.Filter:
    return pb.Filter(
        sports=sports or [], event_ids=events or [], bookmakers=bookmakers or [],
        markets=markets or [],
    )  # fmt: skip


def key_text(key: pb.MarketKey) -> str:
    """A market as people write it: `totals 2.5`, `player_points 7.5 A Player`."""
    line = f" {key.line:g}" if key.HasField("line") else ""
    participant = f" {key.participant}" if key.participant else ""
    return f"{key.market}{line}{participant}"


def prices_text(market: pb.Market) -> str:
    """The outcomes with their prices; – where there is none, (…) where it cannot be bet on."""
    parts = []
    for outcome in market.outcomes:
        price = f"{outcome.price:.3g}" if outcome.price < 100 else f"{outcome.price:.0f}"
        price = price if outcome.HasField("price") else "–"
        parts.append(f"{outcome.key} {price if outcome.active else f'({price})'}")
    return "  ".join(parts)
