"""`letters`: a start and as-of reads with many dead letters, beside the same odds without."""

import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import trio
import typer
from sqlalchemy import select, update

from odds_service.bridge import aio, open_bridge
from odds_service.model.change import ChangeKind, Commit, MarketChange
from odds_service.model.market import Market, MarketKey, MarketStatus, Outcome
from odds_service.storage import open_store
from odds_service.storage.database import Database
from odds_service.storage.letters.letters import Entry, aio_keep
from odds_service.storage.opening import parse_url
from odds_service.storage.postgres import Postgres
from odds_service.storage.rows.history import placeholder
from odds_service.storage.schema import feed_state, odds_history
from odds_service.storage.sqlite import Sqlite
from odds_service.store import WriteGroup
from tools.benchmarks.figures import Bounds, Measured, Report, at_most, settle
from tools.benchmarks.load import BEGIN, SOURCE
from tools.benchmarks.part import Part
from tools.benchmarks.start import BOOKMAKERS, MARKETS, batches_of
from tools.benchmarks.storage import Engine, engines

AT_ONCE: Final = 5_000  # letters in a transaction
AFFECTED: Final = 10  # events, all of whose markets are refused again and again
REASON: Final = "refused for the benchmark"


def refused(revision: int, letters: int) -> Iterator[MarketChange]:
    """Yield changes of the first events' markets, in turn."""
    places = AFFECTED * BOOKMAKERS * MARKETS
    for number in range(letters):
        revision += 1
        event, rest = divmod(number % places, BOOKMAKERS * MARKETS)
        bookmaker, place = divmod(rest, MARKETS)
        price = 1.5 + number // places % 50 / 100
        at = BEGIN + timedelta(milliseconds=number)
        key = MarketKey("alternate_totals", str(place / 2))
        outcomes = Outcome("over", "Over", price), Outcome("under", "Under", 2.0)
        yield MarketChange(
            revision, ChangeKind.PRICES, "", f"event-{event:032}", SOURCE, f"bookmaker{bookmaker}",
            revision, at, at, Market(key, MarketStatus.OPEN, (), 1, BEGIN),
            Market(key, MarketStatus.OPEN, outcomes, revision, at),
        )  # fmt: skip


def measure(
    bounds: Bounds,
    *,
    markets: Annotated[int, typer.Option(help="Live markets in the database.")] = 100_000,
    letters: Annotated[int, typer.Option(help="Dead letters in the other database.")] = 300_000,
) -> Report:
    """Start and read past odds with dead letters, from SQLite and PostgreSQL."""
    found = Measured("letters", "a start and a read as of a revision")
    events = max(AFFECTED, markets // (BOOKMAKERS * MARKETS))
    with tempfile.TemporaryDirectory() as folder, engines(Path(folder)) as both:
        for engine in both:
            trio.run(_fill, engine, events, letters, Path(folder))
        for _ in bounds.turns():
            for engine in both:
                for url, kind in zip(engine.urls, ("without", "with"), strict=False):
                    trio.run(_turn, found, f"{engine.name}: {{}} {kind}", url, Path(folder))
    for name in ("SQLite", "PostgreSQL"):
        for what in ("start", "all odds as of", "one event as of"):
            found.ratio(f"{name}: {what}, with of without", f"{name}: {what} with",
                        f"{name}: {what} without", at_most(2.0))  # fmt: skip
    return found.report(markets=events * BOOKMAKERS * MARKETS, letters=letters)


async def _fill(engine: Engine, events: int, letters: int, folder: Path) -> None:
    for url, count in zip(engine.urls, (0, letters), strict=False):
        async with open_bridge():
            async with open_store(url, migrate=True, spill_folder=folder) as store:
                await store.begin()
                for batch in batches_of(events):
                    await store.write(WriteGroup([batch]))
            await aio(_aio_pile, url, count)


async def _aio_pile(url: str, letters: int) -> None:
    """Keep letters with their placeholders, as the writer does."""
    sqlite = url.startswith("sqlite:")
    database: Database = (
        Sqlite(Path(url.removeprefix("sqlite:///"))) if sqlite else Postgres(parse_url(url))
    )
    async with database.reading() as connection:
        state = (await connection.execute(select(feed_state))).one()
    listed: list[Entry] = [(each, None, ()) for each in refused(state.durable_revision, letters)]
    for first in range(0, len(listed), AT_ONCE):
        some = listed[first : first + AT_ONCE]
        changes = [change for change, _, _ in some]
        commit = Commit(changes)
        async with database.writing() as connection:
            await database.aio_make_room(connection, (each.detected_at for each in changes))
            await aio_keep(connection, state.epoch, some, REASON, BEGIN, applies=True)
            held = [placeholder(each, database.stored_time) for each in changes]
            await database.aio_append(connection, odds_history, held)
            await connection.execute(
                update(feed_state).values(
                    durable_revision=commit.last_revision, detected_at=changes[-1].detected_at
                )
            )
    await database.aio_dispose()


async def _turn(found: Measured, name: str, url: str, folder: Path) -> None:
    async with open_bridge(), open_store(url, spill_folder=folder) as store:
        settle()
        with found.timed(name.format("start")):
            stored = await store.begin()
        # Before most of the letters, where there are any.
        revision = stored.revision - stored.dead_letters * 3 // 4
        event_ids = [stored.events[0].event.id]
        for what, chosen in (("all odds as of", ()), ("one event as of", event_ids)):
            settle()
            with found.timed(name.format(what)):
                past = await store.odds_at(revision, chosen)
            if past.unstored:
                raise RuntimeError(f"{past.unstored} letters are unknown")


PART: Final = Part("letters", measure, repeats=5, seconds=90, sized="letters")
