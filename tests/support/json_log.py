"""The log of a process that writes JSON."""

import json
from pathlib import Path
from typing import Any


def entries(log: Path, event: str) -> list[dict[str, Any]]:
    """Return the entries of an event. The line that is being written is none of them yet."""
    whole, _, _ = log.read_bytes().rpartition(b"\n")
    wanted = f'"{event}"'.encode()
    found = [json.loads(line) for line in whole.split(b"\n") if wanted in line and line[:1] == b"{"]
    return [entry for entry in found if entry.get("event") == event]
