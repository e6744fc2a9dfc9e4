"""docs/markets.md agrees with the market table."""

import re

from odds_service.sources.markets.schema import PLACEHOLDERS
from odds_service.sources.markets.table import table
from tools import market_docs


def test_the_list_is_the_tables() -> None:
    text = market_docs.FILE.read_text("utf-8")
    assert market_docs.renewed(text) == text, "run python -m tools.market_docs"
    listed = set(re.findall(r"^\| `([a-z0-9_{}]+)` \|", text, re.MULTILINE))
    assert listed == {name for entries in table().entries.values() for name in entries}


def test_what_it_says_before_the_list_names_what_there_is() -> None:
    head, _, _ = market_docs.FILE.read_text("utf-8").partition(market_docs.MARK)
    assert set(PLACEHOLDERS) <= set(re.findall(r"`\{(\w+)\}`", head))
    keys = {name for entries in table().entries.values() for name in entries}
    for key in ("spreads_3_way", "next_goal", "next_corner", "next_card", "at_least_fouls"):
        assert key in head
        assert key in keys
