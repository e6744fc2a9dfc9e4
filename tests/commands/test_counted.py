"""Numbers agree with their nouns in what the commands print."""

import re
from typing import Final

from tests.support.command_line import ROOT

# In an f-string: a value, and a noun in the plural whatever the value is.
ALWAYS_PLURAL: Final = re.compile(
    r"\{[^{}]+\} (?:events|markets|changes|sources|rows|bookmakers|outcomes|pulls)\b"
)
# One message is for several markets alone, the other is a command line.
NO_COUNTS: Final = {"{len(keys)} markets", "{program} events"}


def test_commands_count_by_one_function() -> None:
    found = {
        match.group()
        for path in sorted((ROOT / "odds_service" / "commands").glob("*.py"))
        for match in ALWAYS_PLURAL.finditer(path.read_text())
    }
    assert found == NO_COUNTS
