"""`odds-service db dead-letters list` at terminals of three widths."""

from pathlib import Path

import pytest

from odds_service.store import WriteGroup
from tests.support.databases import SqlitePlace
from tests.support.stories import SERIES, Story
from tests.support.terminal import seen


@pytest.mark.logs_errors
@pytest.mark.parametrize("width", [80, 100, 160])
async def test_each_letter_is_whole_at_every_width(width: int, tmp_path: Path) -> None:
    place = SqlitePlace(tmp_path)
    async with place.begun() as (store, _):
        place.refuse("revision = 2 AND kind > 0 OR revision = 4 AND kind > 0")
        assert await store.write(WriteGroup(Story(SERIES).batches)) == 2
        (first, second) = await store.dead_letters(0, 10)
    shown = await seen("db", "dead-letters", "list", "--database", place.url, width=width)
    assert shown.code == 0, shown.text
    assert max(map(len, shown.lines)) <= width
    words = " ".join(shown.text.split())
    for letter in (first, second):
        assert f"{letter.letter_id} revision {letter.revision}" in words
        assert " ".join(letter.reason.split()) in words
    assert words.count("1 try") == 2
    assert " UTC, " in words  # the zone stands beside the time
    assert words.endswith("2 dead letters")
    assert "…" not in shown.text
