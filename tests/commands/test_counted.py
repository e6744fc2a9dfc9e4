"""Numbers agree with their nouns in what the commands print."""

import re
from typing import Final

from tests.support.command_line import ROOT

# In an f-string: a value, and a noun in the plural whatever the value is.
ALWAYS_PLURAL: Final = re.compile(
    r"\{[^{}]+\} (?:events|markets|changes|sources|rows|bookmakers|outcomes|pulls)\b"
)
# "1 of 1 markets", a message for several markets alone, and a command line.
NO_COUNTS: Final = {"{coverage.markets} markets", "{len(keys)} markets", "{program} events"}


def test_commands_count_by_one_function() -> None:
    found = {
        match.group()
        for path in sorted((ROOT / "odds_service" / "commands").glob("*.py"))
        for match in ALWAYS_PLURAL.finditer(path.read_text())
    }
    assert found == NO_COUNTS
