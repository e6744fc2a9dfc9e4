"""Times on the command line: every form in every command, in one zone that is always shown."""

from datetime import UTC, datetime, timedelta

import pytest
import typer

from odds_service.commands import times
from odds_service.commands.times import Times, read_time
from tests.commands.books import book_of
from tests.support.command_line import ran
from tests.support.odds_builders import serving
from tests.support.terminal import seen

NOW = datetime(2026, 8, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("now", timedelta(0)),
        ("-1h", timedelta(hours=1)),
        ("-90m", timedelta(minutes=90)),
        ("+2d", timedelta(days=-2)),
        ("-1.5w", timedelta(weeks=1.5)),
    ],
)
def test_relative_times(text: str, ago: timedelta) -> None:
    assert abs(datetime.now(UTC) - ago - read_time(text)) < timedelta(seconds=60)


def test_days_begin_at_midnight_of_the_zone() -> None:
    today, yesterday = read_time("today"), read_time("yesterday")
    assert today - yesterday == timedelta(days=1)
    assert (today.hour, today.minute, today.tzinfo) == (0, 0, UTC)


def test_absolute_times_have_the_zone_that_they_name_or_the_chosen_one() -> None:
    assert read_time("2026-08-04T12:00Z") == NOW
    assert read_time("2026-08-04T14:00+02:00") == NOW
    assert read_time("2026-08-04 12:00") == NOW  # in a pipe: UTC
    try:
        times._choose("Europe/Rome")
        assert read_time("2026-08-04T14:00") == NOW
        assert Times("Europe/Rome", now=NOW).second(NOW) == "2026-08-04 14:00:00"
        assert Times("Europe/Rome", now=NOW).zone == "CEST"
    finally:
        times._choose(None)


@pytest.mark.parametrize("text", ["noon", "", "-h", "1h", "-1x", "2026-13-01", "-99999999999d"])
def test_what_is_no_time_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="2026-08-04T12:00Z, now"):
        read_time(text)


async def test_the_zone_is_shown_and_local_at_a_terminal() -> None:
    async with serving(book_of()) as server:
        address = {"ODDS_SERVER": server.address}
        tokyo = address | {"TZ": "Asia/Tokyo"}
        piped = await ran("events", **tokyo)
        shown = await seen("events", environment=tokyo)
        chosen = await ran("events", "--tz", "America/New_York", **address)
        day = await ran("events", "--start-from", "2026-08-04T18:00Z", "--start-to", "+1000d",
                        **address)  # fmt: skip
    assert "start (UTC)" in piped.stdout
    assert "2026-08-04 18:00" in piped.stdout
    assert "start (JST)" in shown.text
    assert "05 Aug 03:00" in shown.text.replace(" 2026", "")
    assert "2026-08-04 14:00" in chosen.stdout
    assert len(day.stdout.splitlines()) == 3
