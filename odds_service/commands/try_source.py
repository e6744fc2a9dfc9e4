"""`odds-service try`: one fetch of a source, for those who write a source or its settings."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import trio
import typer
from msgspec import Struct

from odds_service.bridge import open_bridge
from odds_service.commands.options import output, takes, times
from odds_service.commands.output import Column, Grid, Output
from odds_service.commands.running import run_interruptible
from odds_service.commands.service_options import GivenSettings, service_settings
from odds_service.commands.times import Times
from odds_service.config import Settings
from odds_service.errors import OddsServiceError, SettingsError, SourceError
from odds_service.logs import configure_logs
from odds_service.model.observation import Observation
from odds_service.model.text import counted
from odds_service.sources.base import Offer, Pull, Source
from odds_service.sources.boundary import Gate, Limits
from odds_service.sources.registry import check_names, open_source

WITHIN_S: Final = 120.0  # for the listing, and for the fetch
SHOWN: Final = 10  # events, problems and unmapped markets
DAY_S: Final = 86_400.0


class _Tried(Struct, frozen=True):
    """The result of a try."""

    offer: Offer
    pull: Pull | None
    observation: Observation | None
    problems: Counter[str]
    took_s: float


@takes(given=service_settings, out=output, shown=times)
def try_source(
    source: Annotated[str, typer.Argument(help="The name of a source of the settings.")],
    *,
    pull: Annotated[
        str | None, typer.Option(help="The listing or event to fetch; default: the first.")
    ] = None,
    given: GivenSettings,
    out: Output,
    shown: Times,
) -> None:
    """Fetch once from a source, and print what was understood, skipped and unmapped.

    Nothing is stored or served. Exit with code 1 if the source failed.
    """
    settings = given.load()
    configure_logs("error", settings.log.format)
    table = _table(settings, source)
    try:
        tried, opened = run_interruptible(_try, settings, table, pull)
    except OddsServiceError as error:  # the crash of a plug-in keeps its traceback
        kind = f"{error.kind}: " if isinstance(error, SourceError) else ""
        raise OddsServiceError(f"{source}: {kind}{error}") from None
    for line in _schedule(opened, tried.offer):
        out.line(line)
    if tried.pull is None or tried.observation is None:
        raise OddsServiceError(f"{source}: it lists nothing to fetch")
    out.line(f"fetched {tried.pull.key} in {tried.took_s:.1f} s: {_sum(tried.observation)}")
    for line in _left_out(tried):
        out.line(line)
    if tried.observation.events:
        out.grid(_events(tried.observation, shown))


def _table(settings: Settings, source: str) -> dict[str, Any]:
    check_names(settings.sources)
    tables = {str(table.get("name", table.get("kind"))): table for table in settings.sources}
    if source not in tables:
        names = ", ".join(tables) or "none; give --config"
        raise SettingsError(f"no source is named {source!r}; the settings have {names}")
    return tables[source]


async def _try(
    settings: Settings, table: dict[str, Any], wanted: str | None
) -> tuple[_Tried, Source]:
    limits = Limits.among(settings.limits.model_dump())
    async with open_bridge(), open_source(table) as source:
        gate = Gate(source.name, limits)
        with trio.fail_after(WITHIN_S):
            offer = gate.offer(await source.discover())
        pulls = {each.key: each for each in offer.pulls}
        if wanted is not None and wanted not in pulls:
            listed = ", ".join(list(pulls)[:SHOWN])
            raise SettingsError(f"--pull: it does not list {wanted!r}, but {listed}")
        pull = next(iter(pulls.values()), None) if wanted is None else pulls[wanted]
        problems: Counter[str] = Counter(offer.problems)
        if pull is None:
            return _Tried(offer, None, None, problems, 0.0), source
        begun, started_at = trio.current_time(), datetime.now(UTC)
        with trio.fail_after(WITHIN_S):
            answer = await source.fetch(pull)
        observation = await gate.admit(
            answer, problems, started_at=started_at, observed_at=datetime.now(UTC)
        )
        return _Tried(offer, pull, observation, problems, trio.current_time() - begun), source


def _schedule(source: Source, offer: Offer) -> Iterator[str]:
    """Yield lines: the pulls and how often each would be made."""
    pace = source.pace
    yield f"{source.name} ({source.kind}) lists {counted(len(offer.pulls), 'pull')}"
    for tier in pace.tiers:
        within = (
            "" if tier.within_s is None else f", events within {tier.within_s:g} s of the start"
        )
        yield f"  every {tier.interval_s:g} s, target {tier.target_s:g} s ({tier.name}{within})"
    limits = [f"{pace.concurrency} at once"]
    limits += [f"{counted(pace.requests_per_s, 'request')} a second"] if pace.requests_per_s else []
    limits += [f"{counted(pace.quota_per_day, 'credit')} a day"] if pace.quota_per_day else []
    yield f"  {', '.join(limits)}"
    if len(pace.tiers) == 1:
        daily = sum(pull.cost for pull in offer.pulls) * DAY_S / pace.tiers[0].interval_s
        yield f"  so {counted(round(daily), 'credit')} a day, if the budget allows them"


def _sum(observation: Observation) -> str:
    markets = [
        market
        for event in observation.events
        for by in event.bookmakers
        for market in by.markets.values()
    ]
    bookmakers = {by.bookmaker for event in observation.events for by in event.bookmakers}
    prices = sum(len(market.outcomes) for market in markets)
    state = observation.completeness.value
    why = f" ({observation.reason})" if observation.reason else ""
    left = "" if observation.quota_left is None else f"; quota left {observation.quota_left}"
    return (
        f"{state}{why}, {counted(len(observation.events), 'event')},"
        f" {counted(len(bookmakers), 'bookmaker')}, {counted(len(markets), 'market')},"
        f" {counted(prices, 'outcome')}{left}"
    )


def _left_out(tried: _Tried) -> Iterator[str]:
    """Yield lines: what was skipped by name, and what the market tables do not know."""
    observation = tried.observation
    problems = Counter({name: times for name, times in tried.problems.items() if times})
    if problems:
        yield f"skipped: {_commonest(problems)}"
    if observation is None or not (observation.mapped or observation.unmapped):
        return
    unmapped = Counter(observation.unmapped)
    share = observation.mapped / (observation.mapped + unmapped.total())
    yield f"mapped {share:.1%} of {counted(observation.mapped + unmapped.total(), 'market')}"
    if unmapped:
        yield f"unmapped: {_commonest(unmapped)}"


def _commonest(counts: Counter[str]) -> str:
    named = [f"{name} ({times})" for name, times in counts.most_common(SHOWN)]
    more = len(counts) - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def _events(observation: Observation, shown: Times) -> Grid:
    grid = Grid(
        Column(name=f"start ({shown.zone})"),
        Column(name="event", folds=True),
        Column(name="the source's id", is_id=True),
        Column(name="bookmakers", right=True),
        Column(name="markets", right=True),
    )
    for event in sorted(observation.events, key=lambda event: event.start_time)[:SHOWN]:
        grid.add(
            shown.minute(event.start_time),
            event.title or f"{event.home} – {event.away}",
            event.source_event_id,
            str(len(event.bookmakers)),
            str(sum(len(by.markets) for by in event.bookmakers)),
        )
    return grid
