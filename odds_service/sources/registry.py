"""Registry of the installed kinds of source, built-in and plugged in, found by entry point."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.metadata import entry_points
from typing import Any, Final, cast

from odds_service.errors import SettingsError
from odds_service.sources.base import Source
from odds_service.sources.opened import check_source
from odds_service.sources.recorded import ReadsRecordings, RecordedReader

GROUP: Final = "odds_service.sources"


def source_kinds() -> list[str]:
    """Return the installed kinds, sorted by name."""
    return sorted(entry.name for entry in entry_points(group=GROUP))


def open_source(table: dict[str, Any]) -> AbstractAsyncContextManager[Source]:
    """Open the source of a settings table; its name defaults to its kind.

    Raises:
        SettingsError: the kind is missing or not installed, or a key is wrong.
    """
    kind = table.get("kind")
    if not isinstance(kind, str):
        raise SettingsError(f"sources: a table has no `kind`; one of {', '.join(source_kinds())}")
    name = str(table.get("name", kind))
    rest = {key: value for key, value in table.items() if key not in {"kind", "name"}}
    return _named(name, _installed(kind).open(name, rest))


def recorded_reader(kind: str, name: str) -> RecordedReader:
    """Return a reader of the recorded bodies of a kind of source.

    Raises:
        SettingsError: the kind is not installed, or reads no recordings.
    """
    found: object = _installed(kind)
    if not isinstance(found, ReadsRecordings):
        raise SettingsError(f"sources of kind {kind!r} do not read recorded bodies")
    return found.recorded(name)


def _installed(kind: str) -> type[Source]:
    found = [entry for entry in entry_points(group=GROUP) if entry.name == kind]
    if not found:
        known = ", ".join(source_kinds())
        raise SettingsError(f"sources: unknown kind {kind!r}; installed are {known}")
    return cast("type[Source]", found[0].load())


@asynccontextmanager
async def _named(name: str, opening: AbstractAsyncContextManager[Source]) -> AsyncIterator[Source]:
    """Open a source; prefix its settings errors with its name."""
    async with AsyncExitStack() as opened:
        try:
            source = await opened.enter_async_context(opening)
        except SettingsError as error:
            where = f"sources ({name}): "
            raise SettingsError(where + str(error).removeprefix(where)) from None
        check_source(source, name)
        yield source


def check_names(tables: list[dict[str, Any]]) -> None:
    """Raise SettingsError if two sources share a name, which is part of the odds' identity."""
    names = Counter(str(table.get("name", table.get("kind"))) for table in tables)
    for name, times in names.items():
        if times > 1:
            raise SettingsError(f"sources: {times} are named {name!r}; give each its own `name`")
