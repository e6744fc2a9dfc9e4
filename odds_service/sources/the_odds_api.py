"""The Odds API v4: settings, requests and answers.

The calls, errors and quota headers are documented at https://the-odds-api.com/liveapi/guides/v4/.
"""

import os
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

import msgspec
import trio
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from odds_service.decoding import JsonDecoder
from odds_service.errors import SettingsError, SourceError
from odds_service.model.asks import Asks, Form
from odds_service.model.observation import (
    ANY,
    Completeness,
    Observation,
    ObservedEvent,
    Scope,
)
from odds_service.sources.base import Offer, Pace, Pull, steady_tier
from odds_service.sources.http import HttpFetcher, HttpSettings, open_http
from odds_service.sources.http_answer import Answer, require_json
from odds_service.sources.key_file import KeyFile, read_key
from odds_service.sources.key_ring import KeyRing
from odds_service.sources.odds_api_body import SHARED_NAMESPACE, BodyReader, PriceFormat, format_of
from odds_service.sources.odds_api_recorded import UPCOMING, RecordedOdds
from odds_service.sources.odds_api_shapes import ERROR, PARTS, RAW_ERROR, ErrorBody
from odds_service.sources.pace import DEFAULT_TIERS, TierSettings, tiers_of
from odds_service.sources.settings import read_settings

BOOKMAKERS_A_REGION: Final = 10  # so many named bookmakers cost as much as one region
MOST_EVENTS: Final = 10_000  # per sport; the largest has a few hundred
EVENTS_AT_A_STRETCH: Final = 16  # between two checkpoints: keeps pauses short
FORM: Final = "odds"  # the only kind of request that shows odds, of a sport or of one event
_CREDITS: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")
_ADVICE: Final = {
    "MISSING_KEY": "set `api_key`, `api_key_file` or ODDS_API_KEY",
    "INVALID_KEY": "check `api_key`, `api_key_file` or ODDS_API_KEY",
    "DEACTIVATED_KEY": "the key is switched off; ask The Odds API for another",
    "OUT_OF_USAGE_CREDITS": "the quota is used up; raise `interval_s`, or buy more",
    "EXCEEDED_FREQ_LIMIT": "too many calls a second; lower `http.concurrency`",
    "UNKNOWN_SPORT": "check `sports` against /v4/sports",
    "INVALID_MARKET": "check `markets`",
    "INVALID_MARKET_COMBO": "these `markets` are not available for this sport",
    "INVALID_REGION": "check `regions`",
    "INVALID_BOOKMAKERS": "check `bookmakers`",
}


