"""Changes as rows, and the texts of odds that are made once."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from odds_service.model.change import Change, MarketChange
from odds_service.model.market import Market, MarketStatus, Outcome
from odds_service.storage.rows import odds
from odds_service.storage.rows.history import change_from, history_row
from odds_service.storage.rows.odds import OddsPacker, market_from
from tests.support.observations import NOON
from tests.support.stories import H2H, SERIES, Story, random_series

MARKET = Market(H2H, MarketStatus.OPEN, (Outcome("home", "Home", 2.0),), 7, NOON, NOON)


def log() -> list[Change]:
    return Story(SERIES + random_series(4, 60)).log


def test_a_change_comes_back_from_its_row() -> None:
    packer = OddsPacker()
    for change in log():
        assert change_from(history_row(change, packer)) == change


def test_what_is_remembered_makes_the_same_rows_as_what_is_packed_anew() -> None:
    packer = OddsPacker(capacity=3)  # so that some are remembered, and some were dropped
    for change in log():
        assert history_row(change, packer) == history_row(change, OddsPacker())


def test_the_odds_after_one_change_are_packed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next change, and a second try of the same one, find them packed."""
    packed: list[Any] = []
    encode = odds._encode

    def counting(value: Any) -> bytes:
        if any(isinstance(part, tuple) for part in value):  # outcomes
            packed.append(value)
        return encode(value)

    monkeypatch.setattr(odds, "_encode", counting)
    changes = [change for change in log() if isinstance(change, MarketChange)]
    packer = OddsPacker()
    for change in [*changes, *changes]:
        history_row(change, packer)
    assert len(packed) == len(changes)


def test_equal_odds_of_another_log_are_not_taken_for_each_other() -> None:
    packer = OddsPacker()
    other = replace(MARKET, outcomes=(Outcome("home", "Home", 3.0),))
    assert packer.after(MARKET, 7, NOON) != packer.after(other, 7, NOON)
    assert packer.before(MARKET) == OddsPacker().before(MARKET)


def test_what_is_remembered_is_bounded() -> None:
    packer = OddsPacker(capacity=10)
    for revision in range(1, 1_000):
        packer.after(replace(MARKET, revision=revision), revision, NOON)
    assert len(packer._fresh) + len(packer._old) <= 20


def test_odds_whose_row_says_another_revision_or_time_keep_their_own() -> None:
    packer = OddsPacker()
    for _ in range(2):  # packed, and remembered
        for revision, at in ((7, NOON), (8, NOON), (7, NOON + timedelta(hours=1))):
            assert market_from(H2H, packer.after(MARKET, revision, at), revision, at) == MARKET
        assert market_from(H2H, packer.before(MARKET), 9, NOON + timedelta(hours=2)) == MARKET
