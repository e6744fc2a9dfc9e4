"""Fetching over HTTP: limits, time-outs, retries, and every failure under a name of its own.

The only importer of httpx. One client per source; what it raises is SourceError, whose text never
holds a query (API keys travel there).
"""

import codecs
import logging
import re
from collections.abc import AsyncIterator, Hashable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec
import stamina
import trio
from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field

from odds_service import __version__
from odds_service.errors import SourceError
from odds_service.secrets import hide
from odds_service.sources.breaker import Breaker
from odds_service.sources.http_body import Kept, KeptBodies, decompressed
from odds_service.sources.http_site import Site, site_of

T = TypeVar("T")

USER_AGENT: Final = f"odds-service/{__version__}"
_RETRIED_STATUS: Final = frozenset({429, 500, 502, 503, 504})
_REASON_BYTES: Final = 2**16  # 64 KiB: an error's body is read no further, it is only shown
_MESSAGE_CHARS: Final = 200  # of a server's own words, in our errors
_MAX_RETRY_AFTER_S: Final = 30.0  # a longer wait is the schedule's, not a retry's
_EPOCH_S: Final = 1e9  # a delay from here on is seconds since 1970: some servers send these
_EPOCH_MS: Final = 1e12
_DAY_S: Final = 86_400.0
_NUMBER: Final = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?")
_CONNECTION_ERRORS: Final = (
    httpx.NetworkError,
    httpx.ProtocolError,
    httpx.UnsupportedProtocol,
    httpx.ProxyError,
    httpx.StreamClosed,
)
for _library in ("httpx", "httpcore"):
    logging.getLogger(_library).setLevel(logging.WARNING)  # below it they log URLs with their keys
_NAMED_STATUS: Final = {401: "unauthorized", 403: "forbidden", 404: "not_found"}


