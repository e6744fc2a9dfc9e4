"""docs/history-schema.md describes the columns of each table, in order."""

import re
from pathlib import Path

import pytest

from odds_service.columns.odds import CLOSING, CURRENT, OPENING
from odds_service.columns.schema import OUTAGES, PRICES, Table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "history-schema.md"


@pytest.mark.parametrize(
    ("heading", "table"),
    [
        ("Prices", PRICES),
        ("Outages", OUTAGES),
        ("Closing odds", CLOSING),
        ("Opening odds", OPENING),
        ("Current odds", CURRENT),
    ],
)
def test_the_page_has_every_column_with_its_type(heading: str, table: Table) -> None:
    section = PAGE.read_text("utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \| (\w+) \| \S", section, re.MULTILINE)
    assert listed == [(column.name, column.type) for column in table.columns]
