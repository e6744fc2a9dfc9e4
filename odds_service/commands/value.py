"""`odds-service value`: one's own bets against the closing odds without margin."""

import csv
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from odds_service.client import Address, Filter, open_sync_client
from odds_service.client.value import Bet, Valued, value_against_close
from odds_service.commands.options import AsJson, connection, output, takes
from odds_service.commands.output import Column, Grid, Output
from odds_service.commands.text import age_text, market_key_text
from odds_service.model.margins import MarginMethod
from odds_service.model.market import MarketKey
from odds_service.model.price import canonical_line

_NEEDED: Final = ("time", "event", "market", "outcome", "price")
_EVENTS_AT_ONCE: Final = 1_000  # in one question to the server
_WHOLE: Final = ".6g"


@takes(address=connection, out=output)
def value(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV with columns time (ISO 8601 with a zone), event, market, outcome, price, and"
            " line and participant where markets have them."
        ),
    ],
    *,
    margin: Annotated[
        MarginMethod, typer.Option(help="The way to take the bookmakers' margins out.")
    ] = MarginMethod.PROPORTIONAL,
    as_json: AsJson = False,
    address: Address,
    out: Output,
) -> None:
    """Value your own bets against the closing odds of each bookmaker, without its margin."""
    bets = list(_bets(file))
    results = []
    with open_sync_client(address) as client:
        for some in _groups(bets):
            ids = sorted({bet.event_id for bet in some})
            closed = client.closing_odds(Filter(event_ids=ids))
            results += value_against_close(some, closed, margin)
    if as_json:
        for result in results:
            out.raw_json(msgspec.json.encode(_plain(result)).decode())
        return
    out.grid(_grid(results))


def _bets(file: Path) -> Iterator[Bet]:
    """Read the bets of a file. Raises BadParameter, which names the line."""
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"cannot read {file}: {error}") from None
    rows = csv.DictReader(text.splitlines())
    missing = [name for name in _NEEDED if name not in (rows.fieldnames or ())]
    if missing:
        raise typer.BadParameter(f"{file} has no column {', '.join(missing)}")
    for row in rows:
        try:
            yield _bet(row)
        except ValueError as error:
            raise typer.BadParameter(f"{file}, line {rows.line_num}: {error}") from None


def _bet(row: dict[str, str | None]) -> Bet:
    cells = {name: (cell or "").strip() for name, cell in row.items() if isinstance(cell, str)}
    empty = [name for name in _NEEDED if not cells.get(name)]
    if empty:
        raise ValueError(f"{', '.join(empty)} is empty")
    line = cells.get("line", "")
    return Bet(
        placed_at=datetime.fromisoformat(cells["time"]),
        event_id=cells["event"],
        key=MarketKey(
            cells["market"], canonical_line(line) if line else "", cells.get("participant", "")
        ),
        outcome=cells["outcome"],
        price=float(cells["price"]),
    )


def _groups(bets: list[Bet]) -> Iterator[list[Bet]]:
    for first in range(0, len(bets), _EVENTS_AT_ONCE):
        yield bets[first : first + _EVENTS_AT_ONCE]


def _grid(results: Iterable[Valued]) -> Grid:
    grid = Grid(
        Column(name="event", folds=True),
        Column(name="bet", folds=True),
        Column(name="price", right=True),
        Column(name="bookmaker", folds=True),
        Column(name="close", right=True),
        Column(name="fair", right=True),
        Column(name="value", right=True),
        Column(name="by", folds=True),
    )
    for result in results:
        bet = result.bet
        name = bet.event_id if result.event is None else result.event.name
        told = (name, f"{market_key_text(bet.key)} {bet.outcome}", f"{bet.price:{_WHOLE}}")
        if result.reason is not None:
            grid.add(*told, "", "", "", "", result.reason.value)
        for close in result.closes:
            lines = f" of {', '.join(close.lines)}" if close.price is None else ""
            seen = f", seen {age_text(close.age_s)} before" if close.age_s >= 1 else ""
            grid.add(
                *told,
                close.bookmaker,
                "" if close.price is None else f"{close.price:{_WHOLE}}",
                f"{close.fair_price:.3f}",
                (f"{close.value:+.2%}", "green" if close.value > 0 else "red"),
                f"{close.method.value}{lines}{seen}{'' if close.offered else ', withdrawn'}",
            )
    return grid


def _plain(result: Valued) -> dict[str, object]:
    """Return a result as JSON has it; absent values are left out."""
    made = msgspec.to_builtins(
        {"bet": result.bet, "closes": result.closes}, enc_hook=lambda value: value.value
    )
    made["event"] = None if result.event is None else result.event.name
    made["missing"] = [
        {"source": source, "bookmaker": bookmaker, "reason": reason.value}
        for (source, bookmaker), reason in sorted(result.missing.items())
    ]
    made["reason"] = None if result.reason is None else result.reason.value
    return dict(made)
