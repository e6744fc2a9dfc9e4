"""Write the list of canonical markets in docs/markets.md from the market table.

`python -m tools.market_docs` renews the file below its mark; with `--check` it only says whether
that is needed.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from odds_service.sources.markets.schema import PROVIDERS, MarketEntry, cells
from odds_service.sources.markets.table import Table, table

FILE: Final = Path(__file__).resolve().parent.parent / "docs" / "markets.md"
MARK: Final = "<!-- Below: python -m tools.market_docs -->\n"
_MOST_SHOWN: Final = 10  # of a set's outcomes in the list


def listing(markets: Table) -> Iterator[str]:
    """Return the lines below the mark."""
    for sport in sorted(markets.entries, key=lambda sport: (sport != "soccer", sport)):
        entries = markets.entries[sport]
        yield f"\n## {sport.capitalize()}: {len(entries)} markets\n"
        yield f"\n| market | what it is | outcomes | {' | '.join(PROVIDERS)} |\n"
        yield f"| --- | --- | --- |{' :-: |' * len(PROVIDERS)}\n"
        for name, entry in sorted(entries.items()):
            marks = " | ".join("✓" if _has(entry, provider) else "" for provider in PROVIDERS)
            yield f"| `{name}` | {entry.about} | {_outcomes(markets, entry)} | {marks} |\n"


def _has(entry: MarketEntry, provider: str) -> bool:
    return any(True for _, side in entry.sides() for _ in side.places(provider))


def _outcomes(markets: Table, entry: MarketEntry) -> str:
    outcome_set = markets.sets[entry.outcomes]
    keys = [f"`{key}`" for key in cells(outcome_set.keys)]
    more = len(keys) - _MOST_SHOWN
    shown = " ".join(keys[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return shown if outcome_set.complete else f"{shown} (not exactly one)"


def renewed(text: str) -> str:
    """Return the document with its list renewed from the table."""
    head, mark, _ = text.partition(MARK)
    if not mark:
        raise ValueError(f"{FILE.name} has no line {MARK!r}")
    return head + mark + "".join(listing(table()))


def main(arguments: list[str]) -> int:
    """Renew the file, or check it: exit code 1 when it is stale."""
    text = FILE.read_text("utf-8")
    wanted = renewed(text)
    if "--check" not in arguments:
        FILE.write_text(wanted, "utf-8")
    elif wanted != text:
        print(f"{FILE.name} is stale: python -m tools.market_docs")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
