"""Reload: the settings are read again, checked as a whole, and applied to the running service."""

from contextlib import ExitStack
from typing import Any, Final

import structlog
import trio
from pydantic import BaseModel

from odds_service.access import check_http
from odds_service.assembly import Parts
from odds_service.certificates import Guard
from odds_service.config import ListenSettings, Settings
from odds_service.errors import SettingsError
from odds_service.intake import HeldSource, Intake, hold_source, source_name
from odds_service.logs import set_level
from odds_service.model.reload import Reloaded
from odds_service.reloads import Reloads
from odds_service.sources.registry import check_names

OPEN_S: Final = 30.0  # for a new source to open
_TLS: Final = ("tls_certificate", "tls_key", "tls_client_ca")
_TOKENS: Final = ("tokens", "tokens_file", "access")

log = structlog.get_logger(__name__)


class Reloader:
    """Applies settings that are read again.

    Args:
        parts: the parts of the service.
        intake: the sources and their scrapers.
        holding: the nursery of the tasks that hold sources open.
        reloads: reads the settings.
    """

    def __init__(
        self, parts: Parts, intake: Intake, holding: trio.Nursery, reloads: Reloads
    ) -> None:
        self._parts = parts
        self._intake = intake
        self._holding = holding
        self._reloads = reloads
        self._running = parts.settings  # with what reloads have applied

    async def reload(self) -> Reloaded:
        """Read the settings, check them, and apply what can change while the service runs.

        Raises:
            SettingsError: They are wrong; nothing has changed.

        Cancellation:
            Before the check has ended, nothing has changed.
        """
        settings = await self._reloads.load()
        check_names(settings.sources)
        tables = {source_name(table): table for table in settings.sources}
        known = self._intake.tables
        added = [name for name in tables if name not in known]
        removed = [name for name in known if name not in tables]
        changed = [name for name in tables if name in known and tables[name] != known[name]]
        unchanged = [name for name in tables if known.get(name) == tables[name]]
        present, guards = await trio.to_thread.run_sync(_live, settings, self._running)
        with ExitStack() as opening:
            opened = []
            for name in (*added, *changed):
                held = await self._open(tables[name])
                opening.callback(held.release.set)
                opened.append(held)
            opening.pop_all()  # from here on they belong to the intake
        # Nothing below fails for a reason that lies in the settings.
        applied = changed_keys(self._running, present)
        self._running = present
        for section, guard in guards.items():
            self._parts.guards[section].adopt(guard)
        if "log.level" in applied:
            set_level(present.log.level)
            if self._parts.workers is not None:
                await self._parts.workers.set_level(present.log.level)
        withdrawn = await self._intake.replace(removed, opened, tables)
        outcome = Reloaded(
            added=tuple(added),
            removed=tuple(removed),
            changed=tuple(changed),
            unchanged=tuple(unchanged),
            applied=applied,
            needs_restart=changed_keys(present, settings),
            withdrawn=withdrawn,
            cursor=self._parts.feed.cursor,
        )
        log.info("reloaded", added=added, removed=removed, changed=changed, unchanged=unchanged,
                 applied=list(applied), needs_restart=list(outcome.needs_restart),
                 withdrawn=withdrawn)  # fmt: skip
        if not tables:
            log.warning("no_sources", hint="only what is stored is served; name [[sources]]")
        return outcome

    async def _open(self, table: dict[str, Any]) -> HeldSource:
        """Open a source beside the running ones. Raises SettingsError."""
        where = f"sources ({source_name(table)})"
        try:
            with trio.fail_after(OPEN_S):
                held: HeldSource = await self._holding.start(
                    hold_source, table, self._parts.workers
                )
        except trio.TooSlowError:
            raise SettingsError(f"{where}: it did not open within {OPEN_S:g} s") from None
        except SettingsError:
            raise
        except Exception as error:  # of the plug-in: it must not end the service
            log.error("source_crashed", source=source_name(table), kind="open", exc_info=error)
            text = f"{where}: it could not be opened: {type(error).__name__}; see the log"
            raise SettingsError(text) from None
        return held


def changed_keys(before: Settings, after: Settings) -> tuple[str, ...]:
    """Return the keys whose values differ, such as `log.level`; sources are not compared."""
    found = []
    for section in Settings.model_fields:
        if section == "sources":
            continue
        one, other = getattr(before, section), getattr(after, section)
        if not isinstance(one, BaseModel):
            found += [section] if one != other else []
            continue
        found += [
            f"{section}.{key}"
            for key in type(one).model_fields
            if getattr(one, key) != getattr(other, key)
        ]
    return tuple(found)


def _live(settings: Settings, running: Settings) -> tuple[Settings, dict[str, Guard]]:
    """Return the running settings with what can be applied now, and the guards of the open ports.

    Raises:
        SettingsError: A port's settings are wrong, alone or beside the address that it has.
    """
    ports, guards = {}, {}
    check_http(settings.http, settings.server)
    for section in ("server", "metrics"):
        new: ListenSettings = getattr(settings, section)
        if new.listen:
            Guard(new)  # as at a start
        present: ListenSettings = getattr(running, section)
        if present.listen:
            keys = (*_TOKENS, *(_TLS if _same_tls(present, new) else ()))
            keys = tuple(key for key in keys if key in type(present).model_fields)
            ports[section] = present.model_copy(update={key: getattr(new, key) for key in keys})
            guards[section] = Guard(ports[section])
    level = running.log.model_copy(update={"level": settings.log.level})
    sources = {"sources": settings.sources}
    live = running.model_copy(update={**ports, **sources, "log": level})
    # The HTTP door stays where it is until a restart, under the new tokens.
    check_http(live.http, live.server)
    return live, guards


def _same_tls(one: ListenSettings, other: ListenSettings) -> bool:
    """Return whether two settings have TLS alike, and client certificates alike.

    A port cannot turn either on or off while it is open.
    """
    return all((getattr(one, key) is None) == (getattr(other, key) is None) for key in _TLS)
