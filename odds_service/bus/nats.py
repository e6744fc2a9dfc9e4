"""The log on NATS JetStream; the only importer of nats.

Requests and replies pass through an inbox of our own, so that an interruption ends them at once,
and readers have a pull consumer of their own. The library's ordered consumer resumes at its own
sequence after a lost tail, and then never sees what was written in place of it.
"""

import asyncio
import base64
import itertools
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final, NoReturn, TypeVar

import msgspec
import nats.errors
import structlog
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg

from odds_service.bus.log import (
    Gone,
    Hole,
    LogError,
    LogInfo,
    MadeAnew,
    Stored,
    Trail,
    Unavailable,
    WrongSequence,
)
from odds_service.secrets import hide, hide_in_url, redact

ANSWER_S: Final = 5.0  # beyond the election of a leader, which takes 1 to 4 s
CONNECT_S: Final = 5.0
_TRY_S: Final = 0.05  # between looks at the first connection
RETRY_S: Final = 0.1  # between attempts to reach the bus again
HEARTBEAT_S: Final = 0.5  # of a silent consumer
SILENT_S: Final = 3 * HEARTBEAT_S  # without a heartbeat, the consumer is gone
LOOK_S: Final = 2.0  # an idle reader asks whether it has all, so often
PULL_MESSAGES: Final = 64  # at most 32 MiB in a reader's hand
PULL_S: Final = 20.0
IDLE_CONSUMER_S: Final = 10.0  # a consumer that nobody reads ends by itself
DUPLICATE_S: Final = 120.0

T = TypeVar("T")

_NS: Final = 10**9
_NO_STREAM: Final = 10059
_WRONG_LAST: Final = frozenset({10071, 10164})
_NO_MESSAGE: Final = 10037
_IN_USE: Final = 10058  # a stream of this name has other settings

log = structlog.get_logger(__name__)


