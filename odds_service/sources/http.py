"""HTTP client of the sources, within one source's access policy.

The only importer of httpx. Each source has its own client. It raises nothing but SourceError, whose
text never holds a query, because API keys travel there.
"""

import importlib.util
import logging
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Mapping
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec
import stamina
import trio
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from odds_service import __version__
from odds_service.errors import SettingsError, SourceError
from odds_service.secrets import hide, hide_in_url
from odds_service.sources.access import Access, AccessPolicy
from odds_service.sources.failures import TROUBLE, status_kind
from odds_service.sources.http_answer import Answer, status_error
from odds_service.sources.http_body import Kept, KeptBodies, decompressed
from odds_service.sources.http_site import Site, site_of

USER_AGENT: Final = f"odds-service/{__version__}"
MOST_SECRETS: Final = 64  # keys that are masked; the oldest ones of a file that changes are dropped
_REASON_BYTES: Final = 2**16  # 64 KiB: limit of an error's body, which is only shown
_CONNECTION_ERRORS: Final = (
    httpx.NetworkError,
    httpx.ProtocolError,
    httpx.UnsupportedProtocol,
    httpx.ProxyError,
    httpx.StreamClosed,
)
for _library in ("httpx", "httpcore"):
    logging.getLogger(_library).setLevel(logging.WARNING)  # below it they log URLs, with keys


class HttpSettings(BaseModel):
    """The keys of a source's `http` table; times in seconds, sizes in bytes.

    Attributes:
        user_agent: identifies you; servers may refuse unknown ones.
        max_body_bytes: limit of a body as sent.
        max_decompressed_bytes: limit of the same body, decompressed.
        concurrency: limit of requests under way at once.
        requests_per_s: limit of requests started per second; None for no limit.
        attempts: limit of the attempts of one fetch.
        retry_s: time after which a fetch is not retried again.
        breaker_failures: failed requests in a row after which the source is left alone.
        breaker_cool_s: time for which it is left alone.
        kept_bytes: size of the cache of bodies for servers that answer 304.
        max_retry_after_s: upper bound of a `Retry-After`.
        proxy: address of the proxy that all requests go through, with or without a name and a
            password; `http://` or `https://`, and `socks5://` if the package socksio is there.
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
    proxy: SecretStr | None = None

    def policy(self) -> AccessPolicy:
        """Return the access policy that these settings describe."""
        return AccessPolicy(
            concurrency=self.concurrency,
            requests_per_s=self.requests_per_s,
            attempts=self.attempts,
            retry_s=self.retry_s,
            breaker_failures=self.breaker_failures,
            breaker_cool_s=self.breaker_cool_s,
            max_retry_after_s=self.max_retry_after_s,
        )


class HttpFetcher:
    """One source's HTTP client; use `open_http` to create it.

    Attributes:
        access: the source's policy, which its scraper shares if the source exposes it.
        returns: chooses answers that `get` and `post` return although their status says that the
            server is in trouble; None for none.
    """

    returns: Callable[[Answer], bool] | None = None

    def __init__(
        self,
        client: httpx.AsyncClient,
        site: Site,
        settings: HttpSettings,
        secret: str | None,
    ) -> None:
        self.access = Access(settings.policy())
        self._client = client
        self._site = site
        self._secrets: tuple[bytes, ...] = ()
        if secret:
            self.conceal(secret)
        self._settings = settings
        self._kept = KeptBodies(settings.kept_bytes)
        # No more requests than connections: cancelling while the pool is full leaks its slots.
        self._slots = trio.CapacityLimiter(self.access.policy.concurrency)

    @property
    def kept_bytes(self) -> int:
        """Size of the bodies that are cached for revalidation, in bytes."""
        return self._kept.size_bytes

    def conceal(self, secret: str) -> None:
        """Mask one more key wherever the server repeats it."""
        hide(secret)
        self._secrets = tuple(dict.fromkeys((secret.encode(), *self._secrets)))[:MOST_SECRETS]

    async def get(self, path: str, params: Mapping[str, str]) -> Answer:
        """Send a GET request, with retries while the server is in trouble.

        Answers of any other status are returned.

        Args:
            path: below the source's address; never with a query.
            params: the query, which may hold keys.

        Raises:
            SourceError: of kind timeout, connection, redirect, truncated, too_large, bad_encoding,
                rate_limited, server_error or circuit_open.

        Cancellation:
            Loses the answer under way.
        """
        return await self._fetch("GET", path, params, None)

    async def post(self, path: str, body: Any) -> Answer:
        """Send a JSON body (a query too long for a URL) with POST; raises like `get`."""
        return await self._fetch("POST", path, {}, msgspec.json.encode(body))

    async def _fetch(
        self, method: str, path: str, params: Mapping[str, str], content: bytes | None
    ) -> Answer:
        failed: list[SourceError] = []
        try:
            return await self._attempt(method, path, params, content)
        except SourceError as error:
            if self.access.again(error) is False:
                raise
            failed.append(error)
        policy = self.access.policy
        # Most fetches succeed at once and do not need stamina. When one fails, stamina receives
        # its error as the outcome of the first attempt.
        async for attempt in stamina.retry_context(
            on=self.access.again,
            attempts=policy.attempts,
            timeout=policy.retry_s,
            wait_initial=0.2,
            wait_max=5.0,
        ):
            with attempt:
                if failed:
                    raise failed.pop()
                return await self._attempt(method, path, params, content)
        raise AssertionError("stamina ends with a result or an error")

    async def _attempt(
        self, method: str, path: str, params: Mapping[str, str], content: bytes | None
    ) -> Answer:
        async with self._slots:
            now = trio.current_time()
            at = self.access.request(now)
            if at > now:
                await trio.sleep_until(at)
            return await self._guarded(method, path, params, content)

    async def _guarded(
        self, method: str, path: str, params: Mapping[str, str], content: bytes | None
    ) -> Answer:
        access = self.access
        access.admit(trio.current_time())
        try:
            answer = await self._fetch_once(method, path, params, content)
        except SourceError as error:
            access.request_failed(trio.current_time(), error)
            raise
        except BaseException:
            access.given_up()
            raise
        access.answered()
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
            raise SourceError("timeout", text) from None
        except httpx.TimeoutException as error:
            text = f"{path}: {type(error).__name__}"
            raise SourceError("timeout", text) from None
        except httpx.RemoteProtocolError as error:
            # The text after a colon quotes the server, which may repeat a part of our key.
            said = str(error).partition(":")[0]
            text = f"{path}: the answer broke off or is not HTTP: {said}"
            raise SourceError("truncated", text) from None
        except _CONNECTION_ERRORS as error:
            text = f"{path}: {type(error).__name__}: {error}"
            raise SourceError("connection", text) from None
        if 300 <= answer.status < 400:
            to = _without_query(answer.headers.get("location", ""))
            raise SourceError("redirect", f"{path}: redirected to {to} (a login, or moved?)")
        if status_kind(answer.status) in TROUBLE and not (self.returns and self.returns(answer)):
            raise status_error(path, answer, self.access.most_wait_s)
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
        if status >= 400:
            for secret in self._secrets:
                body = body.replace(secret, b"***")  # some servers repeat a rejected key
        if status == 200:
            validators = headers.get("etag"), headers.get("last-modified")
            self._kept.keep(request_key, Kept(*validators, encoding, wire))
        return Answer(status, headers, body)


def _named(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by lower-case name; repeated ones are joined by commas, as HTTP prescribes."""
    named: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("ascii", "replace").lower(), raw_value.decode("latin-1")
        named[name] = f"{named[name]}, {value}" if name in named else value
    return named


