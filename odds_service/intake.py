"""The intake: the sources that are held open, and a scraper for each in a scope of its own.

A source is opened and closed by one task, because its plug-in may open a nursery. Its scraper runs
in another, so that a reload can end one source and leave the others alone.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

import structlog
import trio
from msgspec import Struct
from msgspec.structs import replace

from odds_service.assembly import Parts
from odds_service.config_errors import SECRET_KEY
from odds_service.forgetting import forget
from odds_service.model.asks import changed_asks
from odds_service.model.source import SourceState
from odds_service.pipeline.detect import judge_by_clock
from odds_service.pipeline.scrape import Scraper
from odds_service.pipeline.sizes import measure_by_clock
from odds_service.pipeline.watch_clock import watch_clock
from odds_service.pipeline.withdraw import remember_asks, withdraw_unasked
from odds_service.restore import starting_state
from odds_service.sources.base import OpenSource, Source, asks_of
from odds_service.sources.registry import open_source
from odds_service.workers.pool import Workers
from odds_service.workers.remote import RemoteSource

END_S: Final = 10.0  # for a source to end its fetches and to close when a reload takes it out

log = structlog.get_logger(__name__)


class HeldSource(Struct, frozen=True):
    """An open source; its task closes it once `release` is set."""

    table: dict[str, Any]
    source: Source | RemoteSource
    release: trio.Event
    closed: trio.Event


async def hold_source(
    table: dict[str, Any],
    workers: Workers | None,
    *,
    task_status: trio.TaskStatus[HeldSource] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Hold a source open until it is released; started() hands it over.

    An error of the source after that is logged, and ends nothing else.

    Args:
        table: its table in the settings.
        workers: the workers, one of which opens it; None to open it here.
        task_status: receives the open source.

    Raises:
        SettingsError: The source cannot be opened; the text names the key.
    """
    release, closed = trio.Event(), trio.Event()
    handed_over = False
    try:
        async with AsyncExitStack() as stack:
            source: Source | RemoteSource
            if workers is None:
                source = await stack.enter_async_context(open_source(table))
            else:
                opening = workers.open(source_name(table), table)
                source = await stack.enter_async_context(opening)
            task_status.started(HeldSource(table, source, release, closed))
            handed_over = True
            await release.wait()
    except Exception as error:
        if not handed_over:
            raise
        log.error("source_crashed", source=source_name(table), kind="close", exc_info=error)
    finally:
        closed.set()


def source_name(table: Mapping[str, Any]) -> str:
    """Return the name of the source of a settings table, which defaults to its kind."""
    return str(table.get("name", table.get("kind")))


class _Running(Struct, frozen=True):
    """A scraper's task; it waits for `begin` before its first fetch."""

    held: HeldSource
    scraper: Scraper
    scope: trio.CancelScope
    begin: trio.Event
    ended: trio.Event


