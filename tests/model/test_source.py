"""Reasons of sources that are not up: a word for programs and a text for people."""

import re
from dataclasses import dataclass

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from odds_service.model.change import ChangeKind, SourceChange
from odds_service.model.observation import Completeness
from odds_service.model.source import SourceState, SourceStatus, reason_word, told_by_word
from odds_service.storage.rows.history import change_from
from tests.support.observations import NOON, observe

WORD = re.compile(r"[a-z][a-z0-9_]*")


@settings(deadline=None)
@given(st.text())
def test_whatever_a_plug_in_names_its_failure_by_programs_get_a_word(name: str) -> None:
    assert WORD.fullmatch(reason_word(name))
    failed = msgspec.structs.replace(
        observe([]), completeness=Completeness.FAILED, problems={name: 1}, reason=name
    )
    assert WORD.fullmatch(failed.failure)
    assert observe([]).failure == ""


@settings(deadline=None)
@given(st.from_regex(WORD, fullmatch=True).filter(lambda name: len(name) <= 64))
def test_a_word_stays(name: str) -> None:
    assert reason_word(name) == name


@dataclass
class StoredRow:
    """A row of odds_history as 0.1.0 wrote it: a text as the reason, and no detail."""

    after: str
    reason: str
    revision: int = 7
    detected_at = observed_at = NOON
    kind = int(ChangeKind.SOURCE_DOWN)
    source = "toa"
    event_id = bookmaker = market = line = participant = ""
    snapshot_id = before = other_line = ended = wall_at = None


def test_a_state_stored_as_text_is_read_back_as_word_and_text() -> None:
    for text, word in (
        ("/v4/sports/x/odds: answered 503", "failed"),
        ("no success since 2026-08-04T12:00:00+00:00", "no_success"),
    ):
        state = {"source": "toa", "interval_s": 60.0, "status": 3, "reason": text}
        change = change_from(StoredRow(msgspec.json.encode(state).decode(), text))
        assert isinstance(change, SourceChange)
        assert change.reason == change.after.reason == word
        assert change.after.detail == text


@settings(deadline=None)
@given(reason=st.text(), detail=st.text())
def test_reading_back_is_the_same_for_what_is_a_word_already(reason: str, detail: str) -> None:
    state = SourceState(
        source="toa", interval_s=60.0, status=SourceStatus.DOWN, reason=reason, detail=detail
    )
    told = told_by_word(state)
    assert not told.reason or WORD.fullmatch(told.reason)
    assert told_by_word(told) == told
    if WORD.fullmatch(reason) and len(reason) <= 64:
        assert told == state