class NatsOptions(Struct, frozen=True, kw_only=True):
    """The bus, and the stream of the log on it.

    Attributes:
        servers: URLs of the servers, at least one; a user and a password may stand in them.
        stream: The name of the stream.
        subject: Its only subject.
        user: The user; None without one.
        password: The password of the user.
        tls: The context for TLS; None without TLS.
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


class _Failed(Exception):
    """An error in the server's answer."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class NatsLog:
    """A log on a stream of NATS JetStream; see Log.

    It connects at the first use, and again by itself after an interruption.
    """

    def __init__(self, options: NatsOptions) -> None:
        for server in options.servers:
            hide_in_url(server)
        if options.password:
            hide(options.password)
        self._options = options
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._inbox = ""
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._readers: set[asyncio.Queue[Msg | None]] = set()
        self._made: str | None = None
        self._closed = False
        self._trouble = "no answer yet"
        self._tried = 0  # attempts to connect that failed

    async def make(self) -> LogInfo:
        """Make the stream unless it exists, and return its state.

        An existing stream keeps its bounds and replicas.

        Raises:
            LogError: The stream exists with settings that the log cannot use.
            Unavailable: No answer.
        """
        options = self._options
        config = {
            "name": options.stream,
            "subjects": [options.subject],
            "retention": "limits",
            "storage": "file",
            "num_replicas": options.replicas,
            "max_bytes": options.most_bytes,
            "max_age": int(options.most_age_s * _NS),
            "max_consumers": -1,
            "max_msgs": -1,
            "discard": "old",
            "deny_delete": True,
            "deny_purge": True,
            "allow_direct": True,
            "duplicate_window": int(min(DUPLICATE_S, options.most_age_s) * _NS),
            "compression": "s2",
        }
        try:
            await self._ask(f"STREAM.CREATE.{options.stream}", config)
        except _Failed as error:
            if error.code != _IN_USE:
                self._raise(error)
        found = await self._stream_info()
        for name in ("subjects", "retention", "storage", "discard", "deny_delete", "deny_purge"):
            if found["config"].get(name) != config[name]:
                raise LogError(
                    f"stream {options.stream} has {name} {found['config'].get(name)!r},"
                    f" and the log needs {config[name]!r}"
                )
        return self._seen(found)

    async def append(self, message: bytes, expect: int) -> int:
        """See Log."""
        options = self._options
        if self._made is None:
            await self.info()
        headers = {
            "Nats-Expected-Last-Sequence": str(expect),
            "Nats-Expected-Stream": options.stream,
        }
        try:
            answer = await self._request(options.subject, message, headers)
        except _Failed as error:
            if error.code not in _WRONG_LAST:
                self._raise(error)
            return await self._settle(message, expect)
        except _NoResponders:
            await self.info()  # noqa: ASYNC120  # tells a deleted stream from one without a leader
            raise Unavailable("the log on the bus has no leader") from None
        return int(answer["seq"])

    async def last(self) -> Stored | None:
        """See Log."""
        info = await self.info()
        return await self._at(info.last) if info.first <= info.last else None

    async def info(self) -> LogInfo:
        """See Log."""
        return self._seen(await self._stream_info())

    async def read_from(self, sequence: int) -> AsyncGenerator[Stored, None]:
        """See Log."""
        trail = Trail()
        while not self._closed:
            try:
                await trail.check(sequence, await self.info(), self._at)
                reader = self._follow(sequence)
                try:
                    async for stored in reader:
                        trail.add(stored)
                        sequence = stored.sequence + 1
                        yield stored
                finally:
                    await reader.aclose()
            except Unavailable as error:
                self._trouble = str(error)
            if not self._closed:
                await asyncio.sleep(RETRY_S)

    async def aclose(self) -> None:
        """See Log."""
        self._closed = True
        self._interrupt()
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _settle(self, message: bytes, expect: int) -> int:
        """Return the sequence of a refused append if it was stored by an earlier attempt."""
        info = await self.info()
        stored = await self._at(expect + 1) if info.first <= expect + 1 <= info.last else None
        if stored is not None and stored.message == message:
            return stored.sequence
        if info.last == expect:
            raise Unavailable("an append is under way whose reply was lost")
        raise WrongSequence(expect, info.last)

    async def _follow(self, sequence: int) -> AsyncGenerator[Stored, None]:
        """Yield messages from a consumer of its own, until it fails or falls silent.

        Raises:
            Unavailable: The consumer cannot be made, or the bus does not answer.
        """
        stream = self._options.stream
        client = await self._connected()
        inbox = client.new_inbox()
        name = inbox.rpartition(".")[2]
        arrived: asyncio.Queue[Msg | None] = asyncio.Queue()

        async def arrive(msg: Msg) -> None:  # noqa: ASYNC124  # the library takes no other
            arrived.put_nowait(msg)

        self._readers.add(arrived)
        subscription = await _in_words(client.subscribe(inbox, cb=arrive))
        try:
            await self._make_consumer(name, sequence)
            pull = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}"
            left, fresh = 0, True
            loop = asyncio.get_running_loop()
            looked_at = loop.time()
            while not self._closed:
                if not left:
                    await _in_words(client.publish(pull, _PULL, reply=inbox))
                    left = PULL_MESSAGES
                try:
                    msg = arrived.get_nowait()
                except asyncio.QueueEmpty:
                    try:
                        async with asyncio.timeout(SILENT_S):
                            msg = await arrived.get()
                    except TimeoutError:
                        return
                if msg is None:
                    return
                status = (msg.headers or {}).get("Status")
                if status == "408":  # the pull has ended, and nothing came
                    left = 0
                elif status == "100":
                    if loop.time() - looked_at > LOOK_S:
                        looked_at = loop.time()
                        if (await self.info()).last >= sequence and arrived.empty():
                            return
                elif status is not None:
                    return
                else:
                    stored = _stored(msg)
                    if stored.sequence != sequence:
                        if fresh and stored.sequence > sequence:
                            raise Hole(sequence, stored.sequence)
                        return
                    fresh = False
                    left -= 1
                    looked_at = loop.time()
                    sequence += 1
                    yield stored
        finally:
            self._readers.discard(arrived)
            await self._drop_consumer(client, subscription.unsubscribe, name)

    async def _make_consumer(self, name: str, sequence: int) -> None:
        stream = self._options.stream
        config = {
            "name": name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": sequence,
            "ack_policy": "none",
            "replay_policy": "instant",
            "inactive_threshold": int(IDLE_CONSUMER_S * _NS),
            "mem_storage": True,
            "num_replicas": 1,
        }
        asked = {"stream_name": stream, "config": config, "action": "create"}
        try:
            await self._ask(f"CONSUMER.CREATE.{stream}.{name}", asked)
        except _Failed as error:
            self._raise(error)

    async def _drop_consumer(
        self, client: Client, unsubscribe: Callable[[], Awaitable[None]], name: str
    ) -> None:
        """Drop a reader's consumer, if the bus can be reached; otherwise it ends by itself."""
        if not client.is_connected:
            return
        try:
            await unsubscribe()
            await client.publish(f"$JS.API.CONSUMER.DELETE.{self._options.stream}.{name}")
        except (TimeoutError, nats.errors.Error, OSError) as error:
            log.debug("bus_consumer_left", reason=redact(str(error)))

    async def _at(self, sequence: int) -> Stored | None:
        """Return a message as the leader has it, None if it is not there."""
        try:
            answer = await self._ask(
                f"STREAM.MSG.GET.{self._options.stream}", {"seq": sequence}
            )  # not the direct way: that may ask a replica that lags
        except _Failed as error:
            if error.code == _NO_MESSAGE:
                return None
            self._raise(error)
        found = answer["message"]
        return Stored(
            found["seq"], base64.b64decode(found.get("data", "")), _nanoseconds(found["time"])
        )

    async def _stream_info(self) -> dict[str, Any]:
        try:
            return await self._ask(f"STREAM.INFO.{self._options.stream}", None)
        except _Failed as error:
            self._raise(error)

    def _seen(self, found: dict[str, Any]) -> LogInfo:
        made = str(found["created"])
        if self._made is None:
            self._made = made
        elif made != self._made:
            raise MadeAnew(f"stream {self._options.stream} was deleted and made anew")
        state = found["state"]
        last = state["last_seq"]
        first = state["first_seq"] if state["messages"] else last + 1
        return LogInfo(first, last, state["bytes"], made)

    def _raise(self, error: _Failed) -> NoReturn:
        if error.code == _NO_STREAM:
            raise Gone(f"there is no stream {self._options.stream} on the bus") from None
        raise Unavailable(f"the bus refuses: {error} ({error.code})") from None

    async def _ask(self, verb: str, asked: object) -> dict[str, Any]:
        """Ask JetStream's API. Raises _Failed and Unavailable."""
        body = b"" if asked is None else msgspec.json.encode(asked)
        try:
            return await self._request(f"$JS.API.{verb}", body)
        except _NoResponders:
            raise Unavailable("JetStream does not answer") from None

    async def _request(
        self, subject: str, body: bytes, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        client = await self._connected()
        number = str(next(self._numbers))
        answered: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answered
        try:
            await _in_words(
                client.publish(subject, body, reply=f"{self._inbox}.{number}", headers=headers)
            )
            async with asyncio.timeout(self._options.answer_s):
                msg = await answered
        except TimeoutError:
            raise Unavailable(f"no answer of the bus in {self._options.answer_s:.0f} s") from None
        finally:
            self._waiting.pop(number, None)
        if (msg.headers or {}).get("Status") == "503":
            raise _NoResponders
        try:
            answer: dict[str, Any] = msgspec.json.decode(msg.data, type=dict[str, Any])
        except msgspec.MsgspecError:
            raise Unavailable("the bus answers without sense") from None
        failed = answer.get("error")
        if failed is not None:
            raise _Failed(failed.get("err_code", 0), redact(str(failed.get("description", ""))))
        return answer

    async def _connected(self) -> Client:
        """Return the client if it is connected now; connect it if it was closed."""
        async with self._connecting:
            if self._closed:
                raise Unavailable("the log is closed")
            client = self._client
            if client is None or client.is_closed:
                client = self._client = await self._connect()
        if not client.is_connected:
            raise Unavailable(f"not connected to the bus: {self._trouble}")
        return client

    async def _connect(self) -> Client:
        client, options = Client(), self._options
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
            if not connecting.done() and (late or self._tried >= len(self._options.servers)):
                raise TimeoutError
        await connecting

    async def _on_answer(self, msg: Msg) -> None:
        answered = self._waiting.get(msg.subject.rpartition(".")[2])
        if answered is not None and not answered.done():
            answered.set_result(msg)

    async def _on_error(self, error: Exception) -> None:
        self._tried += 1
        self._trouble = redact(str(error)) or type(error).__name__
        log.debug("bus_trouble", reason=self._trouble)

    async def _on_interruption(self) -> None:
        if not self._closed:
            log.warning("bus_interrupted", reason=self._trouble)
        self._interrupt()

    async def _on_reconnection(self) -> None:
        log.info("bus_back")
        self._interrupt()

    def _interrupt(self) -> None:
        """End what waits for an answer, and make readers look again."""
        for answered in self._waiting.values():
            if not answered.done():
                answered.set_exception(Unavailable("the connection to the bus was interrupted"))
        for arrived in self._readers:
            arrived.put_nowait(None)


class _NoResponders(Exception):
    """Nobody listens to a subject: there is no stream, or no leader."""


_PULL: Final = msgspec.json.encode(
    {
        "batch": PULL_MESSAGES,
        "expires": int(PULL_S * _NS),
        "idle_heartbeat": int(HEARTBEAT_S * _NS),
    }
)


async def _in_words(awaited: Awaitable[T]) -> T:
    """Await a call of the library, with its errors as ours."""
    try:
        return await awaited
    except nats.errors.MaxPayloadError:
        raise LogError("the server of the bus accepts no messages of this size") from None
    except (TimeoutError, nats.errors.Error, OSError) as error:
        raise Unavailable(f"the bus is away: {error}") from None


def _stored(msg: Msg) -> Stored:
    """Return a message of a consumer; its reply subject tells place and time."""
    words = msg.reply.split(".")
    if len(words) > 9:  # since server 2.14, with a domain and an account
        words = words[2:]
    return Stored(int(words[5]), msg.data, int(words[7]))


def _nanoseconds(time: str) -> int:
    """Return a time of the server, RFC 3339 with up to nine digits, in ns since 1970."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return seconds * _NS + int(fraction.ljust(9, "0") or 0)
