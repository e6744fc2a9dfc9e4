"""The rows of the history, as the witness counts changes."""

import json
import subprocess
import sys
from typing import Final

from odds_service.model.change import ChangeKind
from tests.faults.witness import told
from tests.support.watching import Place, Prices

HISTORY: Final = (
    "SELECT revision, kind, event_id, source, bookmaker, market, line, participant, before,"
    " after FROM odds_history ORDER BY revision"
)


def verified(url: str) -> None:
    """Run `db verify`, which compares the current odds with the fold of the history."""
    done = subprocess.run(
        [sys.executable, "-m", "odds_service", "db", "verify", "--database", url],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def place_in(row: list[str]) -> Place:
    """Return the market of a row of the history."""
    event_id, source, bookmaker, market, line, participant = row[2:8]
    return event_id, source, bookmaker, market, float(line) if line else None, participant


def told_by(row: list[str]) -> int:
    """Return the witness's number for a row of the history."""
    kind, event_id, source = int(row[1]), row[2], row[3]
    if kind > ChangeKind.REMOVED:
        subject = event_id if kind <= ChangeKind.EVENT_ENDED else source
        return told(kind, (subject,), None, None)
    return told(kind, place_in(row), prices_in(row[8]), prices_in(row[9]))


def prices_in(odds: str) -> tuple[int, Prices] | None:
    """Return the odds before or after a change; None if there were none."""
    if not odds:
        return None
    status, outcomes, *_ = json.loads(odds)
    return status, tuple((key, price, active) for key, _name, price, active in outcomes)
