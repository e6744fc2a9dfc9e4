"""Answers that are older than an earlier one, by the source's own times."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec
import pytest
from msgspec.structs import replace

from odds_service.detection.answer_times import ADVANCING_ANSWERS, STALE_ANSWER, AnswerTimes
from odds_service.model.market import MarketKey
from odds_service.model.observation import Completeness, Observation
from odds_service.model.snapshot import EventSource
from odds_service.sources.odds_api_body import BodyReader
from tests.support.observations import NOON, Book, observe, observed_event
from tests.support.recorded import ODDS_API, bodies_of, needs_recorded

H2H = MarketKey("h2h")
RECORDED = ("nfl_week1_20250910-15.zip", "nfl_sunday_20251012.zip", "kbo_inplay_20260804")


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def told(minutes: Mapping[str, float], event: str = "e") -> Observation:
    """Return an answer whose bookmakers tell these times."""
    shown = observed_event(event, {name: {H2H: {"home": 2.0}} for name in minutes})
    bookmakers = tuple(
        replace(each, source_updated_at=at(minutes[each.bookmaker])) for each in shown.bookmakers
    )
    return observe([replace(shown, bookmakers=bookmakers)])


def test_odds_whose_time_steps_back_are_left_out_and_counted() -> None:
    times = AnswerTimes({})
    times.sift(told({"a": 5, "b": 5}))
    sifted = times.sift(told({"a": 4, "b": 6}))
    (event,) = sifted.events
    assert [each.bookmaker for each in event.bookmakers] == ["b"]
    assert event.unreadable == {"a"}
    assert sifted.problems == {STALE_ANSWER: 1}


def test_an_answer_behind_in_all_is_a_failed_fetch() -> None:
    times = AnswerTimes({})
    times.sift(told({"a": 5, "b": 5}))
    sifted = times.sift(told({"a": 4, "b": 3}))
    assert (sifted.completeness, sifted.reason) == (Completeness.FAILED, STALE_ANSWER)
    assert sifted.events == ()


def test_an_equal_time_is_no_step_back() -> None:
    times = AnswerTimes({})
    answer = told({"a": 5})
    assert times.sift(answer) is answer
    assert times.sift(answer) is answer


def test_a_mended_clock_is_believed_at_its_third_advancing_answer() -> None:
    times = AnswerTimes({})
    times.sift(told({"a": 90}))
    taken = [bool(times.sift(told({"a": minute})).events) for minute in (1, 1, 2, 3, 4)]
    assert taken == [False, False, False, True, True]
    assert ADVANCING_ANSWERS == 3


def test_answers_that_do_not_advance_are_never_believed() -> None:
    times = AnswerTimes({})
    times.sift(told({"a": 90}))
    assert not any(times.sift(told({"a": minute})).events for minute in (3, 2, 3, 2, 3, 2, 1) * 3)


def test_a_newer_answer_ends_the_run() -> None:
    times = AnswerTimes({})
    times.sift(told({"a": 90}))
    taken = [bool(times.sift(told({"a": minute})).events) for minute in (1, 2, 91, 3, 4)]
    assert taken == [False, False, True, False, False]


def test_warmed_times_count_after_a_restart() -> None:
    book = Book()
    book.see(told({"a": 5}))
    assert AnswerTimes(book.events).sift(told({"a": 4})).reason == STALE_ANSWER


def test_events_are_compared_each_for_itself() -> None:
    times = AnswerTimes({})
    times.sift(told({"a": 5}))
    assert not times.sift(told({"a": 4}, "another")).problems


def test_a_forgotten_event_starts_anew() -> None:
    times = AnswerTimes({})
    times.sift(told({"a": 5}))
    times.forget([EventSource("toa", "e", None, None)])
    assert not times.sift(told({"a": 4})).problems


@needs_recorded
@pytest.mark.parametrize("series", RECORDED)
def test_recorded_times_never_step_back(series: str) -> None:
    times, reader = AnswerTimes({}), BodyReader()
    compared = 0
    for body in bodies_of(ODDS_API / series):
        raws = msgspec.json.decode(body, type=list[msgspec.Raw])
        prices = reader.guess_format(raws)
        events = [reader.read_event(raw, prices, Counter(), set()) for raw in raws]
        sifted = times.sift(observe([event for event in events if event is not None]))
        assert STALE_ANSWER not in sifted.problems
        compared += sum(len(event.bookmakers) for event in sifted.events)
    assert compared > 200