class TheOddsApiSettings(BaseModel):
    """The keys of a `[[sources]]` table of kind `the-odds-api`.

    Attributes:
        api_key: by default read from `api_key_file`, or else from the environment's ODDS_API_KEY.
        api_keys: further keys, each used when the quota of the one before it is used up.
        api_key_files: files with one such key each.
        bookmakers: requested instead of `regions`, if given.
        interval_s: seconds between two pulls of one sport.
        by_event: pull each event by itself. This costs more, and is the only way to markets beyond
            the featured ones; `tiers` then replace `interval_s`.
        quota_per_day: credits for one UTC day, spread over it.
        discovery_s: seconds between two discoveries.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = "https://api.the-odds-api.com"
    api_key: SecretStr | None = None
    api_key_file: Path | None = None
    api_keys: list[SecretStr] = []
    api_key_files: list[Path] = []
    sports: list[str] = Field(min_length=1)
    regions: list[str] = ["uk", "eu"]
    markets: list[str] = Field(default=["h2h", "spreads", "totals"], min_length=1)
    bookmakers: list[str] = []
    odds_format: Literal["decimal", "american"] = "decimal"
    interval_s: float = Field(default=60.0, gt=0)
    by_event: bool = False
    tiers: tuple[TierSettings, ...] = DEFAULT_TIERS
    quota_per_day: float | None = Field(default=None, gt=0)
    discovery_s: float = Field(default=300.0, gt=0)
    http: HttpSettings = HttpSettings()

    @field_validator("tiers")
    @classmethod
    def _tiers_are_ordered(cls, tiers: tuple[TierSettings, ...]) -> tuple[TierSettings, ...]:
        tiers_of(tiers)
        return tiers

    def pace(self) -> Pace:
        """Return the pace that these settings ask for."""
        return Pace(
            tiers=tiers_of(self.tiers) if self.by_event else (steady_tier(self.interval_s),),
            concurrency=self.http.concurrency,
            requests_per_s=self.http.requests_per_s,
            quota_per_day=self.quota_per_day,
            discovery_s=self.discovery_s,
            by_event=self.by_event,
        )

    def cost(self) -> float:
        """Return the credits of one answer: markets × regions; ten bookmakers make one region."""
        named = -(-len(set(self.bookmakers)) // BOOKMAKERS_A_REGION)
        return float((named or len(set(self.regions))) * len(set(self.markets)))

    def secrets(self) -> list[str]:
        """Return the API keys in the order of their use, each once.

        Raises:
            SettingsError: there is none, or one cannot be read.
        """
        more = [key.get_secret_value() for key in self.api_keys]
        if not all(more):
            raise SettingsError("the-odds-api: one of `api_keys` is empty")
        more += [read_key(path, "api_key_files") for path in self.api_key_files]
        alone = self.api_key is None and self.api_key_file is None
        return list(dict.fromkeys(more if more and alone else [self.secret(), *more]))

    def key_files(self) -> dict[Path, str]:
        """Return the files that hold keys, with the names of their settings."""
        files = dict.fromkeys(self.api_key_files, "api_key_files")
        if self.api_key is None and self.api_key_file is not None:
            files[self.api_key_file] = "api_key_file"
        return files

    def secret(self) -> str:
        """Return the first API key.

        Raises:
            SettingsError: there is none.
        """
        if self.api_key is not None:
            return self.api_key.get_secret_value()
        if self.api_key_file is not None:
            return read_key(self.api_key_file)
        key = os.environ.get("ODDS_API_KEY")
        if not key:
            raise SettingsError(
                "the-odds-api: no API key; set `api_key`, `api_key_file` or ODDS_API_KEY"
            )
        return key


class _Listed(msgspec.Struct):
    id: str
    commence_time: datetime


_listed: Final = JsonDecoder(_Listed)


class TheOddsApi:
    """An account at The Odds API; a pull is a sport with all its events, or one event."""

    kind: ClassVar[str] = "the-odds-api"

    def __init__(self, name: str, settings: TheOddsApiSettings, http: HttpFetcher) -> None:
        self.name = name
        self.pace = settings.pace()
        self._settings = settings
        self._keys = KeyRing(name, settings.secrets())
        self._key_files = [
            KeyFile(path, name, setting=setting) for path, setting in settings.key_files().items()
        ]
        self._cost = settings.cost()
        http.returns = _is_of_key
        self.access = http.access
        self._http = http
        self._reader = BodyReader()
        self._elsewhere = self.asks().elsewhere(FORM)
        self._listed: dict[str, tuple[Pull, ...]] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, name: str, table: dict[str, Any]) -> AsyncIterator[Self]:
        """Open the source; see sources.base.Source.open."""
        settings = read_settings(TheOddsApiSettings, name, table)
        first, *more = settings.secrets()
        async with open_http(settings.url, settings.http, secret=first) as http:
            for secret in more:
                http.conceal(secret)
            yield cls(name, settings, http)

    @classmethod
    def recorded(cls, name: str) -> RecordedOdds:
        """Return a reader of recorded bodies; see sources.recorded."""
        return RecordedOdds(name)

    def asks(self) -> Asks:
        """Return what the settings ask for; it is the same for a sport and for an event."""
        settings = self._settings
        return Asks(
            forms={
                FORM: Form(markets=frozenset(settings.markets), bookmakers=self._asked_bookmakers())
            },
            # `upcoming` shows events that are in no listing.
            listings=frozenset("" if s == UPCOMING else s for s in settings.sports),
            regions=frozenset() if settings.bookmakers else frozenset(settings.regions),
        )

    async def discover(self) -> Offer:
        """Return the sports, or their events if `by_event` is set; see base.Source.discover."""
        sports, cost = self._settings.sports, self._settings.cost()
        if not self._settings.by_event:
            await trio.lowlevel.checkpoint()
            return Offer(tuple(Pull(key=sport, cost=cost) for sport in sports))
        problems: Counter[str] = Counter()
        failed = 0
        for sport in sports:
            try:
                self._listed[sport] = await self._events_of(sport, cost, problems)
            except SourceError as error:
                problems[error.kind] += 1
                failed += 1
                if failed == len(sports):
                    raise
        return Offer(tuple(pull for pulls in self._listed.values() for pull in pulls), problems)

    async def _events_of(self, sport: str, cost: float, problems: Counter[str]) -> tuple[Pull, ...]:
        """Return the events of a sport, which costs no credits; count unreadable ones."""
        path = f"/v4/sports/{sport}/events"
        answer = await self._get(path, {"dateFormat": "iso"}, 0.0)
        pulls = []
        raws = _event_bodies(path, answer)[:MOST_EVENTS]
        for raw in raws:
            try:
                listed = _listed.decode(raw)
            except msgspec.MsgspecError:
                problems["bad_event"] += 1
                continue
            pulls.append(
                Pull(
                    key=listed.id,
                    event=True,
                    listing=sport,
                    start_time=listed.commence_time,
                    shared_ids={SHARED_NAMESPACE: listed.id},
                    cost=cost,
                )
            )
        if raws and not pulls:
            raise SourceError("wrong_shape", f"{path}: none of its events could be read")
        return tuple(pulls)

    async def fetch(self, pull: Pull) -> Observation:
        """Fetch a sport or an event; see sources.base.Source.fetch."""
        if pull.event:
            return await self.fetch_event(pull.key, pull.listing)
        scope = Scope(
            # `upcoming` shows only the next events: an event missing from it is not gone.
            listing=None if pull.key == UPCOMING else pull.key,
            bookmakers=self._asked_bookmakers(),
            markets=frozenset(self._settings.markets),
            elsewhere=self._elsewhere,
        )
        return await self._observe(f"/v4/sports/{pull.key}/odds", scope, whole=pull.key != UPCOMING)

    async def fetch_event(self, source_event_id: str, listing: str | None) -> Observation:
        """Fetch one event on demand; see sources.base.Source.fetch_event."""
        if listing is None:
            raise SourceError("unknown_listing", f"event {source_event_id}: its sport is unknown")
        scope = Scope(
            listing=listing,
            events=frozenset({source_event_id}),
            bookmakers=self._asked_bookmakers(),
            markets=frozenset(self._settings.markets),
            elsewhere=self._elsewhere,
        )
        return await self._observe(f"/v4/sports/{listing}/events/{source_event_id}/odds", scope)

    async def _observe(self, path: str, scope: Scope, *, whole: bool = True) -> Observation:
        started_at = datetime.now(UTC)
        answer = await self._get(path, self._params(), self._cost)
        observed_at = datetime.now(UTC)
        quota = self._keys.left(trio.current_time(), self._cost)
        events: list[ObservedEvent] = []
        problems: Counter[str] = Counter()
        unreadable: set[str] = set()
        gone = answer.status == 404 and scope.events is not None
        if gone and _error(answer).error_code != "EVENT_NOT_FOUND":
            gone = False
        if not gone:
            raws = _event_bodies(path, answer)
            await trio.lowlevel.checkpoint()
            prices = format_of(answer.headers.get("x-odds-format"), self._settings.odds_format)
            if prices is PriceFormat.MIXED:
                prices = self._reader.guess_format(raws)
            for place, raw in enumerate(raws, 1):
                event = self._reader.read_event(raw, prices, problems, unreadable)
                if event is not None:
                    events.append(event)
                if place % EVENTS_AT_A_STRETCH == 0:
                    await trio.lowlevel.checkpoint()
            if prices is PriceFormat.DECIMAL and problems["bad_price"]:
                self._refuse_american(path, raws)
        partial = not whole or ANY in unreadable
        return Observation(
            source=self.name,
            scope=scope,
            completeness=Completeness.PARTIAL if partial else Completeness.COMPLETE,
            started_at=started_at,
            observed_at=observed_at,
            events=tuple(events),
            unreadable=frozenset(unreadable),
            reason="",
            problems=dict(problems),
            quota_left=None if quota is None else int(quota),
            cost=_credits(answer, "x-requests-last"),
        )

    async def _get(self, path: str, params: dict[str, str], cost: float) -> Answer:
        """Send a request with the first key that the source does not refuse.

        If it refuses all, return its answer to the last one.
        """
        await self._renew_keys()
        for place in range(1, len(self._keys) + 1):
            key = self._keys.choose(trio.current_time(), cost)
            answer = await self._http.get(path, {"apiKey": key.secret} | params)
            now = trio.current_time()
            if not _is_of_key(answer):
                self._keys.told(key, now, _credits(answer, "x-requests-remaining"), self._cost)
                return answer
            self._keys.refused(key, now)
            if place == len(self._keys) or self._keys.choose(now, cost) is key:
                return answer
        raise AssertionError("there is a key")

    async def _renew_keys(self) -> None:
        """Use the keys of files that have changed in the place of the ones before."""
        for file in self._key_files:
            before = file.key
            key = await file.current()
            if key != before:
                self._keys.renew(before, key)
                self._http.conceal(key)

    def _refuse_american(self, path: str, raws: list[msgspec.Raw]) -> None:
        """Raise SourceError for American prices where decimal ones were requested."""
        if self._reader.guess_format(raws) is PriceFormat.AMERICAN:
            text = f"{path}: the prices are American, not decimal as requested"
            raise SourceError("wrong_format", text)

    def _params(self) -> dict[str, str]:
        settings = self._settings
        params = {
            "markets": ",".join(settings.markets),
            "oddsFormat": settings.odds_format,
            "dateFormat": "iso",
        }
        if settings.bookmakers:
            return params | {"bookmakers": ",".join(settings.bookmakers)}
        return params | {"regions": ",".join(settings.regions)}

    def _asked_bookmakers(self) -> frozenset[str] | None:
        return frozenset(self._settings.bookmakers) or None


def _is_of_key(answer: Answer) -> bool:
    """Return whether a key is refused, for itself or for its quota: another one may be taken."""
    if answer.status == 401:
        return True
    return answer.status == 429 and _error(answer).error_code == "OUT_OF_USAGE_CREDITS"


def _credits(answer: Answer, header: str) -> float | None:
    """Return a header's number of credits; None if it is not a number."""
    text = answer.headers.get(header, "")
    return float(text) if _CREDITS.fullmatch(text) else None


