"""Sources with one payload per event: their settings, discovery, and the fetch of an event.

Discovery visits the tournaments one by one. A tournament that fails keeps its events of the last
discovery, and is counted. An event that its provider no longer knows gives a complete, empty
observation; detection decides whether it is gone.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Generic, Self, TypeVar

import trio
from pydantic import BaseModel, ConfigDict, Field, field_validator

from odds_service.errors import SourceError
from odds_service.model.asks import Asks, Form
from odds_service.model.observation import Observation, ObservedEvent
from odds_service.sources.access import holds_all
from odds_service.sources.base import Offer, Pace, Pull
from odds_service.sources.event_answers import UNKNOWN, answer_of_event
from odds_service.sources.http import HttpFetcher, HttpSettings, open_http
from odds_service.sources.markets.coverage import Coverage
from odds_service.sources.pace import DEFAULT_TIERS, TierSettings, tiers_of
from odds_service.sources.recorded import RecordedEvents
from odds_service.sources.settings import read_settings

MOST_TOURNAMENTS: Final = 5_000  # more than any bookmaker has
EVENT_FORM: Final = "event"  # the only kind of request that shows odds


class PoliteHttp(HttpSettings):
    """The `http` table of a bookmaker's own site, with limits that do not burden it."""

    concurrency: int = Field(default=4, gt=0)
    requests_per_s: float | None = Field(default=10.0, gt=0)


