"""The connection to NATS: one client, its requests, its interruptions and its errors.

Requests and replies pass through an inbox of our own, so that an interruption ends them at once.
The servers refuse what a user may not do in a message that names no request; here it ends the
request that caused it.
"""

import asyncio
import itertools
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import nats.errors
import structlog
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg

from odds_service.bus.log import LogError, NotConnected, Unavailable
from odds_service.secrets import hide, hide_in_url, redact

ANSWER_S: Final = 5.0  # beyond the election of a leader, which takes 1 to 4 s
# Between two sendings of a question: the servers of a cluster that elect a leader drop questions.
ASK_AGAIN_S: Final = 0.3
CONNECT_S: Final = 5.0
_TRY_S: Final = 0.05  # between looks at the first connection
RETRY_S: Final = 0.1  # between attempts to reach the bus again

T = TypeVar("T")

# The library writes these errors in lower case, subjects included.
_DENIED: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"')
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+")

log = structlog.get_logger(__name__)


class NatsOptions(Struct, frozen=True, kw_only=True):
    """The bus, and the stream of the log on it.

    Attributes:
        servers: URLs of the servers, at least one; no other is connected to. A user and a password
            may stand in them.
        stream: The name of the stream.
        subject: Its only subject.
        user: The user; None without one.
        password: The password of the user.
        tls: The context for TLS, which the servers must offer then; None without TLS.
        replicas: The copies of a new stream: 3, or 1 for development.
        most_bytes: The size at which a new stream discards its oldest messages.
        most_age_s: The age at which a new stream discards messages, in s.
        answer_s: The time limit of an answer, in s.
    """

    servers: Sequence[str]
    stream: str = "ODDS"
    subject: str = "odds.log"
    user: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    replicas: int = 3
    most_bytes: int = 2 * 10**9
    most_age_s: float = 86_400.0
    answer_s: float = ANSWER_S


class _Client(Client):
    """The library's client, bound to the servers of the settings, and to TLS where it is asked for.

    By itself it would send the password in the clear to a server that offers no TLS, and connect
    to any address that a server names.
    """

    def __init__(self, *, secure: bool) -> None:
        super().__init__()
        self._secure = secure

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """Take what a server says of itself; before the first password, if `initial_connection`."""
        if initial_connection and self._secure and not info.get("tls_required"):
            raise nats.errors.Error("the server of the bus offers no TLS")
        info = {name: value for name, value in info.items() if name != "connect_urls"}
        await super()._process_info(info, initial_connection)


class NoResponders(Exception):
    """Nobody listens to a subject: there is no stream, or no leader, or no answering node."""


