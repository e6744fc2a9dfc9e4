"""The recorded series beside the project; tests skip where it is absent."""

import os
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECORDED = Path(os.environ.get("ODDS_SHARED_DATA", ROOT.parent / "shared" / "data"))
ODDS_API = RECORDED / "the_odds_api"

needs_recorded = pytest.mark.skipif(not ODDS_API.is_dir(), reason="no recorded odds beside us")


def bodies_of(path: Path) -> list[bytes]:
    """Return the bodies in a folder or a zip, in order."""
    if path.is_dir():
        return [body.read_bytes() for body in sorted(path.glob("*.json"))]
    with zipfile.ZipFile(path) as series:
        names = sorted(name for name in series.namelist() if name.endswith(".json"))
        return [series.read(name) for name in names]
