"""Stored rows as bytes equal the bytes of their changes."""

import pytest

from odds_service.model.change import ChangeKind, MarketChange
from odds_service.storage.rows.history import history_row
from odds_service.storage.schema import microseconds
from odds_service.store import LOG_COLUMNS
from odds_service.wire.encode import change_wire
from odds_service.wire.stored import Row, row_wires
from tests.support.stories import SERIES, Story, random_series


def row_of(change: MarketChange) -> Row:
    row = history_row(change)
    return tuple(getattr(row, name) for name in LOG_COLUMNS)


@pytest.fixture(scope="module")
def changes() -> list[MarketChange]:
    log = Story(SERIES + random_series(8, 60)).log
    return [change for change in log if isinstance(change, MarketChange)]


def test_rows_give_the_bytes_of_their_changes(changes: list[MarketChange]) -> None:
    assert {each.kind for each in changes} >= {
        ChangeKind.ADDED, ChangeKind.PRICES, ChangeKind.REMOVED
    }  # fmt: skip
    assert any(each.other_line for each in changes)
    assert row_wires([row_of(each) for each in changes]) == [change_wire(each) for each in changes]


def test_odd_rows_are_left_to_the_decoder(changes: list[MarketChange]) -> None:
    good = row_of(changes[0])
    at = LOG_COLUMNS.index("after")
    many = [f'["{n}","",1.5,true]' for n in range(65)]
    for odd in (
        '[7,[["home","Home",1.5,true]]]',  # no status
        '[1,[["home","Home",1.5,true]],"noon"]',
        f'[1,[["home","{"x" * 20_000}",1.5,true]]]',
        f"[1,[{','.join(many)}]]",
    ):
        row = (*good[:at], odd, *good[at + 1 :])
        assert row_wires([good, row]) == [change_wire(changes[0]), None]
    torn = (*good[:at], "[1,[", *good[at + 1 :])
    assert row_wires([torn, good]) == [None, None]


def test_times_of_both_databases_are_read(changes: list[MarketChange]) -> None:
    row = list(row_of(changes[1]))
    for name in ("observed_at", "detected_at"):
        place = LOG_COLUMNS.index(name)
        row[place] = microseconds(row[place])
    assert row_wires([row]) == [change_wire(changes[1])]
