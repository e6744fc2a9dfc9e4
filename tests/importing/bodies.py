"""Recorded files in the shapes of The Odds API; the matches and prices are made up."""

import json
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

NOON = datetime(2024, 5, 4, 12, tzinfo=UTC)


def event(
    number: int = 1, *, price: float = 1.5, start: datetime = NOON + timedelta(hours=6),
    sport: str = "soccer_x", market: str = "h2h",
) -> dict[str, Any]:  # fmt: skip
    """Return a match that one bookmaker offers."""
    outcomes = [{"name": f"Home {number}", "price": price}, {"name": f"Away {number}", "price": 3}]
    return {
        "id": f"e{number}",
        "sport_key": sport,
        "sport_title": sport.title(),
        "commence_time": f"{start:%Y-%m-%dT%H:%M:%SZ}",
        "home_team": f"Home {number}",
        "away_team": f"Away {number}",
        "bookmakers": [
            {"key": "b", "title": "B", "markets": [{"key": market, "outcomes": outcomes}]}
        ],
    }


def after(**elapsed: float) -> datetime:
    """Return a time after noon; the arguments are timedelta's."""
    return NOON + timedelta(**elapsed)


def named(at: datetime, what: str = "x") -> str:
    return f"{at:%Y%m%dT%H%M%SZ}__{what}.json"


def series(*bodies: Any, every_s: float = 60.0, what: str = "x") -> dict[str, bytes]:
    """Return file names with bodies that are recorded one after another from noon on."""
    return {
        named(after(seconds=number * every_s), what): json.dumps(body).encode()
        for number, body in enumerate(bodies)
    }


def written(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files into a folder, and return it."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write files into a zip, and return it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path