class Intake:
    """The scrapers of all sources, and the tables of sources that depend on them.

    Args:
        parts: the parts of the service; the scrapers of `parts.scrapers` are not running yet.
        sources: the open sources, in the order of the settings.
    """

    def __init__(self, parts: Parts, sources: Iterable[HeldSource]) -> None:
        self._parts = parts
        self._sources = {held.source.name: held for held in sources}
        self._running: dict[str, _Running] = {}
        self._asks = dict(parts.asks or parts.stored.asks)  # the last that were not empty
        self._remembering: trio.CancelScope | None = None
        self._withdrawn = 0  # the last revision that withdrew odds
        self._nursery: trio.Nursery | None = None

    @property
    def tables(self) -> dict[str, dict[str, Any]]:
        """The settings tables of the sources, by name."""
        return {name: held.table for name, held in self._sources.items()}

    async def run(
        self, scope: trio.CancelScope, serve_reloads: Callable[[], Awaitable[None]]
    ) -> None:
        """Scrape until `scope` is cancelled.

        Args:
            scope: the scope of all scrapers.
            serve_reloads: does the reloads, once the first scrapers have begun.
        """
        parts = self._parts
        with scope, parts.fetched_send:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(watch_clock, parts.clock, parts.scrapers.values())
                nursery.start_soon(judge_by_clock, parts.detector)
                nursery.start_soon(forget, parts)
                nursery.start_soon(
                    measure_by_clock, parts.store, parts.sizes, parts.delays, parts.clock
                )
                started = [self._prepare(held, nursery) for held in self._sources.values()]
                revision = await withdraw_unasked(parts.changed_asks, parts.detector)
                if parts.changed_asks:
                    self._remember(revision, nursery)
                for running in started:
                    running.begin.set()
                await serve_reloads()

    def release(self) -> None:
        """Close all sources, once nothing scrapes any more."""
        for held in self._sources.values():
            held.release.set()

    async def replace(
        self, gone: Collection[str], opened: Iterable[HeldSource], order: Iterable[str]
    ) -> int:
        """Take sources out, and add or change others; call it while `run` runs.

        The odds that are no longer asked for are withdrawn before the new scrapers begin. While the
        write queue is full this waits.

        Args:
            gone: the names of the sources to take out.
            opened: the sources that are new, or that replace one of the same name.
            order: the names of all sources, in the order of the settings.

        Returns:
            The number of changes that withdrew odds.

        Cancellation:
            Some odds may not be withdrawn yet; the next start withdraws them.
        """
        parts, nursery = self._parts, self._nursery
        if nursery is None:
            raise RuntimeError("the intake does not run")
        before = dict(self._asks)
        ended: list[_Running] = []
        # Up to the next await, every table changes at once: a call sees all of it or nothing.
        for name in gone:
            ended.append(self._running.pop(name))
            del self._sources[name], parts.scrapers[name], parts.asks[name]
            parts.listings.drop(name)
            parts.detector.drop_source(name)
        started = []
        for held in opened:
            name = held.source.name
            old = self._running.pop(name, None)
            scraper = parts.scraper(held.source)
            if old is None:
                state = starting_state(held.source, None)
            else:
                ended.append(old)
                state = _continued(held.source, parts.cache.sources[name], old.held.source)
                if _same_account(held.table, old.held.table):
                    scraper.take_over(old.scraper)
            self._sources[name] = held
            parts.scrapers[name], parts.asks[name] = scraper, asks_of(held.source)
            parts.detector.set_source(state)
            started.append(self._prepare(held, nursery))
        for table in (parts.scrapers, parts.asks, self._sources):
            _sort(table, order)
        for running in ended:
            running.scope.cancel()
        self._asks = dict(parts.asks or self._asks)
        carried = {source for entry in parts.cache.events.values() for source in entry.sources}
        changed = changed_asks(before, parts.asks, carried)
        parts.detector.doubt(changed)
        async with trio.open_nursery() as ending:
            for running in ended:
                ending.start_soon(_end, running)
        head = parts.feed.head_revision
        changes, revision = await parts.detector.withdraw(changed) if changed else (0, head)
        if changed:
            log.info("withdrawn", changes=changes, sources=sorted(changed))
            self._remember(revision if changes else 0, nursery)
        for running in started:
            running.begin.set()
        return changes

    def _prepare(self, held: HeldSource, nursery: trio.Nursery) -> _Running:
        scraper = self._parts.scrapers[held.source.name]
        running = _Running(held, scraper, trio.CancelScope(), trio.Event(), trio.Event())
        self._running[held.source.name] = running
        nursery.start_soon(_scrape, running)
        return running

    def _remember(self, revision: int, nursery: trio.Nursery) -> None:
        """Store the present asks once what they withdrew is stored; one task at a time does it."""
        if self._remembering is not None:
            self._remembering.cancel()
        self._remembering = scope = trio.CancelScope()
        self._withdrawn = max(self._withdrawn, revision)
        asks = dict(self._parts.asks)

        async def remember() -> None:
            parts = self._parts
            with scope:
                await remember_asks(asks, self._withdrawn, parts.writer, parts.store)

        nursery.start_soon(remember)


async def _scrape(running: _Running) -> None:
    try:
        with running.scope, running.scraper.sending():
            await running.begin.wait()
            await running.scraper.run()
    finally:
        running.ended.set()


async def _end(running: _Running) -> None:
    """Wait for the end of a scraper that is cancelled, and close its source."""
    name = running.held.source.name
    try:
        with trio.move_on_after(END_S) as scope:
            await running.scraper.retire()
            await running.ended.wait()
    finally:
        running.held.release.set()
    with trio.move_on_after(END_S) as closing:
        await running.held.closed.wait()
    if scope.cancelled_caught or closing.cancelled_caught:
        log.warning("source_ends_slowly", source=name, after_s=END_S)


def _continued(source: OpenSource, known: SourceState, old: OpenSource) -> SourceState:
    """Return the state of a source under other settings; a source of one kind keeps its own."""
    fresh = starting_state(source, known)
    if source.kind != old.kind:
        return fresh
    return replace(known, interval_s=fresh.interval_s, paces=fresh.paces)


def _same_account(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two tables name one provider and the same keys to it."""
    return _account(one) == _account(other)


def _account(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in table.items()
        if key in {"kind", "url"} or SECRET_KEY.search(key.removesuffix("s").removesuffix("_file"))
    }


def _sort(table: dict[str, Any], order: Iterable[str]) -> None:
    values = {name: table[name] for name in order if name in table}
    table.clear()
    table.update(values)
