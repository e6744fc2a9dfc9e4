"""States of sources, and records of pulls, as rows."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Row

from odds_service.model.change import SourceChange
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.source import SourceState, told_by_word
from odds_service.storage.rows import Unreadable, Values
from odds_service.storage.rows.odds import aware

MOST_COUNT: Final = 2**31 - 1  # of PostgreSQL's INTEGER

_encode = msgspec.json.Encoder().encode
_decode_state = msgspec.json.Decoder(SourceState).decode
_decode_problems = msgspec.json.Decoder(dict[str, int]).decode


def state_from(state: str) -> SourceState:
    """Decode a source's state. Raises Unreadable."""
    try:
        found = _decode_state(state)
    except msgspec.MsgspecError as error:
        raise Unreadable(str(error)) from None
    success = found.last_success_at
    if success is not None and success.tzinfo is None:
        found = msgspec.structs.replace(found, last_success_at=aware(success))
    return told_by_word(found)


def state_row(change: SourceChange) -> Values:
    return {
        "source": change.source,
        "state": _encode(change.after).decode(),
        "revision": change.revision,
    }


def run_row(run: ScrapeRun) -> Values:
    return msgspec.structs.asdict(run) | {"problems": _encode(run.problems).decode()}


def run_values(run: ScrapeRun, stored_time: Callable[[datetime], Any]) -> tuple[Any, ...]:
    """Encode a run as the values of a row; see rows.history.history_values()."""
    return (
        stored_time(run.started_at),
        run.source,
        run.listing,
        stored_time(run.finished_at),
        run.outcome,
        run.reason,
        run.events,
        run.markets,
        run.changes,
        _encode(run.problems).decode(),
    )


def run_from(row: Row[Any]) -> ScrapeRun:
    """Decode a run. Raises Unreadable."""
    try:
        problems = _decode_problems(row.problems)
    except msgspec.MsgspecError as error:
        raise Unreadable(str(error)) from None
    counts = (row.events, row.markets, row.changes, *problems.values())
    if min(counts) < 0 or max(counts) > MOST_COUNT:
        raise Unreadable("a count is out of range")
    return ScrapeRun(**{**row._mapping, "problems": problems})
