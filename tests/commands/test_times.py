"""Times on the command line: every form in every command, in one zone that is always shown."""

import io
from datetime import UTC, datetime, timedelta

import pytest
import typer

from odds_service.commands import times
from odds_service.commands.times import Times, read_time
from odds_service.model.market import MarketKey
from tests.commands.books import book_of
from tests.support.command_line import ran
from tests.support.observations import observe, observed_event
from tests.support.odds_builders import Bookkeeping, serving
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


def test_the_year_is_shown_where_it_is_not_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Terminal())
    shown = Times("UTC", now=NOW)
    assert shown.minute(NOW + timedelta(days=1)) == "05 Aug 12:00"
    assert shown.minute(NOW.replace(year=2027)) == "04 Aug 2027 12:00"
    assert shown.minute(NOW.replace(month=12, day=31, hour=23)) == "31 Dec 23:00"
    assert shown.second(NOW) == "12:00:00"
    assert shown.second(NOW.replace(year=2025)) == "2025-08-04 12:00:00"


class Terminal(io.StringIO):
    """A file that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


async def test_tables_at_a_terminal_show_another_year() -> None:
    book = Bookkeeping(keeps_past=True)
    offer = {"b1": {MarketKey("h2h"): {"home": 2.0, "away": 1.9}}}
    start = NOW.replace(year=2023)
    book.see(observe([observed_event("e", offer, start_time=start)], -3 * 365 * 24 * 60))
    async with serving(book) as server:
        address = {"ODDS_SERVER": server.address}
        listed, odds, changes = [
            await seen(command, width=160, environment=address)
            for command in ("events", "get", "history")
        ]
    assert listed.code == odds.code == changes.code == 0
    assert "04 Aug 2023 12:00" in listed.text
    assert "04 Aug 2023 12:00 UTC" in odds.text
    assert "2023-08-05 12:00:00" in changes.text
