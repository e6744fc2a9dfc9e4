"""Times on the command line: one way to read them, and one zone to show them in."""

import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

FORMS: Final = "2026-08-04T12:00Z, now, -90m, -1h, +2d, today, yesterday, tomorrow"
TIME: Final = "TIME"

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_RELATIVE: Final = re.compile(r"([+-])(\d+(?:\.\d+)?)([smhdw])")
_DAYS: Final = {"yesterday": -1, "today": 0, "tomorrow": 1}

# The zone of --tz, which typer reads before the options that hold times.
_chosen: ContextVar[tzinfo | None] = ContextVar("zone", default=None)


def _choose(name: str | None) -> str | None:
    if name is None or name == "local":
        _chosen.set(None)
        return name
    try:
        _chosen.set(UTC if name.upper() == "UTC" else ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise typer.BadParameter(
            f"{name!r} is no time zone; write UTC, local or Europe/Rome"
        ) from None
    return name


Zone = Annotated[
    str | None,
    typer.Option(
        "--tz",
        is_eager=True,
        callback=_choose,
        help="Zone of times: UTC, local or Europe/Rome; default: local on a terminal, else UTC.",
    ),
]


class Times:
    """Times shown in one zone.

    Args:
        tz: The value of --tz; None for local time on a terminal and UTC in a pipe.
        now: The present, for years and days that need not be shown.
    """

    def __init__(self, tz: str | None = None, *, now: datetime | None = None) -> None:
        self._for_people = sys.stdout.isatty()
        local = tz == "local" or (tz is None and self._for_people)
        self._zone = None if local else (_chosen.get() or UTC)
        self._now = self.of(now or datetime.now(UTC))

    @property
    def zone(self) -> str:
        """Return the zone's short name, for headings: `UTC`, `CET`."""
        return self._now.tzname() or f"{self._now:%z}"

    def of(self, at: datetime) -> datetime:
        """Return a time in the zone; naive ones, as protobuf gives them, are UTC."""
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(self._zone)

    def minute(self, at: datetime) -> str:
        """Return `04 Aug 12:00`, with the year if it is not this one; in a pipe all of it."""
        shown = self.of(at)
        if not self._for_people:
            return f"{shown:%Y-%m-%d %H:%M}"
        return f"{shown:%d %b %H:%M}" if shown.year == self._now.year else f"{shown:%d %b %Y %H:%M}"

    def second(self, at: datetime) -> str:
        """Return `12:00:05`, with the date if it is not today, and always in a pipe."""
        shown = self.of(at)
        today = self._for_people and shown.date() == self._now.date()
        return f"{shown:%H:%M:%S}" if today else self.full(at)

    def full(self, at: datetime) -> str:
        """Return `2026-08-04 12:00:05`."""
        return f"{self.of(at):%Y-%m-%d %H:%M:%S}"

    def iso(self, at: datetime) -> str:
        """Return a time with its offset in ISO 8601, to the second."""
        return self.of(at).isoformat(timespec="seconds")


def read_time(text: str) -> datetime:
    """Parse a time on the command line; see FORMS. Without an offset it is in the zone of --tz.

    Raises:
        typer.BadParameter: It is none of these.
    """
    zone = _chosen.get() or (datetime.now().astimezone().tzinfo if _is_local() else UTC)
    now = datetime.now(UTC)
    word = text.strip().lower()
    try:
        if word == "now":
            return now
        if word in _DAYS:
            day = now.astimezone(zone) + timedelta(days=_DAYS[word])
            return day.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
        if found := _RELATIVE.fullmatch(word):
            seconds = float(found[2]) * _UNITS[found[3]]
            return now + timedelta(seconds=seconds if found[1] == "+" else -seconds)
        at = datetime.fromisoformat(text.strip())
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is no time; write {FORMS}") from None


def _is_local() -> bool:
    return sys.stdout.isatty()


def time_option(help_text: str) -> Any:
    """Return a typer option that holds a time."""
    return typer.Option(parser=read_time, metavar=TIME, help=help_text)
