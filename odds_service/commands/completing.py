"""Event ids that a running service offers to a shell's completion."""

import re
from time import monotonic
from typing import Final

from odds_service.client import Address, connect
from odds_service.commands.finding import listed_events
from odds_service.commands.visible import HIDDEN, visible
from odds_service.errors import OddsServiceError

WITHIN_S: Final = 0.5  # a shell waits for the answer at the prompt

# A shell splits, expands or evaluates other characters, and typer escapes only some of them.
_SAFE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SAFE: Final = frozenset(" -–.,")  # in names, besides letters and digits


def offered_ids(address: Address, begun: str) -> list[tuple[str, str]]:
    """Return the ids of current events that begin so, each with the event's name.

    Nothing when the service refuses, fails or takes longer than WITHIN_S: part of the ids would
    make a prefix look unique.
    """
    end = monotonic() + WITHIN_S
    try:
        with connect(address) as stub:
            listed = [each.event for each in listed_events(stub, end=end)]
    except OddsServiceError:
        return []
    return [
        (event.id, _plain(event.name))
        for event in listed
        if event.id.startswith(begun) and _SAFE_ID.fullmatch(event.id)
    ]


def _plain(name: str) -> str:
    """Return a name in which no shell finds anything to evaluate."""
    return "".join(each if each.isalnum() or each in _SAFE else HIDDEN for each in visible(name))
