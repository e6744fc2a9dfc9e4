"""Bet9ja: its groups, events and payloads.

Matches in play have different event ids and come from another service, which is not fetched: an
event disappears at its start.
"""

from collections import Counter
from datetime import UTC, datetime
from typing import ClassVar, Final, TypeVar

import msgspec
from msgspec import Struct
from pydantic import Field

from odds_service.decoding import JsonDecoder
from odds_service.errors import SourceError
from odds_service.model.observation import ObservedEvent
from odds_service.sources.base import Pull
from odds_service.sources.bet9ja_body import read_event
from odds_service.sources.by_event import ByEvent, ByEventSettings, pull_of
from odds_service.sources.http_answer import decode_json, require_json, require_ok
from odds_service.sources.listing_entries import Entries
from odds_service.sources.markets.coverage import Coverage
from odds_service.sources.naming import sportradar_id

T = TypeVar("T")

_PATH: Final = "/desktop/feapi/PalimpsestAjax"
_SUCCESS: Final = frozenset({"OK", "D"})
_UNKNOWN: Final = "E"
_NOTHING: Final = msgspec.Raw(b"{}")
_START: Final = "%Y-%m-%d %H:%M:%S"  # has no zone; comparison with other bookmakers shows UTC


class Bet9jaSettings(ByEventSettings):
    """The keys of a `[[sources]]` table of kind `bet9ja`."""

    url: str = "https://sports.bet9ja.com"
    sports: list[str] = Field(default=["1"], min_length=1)


class _Region(Struct):
    G: msgspec.Raw = _NOTHING  # by the id of a group


class _Sport(Struct):
    SG: msgspec.Raw = _NOTHING  # regions by their id


class _Tree(Struct):
    PAL: msgspec.Raw  # sports by their id


class _TreeAnswer(Struct):
    R: str
    D: _Tree | None = None


class _Listed(Struct):
    ID: int | str
    STARTDATE: str | None = None
    EXTID: str | int | None = None


class _Group(Struct):
    E: list[msgspec.Raw]


class _GroupAnswer(Struct):
    R: str
    D: _Group | None = None


_sport: Final = JsonDecoder(_Sport)
_region: Final = JsonDecoder(_Region)
_listed: Final = JsonDecoder(_Listed)


class Bet9ja(ByEvent[Bet9jaSettings]):
    """Bet9ja's offer before the start of matches."""

    kind: ClassVar[str] = "bet9ja"
    settings_type = Bet9jaSettings

    async def tournaments(self, problems: Counter[str]) -> list[str]:
        """Return the groups of the chosen sports; see ByEvent.tournaments."""
        path = f"{_PATH}/GetSports"
        reply = decode_json(path, await self._http.get(path, {"DISP": "0"}), _TreeAnswer)
        _require_success(path, reply.R)
        entries = Entries(path, problems)
        tree = entries.by_key(_present(path, reply.D).PAL)
        chosen = [tree[sport] for sport in self._settings.sports if sport in tree]
        groups = [
            group
            for sport in entries.read(chosen, _sport)
            for region in entries.read(entries.by_key(sport.SG).values(), _region)
            for group in entries.by_key(region.G)
        ]
        entries.require(groups)
        return groups

    async def listed(self, tournament: str, problems: Counter[str]) -> list[Pull]:
        """Return the events of a group; see ByEvent.listed."""
        path = f"{_PATH}/GetEventsInGroupV2"
        params = {"GROUPID": tournament, "DISP": "0", "GROUPMARKETID": "1"}
        reply = decode_json(path, await self._http.get(path, params), _GroupAnswer)
        if reply.R == _UNKNOWN:
            return []  # the group is gone; its events are pulled until they are gone too
        _require_success(path, reply.R)
        entries = Entries(path, problems)
        pulls = [
            pull_of(str(event.ID), tournament, _start(event.STARTDATE), sportradar_id(event.EXTID))
            for event in entries.read(_present(path, reply.D).E, _listed)
        ]
        entries.require(pulls)
        return pulls

    async def read(
        self, event_id: str, *, started: bool, problems: Counter[str], coverage: Coverage
    ) -> ObservedEvent:
        """Read an event; the only payload is the one before the start. See ByEvent.read."""
        del started
        path = f"{_PATH}/GetEvent"
        answer = await self._http.get(path, {"EVENTID": event_id})
        return self.read_body(require_json(path, require_ok(path, answer)), problems, coverage)

    @staticmethod
    def read_body(body: bytes, problems: Counter[str], coverage: Coverage) -> ObservedEvent:
        """Decode the body of an event; see ByEvent.read_body."""
        return read_event(body, problems, coverage)


def _require_success(path: str, result: str) -> None:
    if result not in _SUCCESS:
        raise SourceError("refused", f"{path}: R is {result!r}, neither OK nor D")


def _present(path: str, payload: T | None) -> T:
    if payload is None:
        raise SourceError("wrong_shape", f"{path}: R is a success, but there is no D")
    return payload


def _start(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.strptime(text, _START).replace(tzinfo=UTC)
    except ValueError:
        return None