class ByEventSettings(BaseModel):
    """The keys that these sources share; times in seconds.

    Attributes:
        sports: the provider's ids of the sports.
        tournaments: the provider's ids of the tournaments to visit; empty for all.
        headers: sent with every request, in addition to the user agent.
        max_events: limit of discovered events; those that start first are kept.
        discovery_s: time between two discoveries.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    sports: list[str] = Field(min_length=1)
    tournaments: list[str] = []
    headers: dict[str, str] = {}
    tiers: tuple[TierSettings, ...] = DEFAULT_TIERS
    discovery_s: float = Field(default=300.0, gt=0)
    max_events: int = Field(default=5_000, gt=0)
    http: PoliteHttp = PoliteHttp()

    @field_validator("tiers")
    @classmethod
    def _tiers_are_ordered(cls, tiers: tuple[TierSettings, ...]) -> tuple[TierSettings, ...]:
        tiers_of(tiers)
        return tiers

    def pace(self) -> Pace:
        """Return the pace that these settings ask for."""
        return Pace(
            tiers=tiers_of(self.tiers),
            concurrency=self.http.concurrency,
            requests_per_s=self.http.requests_per_s,
            discovery_s=self.discovery_s,
            by_event=True,
        )


S = TypeVar("S", bound=ByEventSettings)


class ByEvent(ABC, Generic[S]):
    """A source of single events; subclasses add the tournaments, listings and payloads."""

    kind: ClassVar[str]
    settings_type: ClassVar[type[ByEventSettings]]

    def __init__(self, name: str, settings: S, http: HttpFetcher) -> None:
        self.name = name
        self.pace = settings.pace()
        self._settings = settings
        self.access = http.access
        self._http = http
        self._parts: dict[str, tuple[Pull, ...]] = {}
        self._starts: dict[str, datetime] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, name: str, table: dict[str, Any]) -> AsyncIterator[Self]:
        """Open the source; see sources.base.Source.open."""
        settings: Any = read_settings(cls.settings_type, name, table)
        async with open_http(settings.url, settings.http, cls.headers_of(settings)) as http:
            yield cls(name, settings, http)

    def asks(self) -> Asks:
        """Return what the settings ask for; an event always comes with all its markets."""
        return Asks(
            forms={EVENT_FORM: Form()},
            listings=frozenset(self._settings.tournaments) or None,
            sports=frozenset(self._settings.sports),
        )

    @classmethod
    def headers_of(cls, settings: Any) -> dict[str, str]:
        """Return the headers of every request."""
        return dict(settings.headers)

    @classmethod
    def recorded(cls, name: str) -> RecordedEvents:
        """Return a reader of recorded bodies; see sources.recorded."""
        return RecordedEvents(name, cls.read_body)

    # -- to be implemented by subclasses -----------------------------------------------------------

    @abstractmethod
    async def tournaments(self, problems: Counter[str]) -> list[str]:
        """Return the provider's ids of its tournaments.

        Args:
            problems: incremented for every entry that cannot be read; see Entries.

        Raises:
            SourceError: The request failed, or no entry can be read.
        """

    @abstractmethod
    async def listed(self, tournament: str, problems: Counter[str]) -> list[Pull]:
        """Return the events of one tournament, from all pages; see `tournaments`."""

    @abstractmethod
    async def read(
        self, event_id: str, *, started: bool, problems: Counter[str], coverage: Coverage
    ) -> ObservedEvent:
        """Fetch and decode one event.

        Args:
            event_id: the provider's id.
            started: whether it should be in play, by its last known start.
            problems: incremented for every part that is skipped.
            coverage: counts the markets that the table knows and those that it does not.

        Raises:
            SourceError: of kind `unknown_event` if the provider no longer knows it.
        """

    @staticmethod
    @abstractmethod
    def read_body(body: bytes, problems: Counter[str], coverage: Coverage) -> ObservedEvent:
        """Decode the body of an event; raises and counts as `read` does."""

    # -- sources.base.Source -----------------------------------------------------------------------

    async def discover(self) -> Offer:
        """Visit all tournaments one by one; see sources.base.Source.discover."""
        chosen = self._settings.tournaments
        problems: Counter[str] = Counter()
        tournaments = (chosen or await self.tournaments(problems))[:MOST_TOURNAMENTS]
        parts: dict[str, tuple[Pull, ...]] = {}
        failures: list[SourceError] = []
        for tournament in tournaments:
            try:
                parts[tournament] = tuple(await self.listed(tournament, problems))
            except SourceError as error:
                failures.append(error)
                problems[error.kind] += 1
                if tournament in self._parts:
                    parts[tournament] = self._parts[tournament]
                if holds_all(error):
                    parts = self._parts | parts
                    break
        if failures and len(failures) == len(tournaments):
            raise failures[-1]
        self._parts = parts
        pulls = {pull.key: pull for part in parts.values() for pull in part}
        if len(pulls) > self._settings.max_events:
            problems["too_many_events"] += 1
            far = datetime.max.replace(tzinfo=UTC)
            first = sorted(pulls.values(), key=lambda pull: pull.start_time or far)
            pulls = {pull.key: pull for pull in first[: self._settings.max_events]}
        self._starts = {
            pull.key: pull.start_time for pull in pulls.values() if pull.start_time is not None
        }
        return Offer(tuple(pulls.values()), problems)

    async def fetch(self, pull: Pull) -> Observation:
        """Fetch one event; see sources.base.Source.fetch."""
        start_time = pull.start_time or self._starts.get(pull.key)
        started = start_time is not None and start_time <= datetime.now(UTC)
        return await self._observe(pull.key, pull.listing, pull.in_play or started)

    async def fetch_event(self, source_event_id: str, listing: str | None) -> Observation:
        """Fetch one event on demand; see sources.base.Source.fetch_event."""
        return await self.fetch(
            Pull(key=source_event_id, event=True, listing=listing, in_play=False)
        )

    async def _observe(self, event_id: str, listing: str | None, started: bool) -> Observation:
        started_at = datetime.now(UTC)
        problems: Counter[str] = Counter()
        coverage = Coverage()
        event: ObservedEvent | None = None
        try:
            event = await self.read(event_id, started=started, problems=problems, coverage=coverage)
        except SourceError as error:
            if error.kind != UNKNOWN:
                raise
        except RecursionError:
            text = f"event {event_id}: JSON nested too deeply"
            raise SourceError("wrong_shape", text) from None
        await trio.lowlevel.checkpoint()
        return answer_of_event(
            self.name, event_id, listing, event,
            started_at=started_at, observed_at=datetime.now(UTC),
            problems=problems, coverage=coverage,
        )  # fmt: skip


def pull_of(
    event_id: str,
    listing: str,
    start_time: datetime | None,
    shared_ids: Mapping[str, str],
    *,
    in_play: bool = False,
) -> Pull:
    """Return the pull of one listed event.

    Args:
        event_id: the provider's id.
        listing: its tournament.
        start_time: None if the listing does not say.
        shared_ids: as in ObservedEvent.
        in_play: whether the listing shows it as in play.
    """
    return Pull(
        key=event_id,
        event=True,
        listing=listing,
        start_time=start_time,
        in_play=in_play,
        shared_ids=shared_ids,
    )