class HttpSettings(BaseModel):
    """How to fetch; times in seconds, sizes in bytes.

    user_agent: say who you are; servers may refuse what they do not know. max_body_bytes bounds
    what comes over the wire, max_decompressed_bytes what that becomes. concurrency: requests under
    way at once; requests_per_s: how many may start (none: no limit). attempts and retry_s bound
    the retries of one fetch in number and in time. breaker_failures requests failed in a row leave
    the source alone for breaker_cool_s. kept_bytes: bodies kept for servers that answer 304.
    max_retry_after_s: a `Retry-After` that asks for more is cut to it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    user_agent: str = USER_AGENT
    connect_s: float = Field(default=10.0, gt=0)
    read_s: float = Field(default=20.0, gt=0)
    total_s: float = Field(default=60.0, gt=0)
    max_body_bytes: int = Field(default=16 * 2**20, gt=0)  # 16 MiB; the largest seen is 5 MB
    max_decompressed_bytes: int = Field(default=64 * 2**20, gt=0)  # 64 MiB
    concurrency: int = Field(default=2, gt=0)
    requests_per_s: float | None = Field(default=None, gt=0)
    attempts: int = Field(default=3, ge=1)
    retry_s: float = Field(default=30.0, gt=0)
    breaker_failures: int = Field(default=10, ge=1)
    breaker_cool_s: float = Field(default=30.0, gt=0)
    kept_bytes: int = Field(default=32 * 2**20, ge=0)  # 32 MiB
    max_retry_after_s: float = Field(default=3_600.0, gt=0, le=86_400)


class Answer(Struct, frozen=True):
    """A whole answer; header names in lower case. A body confirmed by 304 comes back as 200."""

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

    def __init__(
        self,
        client: httpx.AsyncClient,
        site: Site,
        settings: HttpSettings,
        secret: str | None,
    ) -> None:
        self._client = client
        self._site = site
        self._secret = None if secret is None else secret.encode()
        self._settings = settings
        self._breaker = Breaker(
            settings.breaker_failures, settings.breaker_cool_s, trio.current_time
        )
        self._kept = KeptBodies(settings.kept_bytes)
        # No more requests than connections: cancelling while the pool is full leaks its slots.
        self._slots = trio.CapacityLimiter(settings.concurrency)
        self._next_start = 0.0

    @property
    def kept_bytes(self) -> int:
        """How much is kept of bodies that the server may confirm."""
        return self._kept.size_bytes

    async def get(self, path: str, params: Mapping[str, str]) -> Answer:
        """GET, with retries of what may pass; any status that is not retried comes back.

        Raises SourceError of kind timeout, connection, redirect, truncated, too_large,
        bad_encoding, rate_limited, server_error or circuit_open. Cancelling loses the answer
        under way.
        """
        return await self._fetch("GET", path, params, None)

    async def post(self, path: str, body: Any) -> Answer:
        """POST a JSON body (a query that is too long for a URL); raises as `get`."""
        return await self._fetch("POST", path, {}, msgspec.json.encode(body))

    async def _fetch(
        self, method: str, path: str, params: Mapping[str, str], content: bytes | None
    ) -> Answer:
        failed: list[_Retry] = []
        try:
            return await self._attempt(method, path, params, content)
        except _Retry as failure:
            failed.append(failure)
        settings = self._settings
        try:
            # The first failure is told to stamina as its first attempt's: most fetches succeed, and
            # need none of it.
            async for attempt in stamina.retry_context(
                on=_waits_little,
                attempts=settings.attempts,
                timeout=settings.retry_s,
                wait_initial=0.2,
                wait_max=5.0,
            ):
                with attempt:
                    if failed:
                        raise failed.pop()
                    return await self._attempt(method, path, params, content)
        except _Retry as failure:
            raise failure.error from None
        raise AssertionError("stamina ends with a result or an error")

    async def _attempt(
        self, method: str, path: str, params: Mapping[str, str], content: bytes | None
    ) -> Answer:
        async with self._slots:
            await self._pace()
            return await self._guarded(method, path, params, content)

    async def _pace(self) -> None:
        if self._settings.requests_per_s is None:
            return
        start = max(trio.current_time(), self._next_start)
        self._next_start = start + 1 / self._settings.requests_per_s
        await trio.sleep_until(start)

    async def _guarded(
        self, method: str, path: str, params: Mapping[str, str], content: bytes | None
    ) -> Answer:
        self._breaker.admit()
        try:
            answer = await self._fetch_once(method, path, params, content)
        except _Retry as failure:
            self._breaker.failed(failure.error)
            raise
        except SourceError as error:
            self._breaker.failed(error)
            raise
        except BaseException:
            self._breaker.given_up()
            raise
        self._breaker.succeeded()
        return answer

    async def _fetch_once(
        self, method: str, path: str, params: Mapping[str, str], content: bytes | None
    ) -> Answer:
        settings = self._settings
        request_key = (path, tuple(params.items()), content)
        kept = self._kept.get(request_key)
        headers: list[tuple[bytes, bytes]] = []
        if kept is not None:
            headers += [
                (name.encode(), value.encode()) for name, value in kept.conditions().items()
            ]
        if content is not None:
            headers.append((b"content-type", b"application/json"))
            headers.append((b"content-length", b"%d" % len(content)))
        try:
            with trio.fail_after(settings.total_s):
                async with self._client.stream(
                    method,
                    self._site.url(path, params),
                    headers=headers,
                    content=content,
                ) as response:
                    answer = await self._read(path, response, request_key, kept)
        except trio.TooSlowError:
            text = f"{path}: no whole answer within {settings.total_s:g} s"
            raise _Retry(SourceError("timeout", text)) from None
        except httpx.TimeoutException as error:
            text = f"{path}: {type(error).__name__}"
            raise _Retry(SourceError("timeout", text)) from None
        except httpx.RemoteProtocolError as error:
            # What comes after a colon quotes the server, which may quote a part of our key.
            said = str(error).partition(":")[0]
            text = f"{path}: the answer broke off or is not HTTP: {said}"
            raise _Retry(SourceError("truncated", text)) from None
        except _CONNECTION_ERRORS as error:
            text = f"{path}: {type(error).__name__}: {error}"
            raise _Retry(SourceError("connection", text)) from None
        if 300 <= answer.status < 400:
            to = _without_query(answer.headers.get("location", ""))
            raise SourceError("redirect", f"{path}: redirected to {to} (a login, or moved?)")
        if answer.status in _RETRIED_STATUS:
            raise _Retry(_status_error(path, answer, settings.max_retry_after_s))
        return answer

    async def _read(
        self, path: str, response: httpx.Response, request_key: Hashable, kept: Kept | None
    ) -> Answer:
        settings = self._settings
        headers = _named(response.headers.raw)
        status = response.status_code
        if status == 304 and kept is not None:
            limit = settings.max_decompressed_bytes
            body = await decompressed(path, kept.encoding, kept.wire, limit)
            return Answer(200, headers, body)
        limit = settings.max_body_bytes if status < 400 else _REASON_BYTES
        wire = await _wire_bytes(response, limit)
        if wire is None:
            if status >= 400:
                return Answer(status, headers, b"")
            raise SourceError("too_large", f"{path}: the body is over {limit} bytes")
        encoding = headers.get("content-encoding", "").strip().lower()
        body = await decompressed(path, encoding, wire, settings.max_decompressed_bytes)
        if status >= 400 and self._secret:
            body = body.replace(self._secret, b"***")  # some servers quote the key they refuse
        if status == 200:
            validators = headers.get("etag"), headers.get("last-modified")
            self._kept.keep(request_key, Kept(*validators, encoding, wire))
        return Answer(status, headers, body)


def _named(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Header names in lower case; values of a repeated one joined, as HTTP defines it."""
    named: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("ascii", "replace").lower(), raw_value.decode("latin-1")
        named[name] = f"{named[name]}, {value}" if name in named else value
    return named


async def _wire_bytes(response: httpx.Response, limit: int) -> bytes | None:
    """The body as it came, None when it is over the limit: the rest is not read."""
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in response.aiter_raw():
            size += len(chunk)
            chunks.append(chunk)
            if size > limit:
                # Leaving the loop would leave nested generators to the garbage collector; closed,
                # the response ends them all with an error.
                await response.aclose()
    except _CONNECTION_ERRORS:
        if size <= limit:
            raise
    return b"".join(chunks) if size <= limit else None