def _error(answer: Answer) -> ErrorBody:
    try:
        return ERROR.decode(answer.body)
    except msgspec.MsgspecError:
        return ErrorBody(message="no reason given")


def _event_bodies(path: str, answer: Answer) -> list[msgspec.Raw]:
    """Return the events of an answer, still undecoded.

    Raises:
        SourceError: the answer is an error; the text suggests a remedy.
    """
    if answer.status != 200:
        error = _error(answer)
        kind = error.error_code.lower() or f"status_{answer.status}"
        text = f"{path}: answered {answer.status}: {error.message}"
        advice = _ADVICE.get(error.error_code)
        raise SourceError(kind, f"{text} ({advice})" if advice else text)
    body = require_json(path, answer)
    try:
        if body.lstrip()[:1] == b"[":
            return PARTS.decode(body)
        shown = RAW_ERROR.decode(body)
    except msgspec.ValidationError as wrong:
        raise SourceError("wrong_shape", f"{path}: {wrong}") from None
    except msgspec.DecodeError as broken:
        raise SourceError("truncated", f"{path}: broken JSON: {broken}") from None
    if bytes(shown.error_code) or bytes(shown.message):
        raise SourceError("error_body", f"{path}: {_error(answer).message}")
    return [msgspec.Raw(body)]