class Connection:
    """A connection to the bus, for one asyncio loop.

    It connects at the first use, and again by itself after an interruption.

    Args:
        options: The servers and the user; what it says of the stream is the log's.

    Attributes:
        interrupted: Called after each interruption and after each reconnection; they must not
            block.
        closed: Whether aclose() was called.
    """

    def __init__(self, options: NatsOptions) -> None:
        for server in options.servers:
            hide_in_url(server)
            url = urlsplit(server)
            if url.username and url.password is None:
                hide(url.username)  # the library takes it for a token
        if options.password:
            hide(options.password)
        self.options = options
        self.interrupted: set[Callable[[], None]] = set()
        self.closed = False
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._inbox = ""
        self._numbers = itertools.count(1)
        self._waiting: dict[str, tuple[str, asyncio.Future[Msg]]] = {}
        self._trouble = "no answer yet"
        self._denied = ""  # the last refusal for want of a permission
        self._tried = 0  # attempts to connect that failed

    async def request(
        self,
        subject: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        within_s: float | None = None,
        again_s: float | None = None,
    ) -> Msg:
        """Send a request and return its answer.

        Args:
            subject: Its subject.
            body: Its bytes.
            headers: Its headers.
            within_s: The time limit of the answer, in s; None for that of the options.
            again_s: Send it again after so many s without an answer. The first answer counts.

        Raises:
            NoResponders: Nobody listens to the subject.
            Unavailable: No answer: an interruption, the time limit, or no permission.
            LogError: The request exceeds what the servers accept.
        """
        client = await self.client()
        within_s = self.options.answer_s if within_s is None else within_s
        number = str(next(self._numbers))
        answered: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[number] = subject, answered
        try:
            async with asyncio.timeout(within_s):
                while not answered.done():
                    await in_words(
                        client.publish(
                            subject,
                            body,
                            reply=f"{self._inbox}.{number}",
                            headers=None if headers is None else dict(headers),
                        )
                    )
                    await asyncio.wait([answered], timeout=again_s)
            msg = answered.result()
        except TimeoutError:
            raise Unavailable(self._silence(subject, within_s)) from None
        finally:
            self._waiting.pop(number, None)
        if (msg.headers or {}).get("Status") == "503":
            raise NoResponders
        return msg

    async def client(self) -> Client:
        """Return the client if it is connected now; connect it if it was closed.

        Raises:
            NotConnected: The connection is interrupted.
            Unavailable: None could be made, or the connection is closed.
        """
        async with self._connecting:
            if self.closed:
                raise Unavailable("the connection to the bus is closed")
            client = self._client
            if client is None or client.is_closed:
                client = self._client = await self._connect()
        if not client.is_connected:
            raise NotConnected(f"not connected to the bus: {self._trouble}")
        return client

    async def aclose(self) -> None:
        """End the connection, and what waits for an answer."""
        self.closed = True
        self._interrupt()
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _connect(self) -> Client:
        options = self.options
        schemes = {urlsplit(server).scheme for server in options.servers}
        client = _Client(secure=options.tls is not None or "tls" in schemes)
        self._tried = 0
        connecting = asyncio.ensure_future(
            client.connect(
                list(options.servers),
                error_cb=self._on_error,
                disconnected_cb=self._on_interruption,
                reconnected_cb=self._on_reconnection,
                closed_cb=self._on_interruption,
                name="odds-service",
                connect_timeout=2,
                reconnect_time_wait=RETRY_S,  # type: ignore[arg-type]  # it only sleeps so long
                max_reconnect_attempts=-1,
                ping_interval=5,
                max_outstanding_pings=2,
                user=options.user,
                password=options.password,
                tls=options.tls,
                inbox_prefix=inbox_prefix(options),
            )
        )
        try:
            await self._until_tried(connecting)
            self._inbox = client.new_inbox()
            await client.subscribe(f"{self._inbox}.*", cb=self._on_answer)
        except BaseException as error:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            await client.close()
            if isinstance(error, nats.errors.Error | OSError | TimeoutError):
                trouble = Unavailable(f"cannot connect to the bus: {self._trouble}")
                raise trouble from None  # noqa: ASYNC104  # it was no cancellation
            raise
        return client

    async def _until_tried(self, connecting: "asyncio.Future[None]") -> None:
        """Wait for the first connection; the library itself would try for ever.

        Raises:
            TimeoutError: No server could be reached, after one attempt for each.
        """
        deadline = asyncio.get_running_loop().time() + CONNECT_S
        while not connecting.done():
            await asyncio.wait([connecting], timeout=_TRY_S)
            late = asyncio.get_running_loop().time() > deadline
            if not connecting.done() and (late or self._tried >= len(self.options.servers)):
                raise TimeoutError
        await connecting

    async def _on_answer(self, msg: Msg) -> None:
        waiting = self._waiting.get(msg.subject.rpartition(".")[2])
        if waiting is not None and not waiting[1].done():
            waiting[1].set_result(msg)

    async def _on_error(self, error: Exception) -> None:
        text = redact(str(error)) or type(error).__name__
        denied = _DENIED.search(text)
        if denied is not None:
            self._on_denial(denied[1], denied[2])
            return
        self._tried += 1
        self._trouble = text
        log.debug("bus_trouble", reason=self._trouble)

    def _on_denial(self, action: str, subject: str) -> None:
        """End the requests that the servers refused; warn of what nobody waits for."""
        verb = "publish" if action == "publish" else "subscribe to"
        waiting = [
            (asked, answered)
            for asked, answered in self._waiting.values()
            if action == "publish" and asked.lower() == subject and not answered.done()
        ]
        if waiting:
            subject = waiting[0][0]  # as it is written
        text = f"the user {self._user} of the bus may not {verb} {subject}"
        for _, answered in waiting:
            answered.set_exception(Unavailable(text))
        if not waiting and text != self._denied:
            log.warning("bus_permission_missing", reason=text)
        self._denied = text

    @property
    def _user(self) -> str:
        return user_of(self.options) or "(none)"

    def _silence(self, subject: str, within_s: float) -> str:
        """Return the words for a time-out. A missing permission may show as nothing else."""
        why = self._denied or f"it is overloaded, or {self._user} may not use {subject}"
        return f"no answer of the bus to {subject} in {within_s:g} s: {why}"

    async def _on_interruption(self) -> None:
        if not self.closed:
            log.warning("bus_interrupted", reason=self._trouble)
        self._interrupt()

    async def _on_reconnection(self) -> None:
        log.info("bus_back")
        self._interrupt()

    def _interrupt(self) -> None:
        """End what waits for an answer, and tell those who listen."""
        for _, answered in self._waiting.values():
            if not answered.done():
                answered.set_exception(Unavailable("the connection to the bus was interrupted"))
        for tell in tuple(self.interrupted):
            tell()


def user_of(options: NatsOptions) -> str | None:
    """Return the user of the options, which may stand in the URLs; None without one."""
    if options.user is not None and options.password is not None:
        return options.user
    urls = [urlsplit(server) for server in options.servers]
    return next((url.username for url in urls if url.password is not None), None)


def inbox_prefix(options: NatsOptions) -> str:
    """Return the beginning of the subjects of replies: one for each user.

    So a user needs no permission to read the replies to others.
    """
    user = user_of(options)
    return f"_INBOX.{user}" if user and _TOKEN.fullmatch(user) else "_INBOX"


async def in_words(awaited: Awaitable[T]) -> T:
    """Await a call of the library, with its errors as ours."""
    try:
        return await awaited
    except nats.errors.MaxPayloadError:
        raise LogError("the server of the bus accepts no messages of this size") from None
    except (TimeoutError, nats.errors.Error, OSError) as error:
        raise Unavailable(f"the bus is away: {error}") from None