def _waits_little(error: Exception) -> bool | float:
    """Whether to try again, for stamina: after its own wait, or after what the source asked for."""
    if not isinstance(error, _Retry):
        return False
    asked_s = error.error.retry_after_s
    if asked_s is None:
        return True
    return asked_s if asked_s <= _MAX_RETRY_AFTER_S else False


def _without_query(location: str) -> str:
    """Host and path of an address; keys travel in the rest."""
    try:
        where = urlsplit(location)
        return f"{where.hostname or ''}{where.path}" or "nowhere"
    except ValueError:
        return "nowhere"


def _status_error(path: str, answer: Answer, max_retry_after_s: float) -> SourceError:
    kind = "rate_limited" if answer.status == 429 else "server_error"
    header = answer.headers.get("retry-after")
    retry_after_s = retry_after(header, datetime.now(UTC), max_retry_after_s)
    return SourceError(kind, f"{path}: {_said(answer)}", retry_after_s=retry_after_s)


class _Said(Struct):
    message: str = ""


def _said(answer: Answer) -> str:
    """What an error answer says of itself, as far as it is JSON with a message."""
    text = f"answered {answer.status}"
    try:
        message = msgspec.json.decode(answer.body, type=_Said).message
    except msgspec.MsgspecError:
        return text
    return f"{text}: {message[:_MESSAGE_CHARS]}" if message else text


def retry_after(header: str | None, now: datetime, most_s: float) -> float | None:
    """The wait that a Retry-After header asks for, from 0 to `most_s` seconds.

    It is a delay, a date, or (against the standard) the seconds or milliseconds since 1970 of a
    date. None where there is none to understand.
    """
    if header is None:
        return None
    text = header.strip()
    if _NUMBER.fullmatch(text):
        wait_s = float(text)
        if wait_s >= _EPOCH_S:
            at_s = wait_s / 1000 if wait_s >= _EPOCH_MS else wait_s
            wait_s = at_s - now.timestamp()
            if wait_s < -_DAY_S:  # no date that a server would name: then a delay without bounds
                wait_s = most_s
    elif text.isascii() and text.isdigit():
        wait_s = most_s  # a number of any length
    else:
        try:
            at = parsedate_to_datetime(text)
            wait_s = (
                (at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - now
            ).total_seconds()
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return min(max(0.0, wait_s), most_s)


def require_ok(path: str, answer: Answer) -> Answer:
    """The answer, when it is a 200.

    Raises SourceError of kind unauthorized, forbidden, not_found, or bad_request for the others.
    """
    if answer.status == 200:
        return answer
    kind = _NAMED_STATUS.get(answer.status, "bad_request")
    raise SourceError(kind, f"{path}: {_said(answer)}")


def require_json(path: str, answer: Answer) -> bytes:
    """The body of an answer that should be JSON.

    Raises SourceError of kind html for a page (anti-bot, login), not_json for anything else that
    does not begin like JSON.
    """
    body = answer.body.removeprefix(codecs.BOM_UTF8)
    start = body[:256].lstrip()[:1]
    if start == b"<":
        raise SourceError("html", f"{path}: a page came where JSON was due (blocked, or a login?)")
    if start not in {b"[", b"{"}:
        raise SourceError("not_json", f"{path}: the body is not JSON")
    return body


def decode_json(path: str, answer: Answer, kind: type[T]) -> T:
    """The body of an answer that should be JSON of one shape.

    Raises SourceError as require_ok and require_json, and of kind wrong_shape or truncated.
    """
    body = require_json(path, require_ok(path, answer))
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise SourceError("wrong_shape", f"{path}: {error}") from None
    except msgspec.DecodeError as error:
        raise SourceError("truncated", f"{path}: broken JSON: {error}") from None


@asynccontextmanager
async def open_http(
    base_url: str,
    settings: HttpSettings,
    headers: Mapping[str, str] | None = None,
    secret: str | None = None,
) -> AsyncIterator[HttpFetcher]:
    """Open a client for one source; redirects are not followed, proxies of the environment unused.

    headers: sent with every request beside the user agent. secret: hidden in what servers say.
    Raises SettingsError when the address or a header is none.
    """
    if secret is not None:
        hide(secret)
    site = site_of(
        base_url,
        {
            "user-agent": settings.user_agent,
            "accept": "application/json",
            "accept-encoding": "gzip",  # we decompress it ourselves, within bounds
            **(headers or {}),
        },
    )
    async with httpx.AsyncClient(
        headers=[*site.headers],
        trust_env=False,
        http2=True,
        timeout=httpx.Timeout(settings.read_s, connect=settings.connect_s, pool=settings.total_s),
        limits=httpx.Limits(
            max_connections=settings.concurrency,
            max_keepalive_connections=settings.concurrency,
        ),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    ) as client:
        yield HttpFetcher(client, site, settings, secret)
