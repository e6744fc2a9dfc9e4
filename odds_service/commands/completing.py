"""Event ids that a running service offers to a shell's completion."""

import re
from collections import Counter
from time import monotonic
from typing import Final

from odds_service.client import Address, connect
from odds_service.commands.finding import listed_events, own_part
from odds_service.commands.streams import silent_about_servers
from odds_service.commands.visible import HIDDEN, visible
from odds_service.errors import OddsServiceError

WITHIN_S: Final = 0.5  # a shell waits for the answer at the prompt

# A shell splits, expands or evaluates other characters, and typer escapes only some of them.
_SAFE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SAFE: Final = frozenset(" -–.,")  # in names, besides letters and digits


def offered_ids(address: Address, begun: str) -> list[tuple[str, str]]:
    """Return the ids of current events that begin so, each with the event's name.

    They lack the namespace before the colon: bash splits words there, and zsh its answer. Commands
    find them without it too, so an id that several namespaces have is left out.

    Nothing when the service refuses, fails or takes longer than WITHIN_S: part of the ids would
    make a prefix look unique.
    """
    end = monotonic() + WITHIN_S
    try:
        with silent_about_servers(), connect(address) as stub:
            listed = [each.event for each in listed_events(stub, end=end)]
    except OddsServiceError:
        return []
    times = Counter(own_part(event.id) for event in listed)
    return [
        (own, _plain(event.name))
        for event in listed
        if (own := own_part(event.id)).startswith(begun)
        and times[own] == 1
        and _SAFE_ID.fullmatch(own)
    ]


def _plain(name: str) -> str:
    """Return a name in which no shell finds anything to evaluate."""
    return "".join(each if each.isalnum() or each in _SAFE else HIDDEN for each in visible(name))
