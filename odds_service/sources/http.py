"""Fetching over HTTP: limits, time-outs, retries, and every failure under a name of its own.

The only importer of httpx. One client per source; what it raises is SourceError, whose text never
holds a query (API keys travel there).
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
import stamina
import trio
from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field

from odds_service import __version__
from odds_service.errors import SourceError

USER_AGENT: Final = f"odds-service/{__version__}"
_RETRIED_STATUS: Final = frozenset({429, 500, 502, 503, 504})
_CHUNK_LIMIT_ERRORS: Final = "too_large"
_REASON_BYTES: Final = 2**16  # 64 KiB: an error's body is read no further, it is only shown
_MAX_RETRY_AFTER_S: Final = 30.0  # a longer wait is the schedule's, not a retry's


class HttpSettings(BaseModel):
    """How to fetch; times in seconds, sizes in bytes.

    max_body_bytes bounds what comes over the wire and what it decompresses to. attempts and
    retry_s bound the retries of one fetch in number and in time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    user_agent: str = USER_AGENT
    connect_s: float = Field(default=10.0, gt=0)
    read_s: float = Field(default=20.0, gt=0)
    total_s: float = Field(default=60.0, gt=0)
    max_body_bytes: int = Field(default=64 * 2**20, gt=0)  # 64 MiB; the largest seen is 5 MB
    concurrency: int = Field(default=2, gt=0)
    attempts: int = Field(default=3, ge=1)
    retry_s: float = Field(default=30.0, gt=0)


class Answer(Struct, frozen=True):
    """A whole answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Retry(Exception):
    """A failure that may pass."""

    def __init__(self, error: SourceError) -> None:
        super().__init__(str(error))
        self.error = error


class HttpFetcher:
    """One source's HTTP client; use as given by `open_http`."""

    def __init__(self, client: httpx.AsyncClient, settings: HttpSettings) -> None:
        self._client = client
        self._settings = settings
        # No more requests than connections: cancelling while httpx's pool is full leaks its slots.
        self._slots = trio.CapacityLimiter(settings.concurrency)

    async def get(self, path: str, params: Mapping[str, str]) -> Answer:
        """GET, with retries of what may pass; any status that is not retried comes back.

        Raises SourceError of kind timeout, connection, redirect, truncated, too_large,
        rate_limited or server_error. Cancelling loses the answer under way.
        """
        settings = self._settings
        try:
            async for attempt in stamina.retry_context(
                on=_waits_little,
                attempts=settings.attempts,
                timeout=settings.retry_s,
                wait_initial=0.2,
                wait_max=5.0,
            ):
                with attempt:
                    async with self._slots:
                        return await self._get_once(path, params)
        except _Retry as failure:
            raise failure.error from None
        raise AssertionError("stamina ends with a result or an error")

    async def _get_once(self, path: str, params: Mapping[str, str]) -> Answer:
        settings = self._settings
        try:
            with trio.fail_after(settings.total_s):
                async with self._client.stream("GET", path, params=dict(params)) as response:
                    answer = await self._read(path, response)
        except trio.TooSlowError:
            text = f"{path}: no whole answer within {settings.total_s:g} s"
            raise _Retry(SourceError("timeout", text)) from None
        except httpx.TimeoutException as error:
            text = f"{path}: {type(error).__name__}"
            raise _Retry(SourceError("timeout", text)) from None
        except httpx.RemoteProtocolError as error:
            text = f"{path}: the answer broke off or is not HTTP: {error}"
            raise _Retry(SourceError("truncated", text)) from None
        except httpx.DecodingError as error:
            text = f"{path}: the body does not decompress: {error}"
            raise SourceError("truncated", text) from None
        except httpx.TransportError as error:
            text = f"{path}: {type(error).__name__}: {error}"
            raise _Retry(SourceError("connection", text)) from None
        if 300 <= answer.status < 400:
            raise SourceError("redirect", f"{path}: redirected (a login, or a moved address?)")
        if answer.status in _RETRIED_STATUS:
            raise _Retry(_status_error(path, answer))
        return answer

    async def _read(self, path: str, response: httpx.Response) -> Answer:
        limit = self._settings.max_body_bytes
        if response.status_code >= 400:
            limit = min(limit, _REASON_BYTES)
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.aiter_bytes(2**16):
            size += len(chunk)
            if size > limit and response.status_code < 400:
                text = f"{path}: the body is over {limit} bytes"
                raise SourceError(_CHUNK_LIMIT_ERRORS, text)
            chunks.append(chunk)
            if size > limit:
                break
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, b"".join(chunks))


def _waits_little(error: Exception) -> bool | float:
    """Whether to try again, for stamina: after its own wait, or after what the source asked for."""
    if not isinstance(error, _Retry):
        return False
    asked_s = error.error.retry_after_s
    if asked_s is None:
        return True
    return asked_s if asked_s <= _MAX_RETRY_AFTER_S else False


def _status_error(path: str, answer: Answer) -> SourceError:
    kind = "rate_limited" if answer.status == 429 else "server_error"
    retry_after_s = retry_after(answer.headers.get("retry-after"), datetime.now(UTC))
    text = f"{path}: answered {answer.status}"
    return SourceError(kind, text, retry_after_s=retry_after_s)


def retry_after(header: str | None, now: datetime) -> float | None:
    """The header's seconds or date as seconds from now; None where there is none to understand."""
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())


def require_json(path: str, answer: Answer) -> bytes:
    """The body of an answer that should be JSON.

    Raises SourceError of kind html for a page (anti-bot, login), not_json for anything else that
    does not begin like JSON.
    """
    start = answer.body[:256].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<")):
        raise SourceError("html", f"{path}: a page came where JSON was due (blocked, or a login?)")
    if not start.startswith((b"[", b"{")):
        raise SourceError("not_json", f"{path}: the body is not JSON")
    return answer.body


@asynccontextmanager
async def open_http(base_url: str, settings: HttpSettings) -> AsyncIterator[HttpFetcher]:
    """Open a client for one source; redirects are not followed."""
    client = httpx.AsyncClient(
        base_url=base_url,
        headers={"user-agent": settings.user_agent, "accept": "application/json"},
        timeout=httpx.Timeout(settings.read_s, connect=settings.connect_s),
        limits=httpx.Limits(
            max_connections=settings.concurrency, max_keepalive_connections=settings.concurrency
        ),
        http2=True,
        follow_redirects=False,
        trust_env=False,
    )
    async with client:
        yield HttpFetcher(client, settings)
