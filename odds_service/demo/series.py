"""A recorded series: bodies of The Odds API in a folder or a zip, read one at a time.

Every ``.json`` file below the path is a body; bodies are ordered by path. A body belongs to the
sport of its events. A body with several sports is an answer of `/v4/sports/upcoming/odds`, and
belongs to the sport ``upcoming``. An empty body belongs to the only sport of the series, or to the
sport in its file's name. A recorded `/v4/sports` listing provides the names of the sports.
"""

from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Final, Literal

import msgspec

from odds_service.decoding import JsonDecoder
from odds_service.recorded_files import ClosedOnExit, RecordedFiles, RecordingError, recorded_at

UPCOMING: Final = "upcoming"  # the API's own name for "the next events of all sports"
LEAST_AMERICAN: Final = 100  # the least absolute value of American odds

OddsFormat = Literal["american", "decimal", "mixed", "unknown"]


class _Outcome(msgspec.Struct, gc=False):
    price: float | int | None = None


class _Market(msgspec.Struct):
    outcomes: list[_Outcome] = []


class _Book(msgspec.Struct):
    markets: list[_Market] = []


class _Event(msgspec.Struct):
    """The parsed part of a recorded event; the rest is served as it is."""

    id: str
    sport_key: str
    sport_title: str = ""
    bookmakers: list[_Book] = []


class ListedSport(msgspec.Struct, frozen=True):
    """A sport in `/v4/sports`."""

    key: str
    group: str = ""
    title: str = ""
    description: str = ""
    active: bool = True
    has_outrights: bool = False


class Body(msgspec.Struct, frozen=True):
    """A recorded body: its file, and the results of the check."""

    name: str  # path in the folder or zip, with forward slashes
    recorded_at: datetime | None  # from the file's name
    odds_format: OddsFormat  # "unknown": it has no prices


class Series(ClosedOnExit):
    """The bodies of a series by sport, in order; a context manager that keeps the zip open.

    Bodies are checked on loading but not kept, so memory does not grow with the series.
    """

    def __init__(self, path: Path) -> None:
        """Load a series and check every body. This blocks, so call it in a thread.

        Raises:
            RecordingError: The path is neither a folder nor a zip, or contains no body, or a file
                is invalid.
        """
        self._path = path
        self._files = RecordedFiles(path)
        self.bodies: dict[str, list[Body]] = {}
        self.sports: dict[str, ListedSport] = {}
        try:
            self._load()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the zip."""
        self._files.close()

    def read(self, body: Body) -> bytes:
        """Return the recorded bytes of a body. Blocking and thread-safe.

        Raises:
            RecordingError: The file is missing or cannot be read.
        """
        return self._files.read(body.name)

    def _load(self) -> None:
        empty: list[tuple[int, Body]] = []
        ordered: dict[str, list[tuple[int, Body]]] = {}
        titles: dict[str, str] = {}
        listed: dict[str, ListedSport] = {}
        names = self._files.names()
        for number, name in enumerate(names):
            content = self._files.read(name)
            if (listing := _sports_listing(content)) is not None:
                listed.update((sport.key, sport) for sport in listing)
                continue
            events = _events(name, content)
            body = Body(name, recorded_at(name), _odds_format(events))
            keys = {event.sport_key for event in events}
            titles.update((event.sport_key, event.sport_title) for event in events)
            if keys:
                key = keys.pop() if len(keys) == 1 else UPCOMING
                ordered.setdefault(key, []).append((number, body))
            else:
                empty.append((number, body))
        if not ordered:
            raise RecordingError(
                f"{self._path}: no body with events among {len(names)} .json files"
            )
        for number, body in empty:
            stem = PurePosixPath(body.name).stem
            if len(ordered) > 1 and stem not in ordered:
                raise RecordingError(
                    f"{body.name}: an empty array, and the series has {len(ordered)} sports: "
                    "name the file after its sport's key"
                )
            ordered[stem if stem in ordered else next(iter(ordered))].append((number, body))
        for key, numbered in sorted(ordered.items()):
            self.bodies[key] = [body for _, body in sorted(numbered, key=lambda pair: pair[0])]
            self.sports[key] = listed.get(key) or ListedSport(key, title=titles.get(key, ""))


def _sports_listing(content: bytes) -> list[ListedSport] | None:
    """Return the sports of a recorded `/v4/sports`, or None for other files."""
    try:
        listing = _listing_decoder.decode(content)
    except msgspec.DecodeError:
        return None
    return listing if listing and all(sport.group for sport in listing) else None


def _events(name: str, content: bytes) -> list[_Event]:
    try:
        return _body_decoder.decode(content)
    except msgspec.ValidationError as error:
        if content.lstrip()[:1] != b"[":
            raise RecordingError(f"{name}: not an array of events: {error}") from error
        raise RecordingError(f"{name}: not a body of The Odds API: {error}") from error
    except msgspec.DecodeError as error:
        raise RecordingError(f"{name}: not JSON: {error}") from error


def _odds_format(events: list[_Event]) -> OddsFormat:
    """Return the format of a body's prices.

    Whole prices of at least 100 or below 0 are American; prices with a fraction are decimal. If the
    other prices are decimal, so is a whole price from 100 on (a long shot on an exchange). So
    "mixed" requires a price that cannot be decimal.
    """
    american = decimal = ambiguous = False
    for event in events:
        for book in event.bookmakers:
            for market in book.markets:
                for outcome in market.outcomes:
                    price = outcome.price
                    if price is None:
                        continue
                    if price < 0:
                        american = True
                    elif price < LEAST_AMERICAN or price % 1:
                        decimal = True
                    else:
                        ambiguous = True
    if american and decimal:
        return "mixed"
    if decimal:
        return "decimal"
    return "american" if american or ambiguous else "unknown"


_listing_decoder: Final = JsonDecoder(list[ListedSport])
_body_decoder: Final = JsonDecoder(list[_Event])