async def _wire_bytes(response: httpx.Response, limit: int) -> bytes | None:
    """Read a body as sent; stop and return None if it exceeds the limit."""
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in response.aiter_raw():
            size += len(chunk)
            chunks.append(chunk)
            if size > limit:
                # Leaving the loop would leave nested generators to the garbage collector. Closing
                # the response ends them all with an error.
                await response.aclose()
    except _CONNECTION_ERRORS:
        if size <= limit:
            raise
    return b"".join(chunks) if size <= limit else None


def _without_query(location: str) -> str:
    """Return host and path of an address; the query may hold keys."""
    try:
        where = urlsplit(location)
        return f"{where.hostname or ''}{where.path}" or "nowhere"
    except ValueError:
        return "nowhere"


def _proxy_of(settings: HttpSettings) -> httpx.Proxy | None:
    """Return the proxy of a source. Raises SettingsError, whose text holds no password."""
    if settings.proxy is None:
        return None
    url = settings.proxy.get_secret_value()
    hide_in_url(url)
    try:
        parts = urlsplit(url)
        good = bool(parts.hostname) and parts.port != 0 and parts.path in {"", "/"}
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        raise SettingsError("http.proxy: not of the form http://[name:password@]host:port")
    if parts.scheme in {"socks5", "socks5h"}:
        if importlib.util.find_spec("socksio") is None:
            text = f"http.proxy: {parts.scheme} needs the package socksio: pip install httpx[socks]"
            raise SettingsError(text)
    elif parts.scheme not in {"http", "https"}:
        raise SettingsError(f"http.proxy: {parts.scheme!r} is not http, https or socks5")
    return httpx.Proxy(url)


@asynccontextmanager
async def open_http(
    base_url: str,
    settings: HttpSettings,
    headers: Mapping[str, str] | None = None,
    secret: str | None = None,
) -> AsyncIterator[HttpFetcher]:
    """Open the HTTP client of one source.

    It follows no redirects, keeps no cookies and ignores the environment's proxies; a proxy is used
    only if the settings name one.

    Args:
        base_url: the source's address, with or without a path.
        settings: limits and time-outs.
        headers: sent with every request, in addition to the user agent.
        secret: masked wherever the server repeats it.

    Raises:
        SettingsError: the address, the proxy or a header is invalid.
    """
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
        proxy=_proxy_of(settings),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    ) as client:
        yield HttpFetcher(client, site, settings, secret)
