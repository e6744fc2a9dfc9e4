"""The log on NATS JetStream.

Readers have a pull consumer of their own. The library's ordered consumer resumes at its own
sequence after a lost tail, and then never sees what was written in place of it.
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime
from time import monotonic
from typing import Any, Final, NoReturn

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from odds_service.bus.connection import (
    ASK_AGAIN_S,
    RETRY_S,
    Connection,
    NatsOptions,
    NoResponders,
    in_words,
)
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
from odds_service.decoding import JsonDecoder
from odds_service.secrets import redact

HEARTBEAT_S: Final = 0.5  # of a silent consumer
SILENT_S: Final = 3 * HEARTBEAT_S  # without a heartbeat, the consumer is gone
LOOK_S: Final = 2.0  # an idle reader asks whether it has all, so often
PULL_MESSAGES: Final = 64  # at most 32 MiB in a reader's hand
PULL_S: Final = 20.0
IDLE_CONSUMER_S: Final = 10.0  # a consumer that nobody reads ends by itself
DUPLICATE_S: Final = 120.0
TELL_S: Final = 10.0  # a reader that waits for the bus says so after this, and then more rarely

_NS: Final = 10**9
_NO_STREAM: Final = 10059
_WRONG_LAST: Final = frozenset({10071, 10164})
_NO_MESSAGE: Final = 10037
_IN_USE: Final = 10058  # a stream of this name has other settings

log = structlog.get_logger(__name__)


# Settings without which a stream is no log; the others are bounds that may differ.
NEEDED: Final = ("subjects", "retention", "storage", "discard", "deny_delete", "deny_purge")


def stream_config(options: NatsOptions) -> dict[str, Any]:
    """Return the settings of a new stream of the log, as JetStream takes them."""
    return {
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
        "compression": "none",  # a kill may leave a compressed block that cannot be read
    }


class _Failed(Exception):
    """An error in the server's answer."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class _Silence:
    """The time for which a reader has got nothing; a log in use has a message each second."""

    def __init__(self) -> None:
        self._since = monotonic()
        self._tell_at = self._since + TELL_S
        self._told = False

    def note(self, sequence: int, reason: str) -> None:
        """Log the silence if it is time."""
        now = monotonic()
        if now < self._tell_at:
            log.debug("bus_reader_waits", reason=reason)
            return
        for_s = now - self._since
        log.warning("bus_reader_waits", reason=reason, sequence=sequence, for_s=round(for_s, 1))
        self._tell_at = now + max(for_s, TELL_S)  # each silence twice as long as the one before
        self._told = True

    def end(self, sequence: int) -> None:
        """Note a message, and log the end of a silence that was told."""
        now = monotonic()
        if self._told:
            for_s = round(now - self._since, 1)
            log.info("bus_reader_goes_on", sequence=sequence, for_s=for_s)
        self._since, self._tell_at, self._told = now, now + TELL_S, False


class NatsLog:
    """A log on a stream of NATS JetStream; see Log.

    Args:
        bus: A connection that it shares with others and does not close, or the options for one of
            its own.
    """

    def __init__(self, bus: NatsOptions | Connection) -> None:
        self._owns_connection = isinstance(bus, NatsOptions)
        self._connection = Connection(bus) if isinstance(bus, NatsOptions) else bus
        self._options = self._connection.options
        self._readers: set[asyncio.Queue[Msg | None]] = set()
        self._made: str | None = None
        self._in_order = asyncio.Lock()
        self._closed = False
        self._connection.interrupted.add(self._interrupt)

    async def make(self) -> LogInfo:
        """Make the stream unless it exists, and return its state.

        An existing stream keeps its bounds and replicas.

        Raises:
            LogError: The stream exists with settings that the log cannot use.
            Unavailable: No answer.
        """
        options = self._options
        config = stream_config(options)
        try:
            await self._ask(f"STREAM.CREATE.{options.stream}", config)
        except _Failed as error:
            if error.code != _IN_USE:
                self._raise(error)
        found = await self._stream_info()
        for name in NEEDED:
            if found["config"].get(name) != config[name]:
                raise LogError(
                    f"stream {options.stream} has {name} {found['config'].get(name)!r},"
                    f" and the log needs {config[name]!r}"
                )
        return self._seen(found)

    async def append(self, message: bytes, expect: int) -> int:
        """See Log."""
        options = self._options
        async with self._in_order:  # it is fair, and answers may come in any order
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
        except NoResponders:
            await self.info()  # noqa: ASYNC120  # tells a deleted stream from one without a leader
            raise Unavailable("the log on the bus has no leader") from None
        return int(answer["seq"])

    async def last(self) -> Stored | None:
        """See Log."""
        info = await self.info()
        return await self.at(info.last) if info.first <= info.last else None

    async def at(self, sequence: int) -> Stored | None:
        """See Log; the stream's leader answers."""
        if sequence < 1:
            return None  # the server would give the oldest, or refuse
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

    async def info(self) -> LogInfo:
        """See Log."""
        return self._seen(await self._stream_info())

    async def read_from(self, sequence: int) -> AsyncGenerator[Stored, None]:
        """See Log."""
        trail, silence = Trail(), _Silence()
        while not self._closed:
            try:
                await trail.check(sequence, await self.info(), self.at)
                reader = self._follow(sequence)
                try:
                    async for stored in reader:
                        trail.add(stored)
                        sequence = stored.sequence + 1
                        silence.end(sequence)
                        yield stored
                finally:
                    await reader.aclose()
                silence.note(sequence, "nothing comes")
            except Unavailable as error:
                silence.note(sequence, str(error))
            if not self._closed:
                await asyncio.sleep(RETRY_S)

    async def aclose(self) -> None:
        """See Log."""
        self._closed = True
        self._interrupt()
        self._connection.interrupted.discard(self._interrupt)
        if self._owns_connection:
            await self._connection.aclose()

    async def _settle(self, message: bytes, expect: int) -> int:
        """Return the sequence of a refused append if it was stored by an earlier attempt."""
        info = await self.info()
        stored = await self.at(expect + 1) if info.first <= expect + 1 <= info.last else None
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
        client = await self._connection.client()
        inbox = client.new_inbox()
        name = inbox.rpartition(".")[2]
        arrived: asyncio.Queue[Msg | None] = asyncio.Queue()

        async def arrive(msg: Msg) -> None:
            arrived.put_nowait(msg)

        self._readers.add(arrived)
        subscription = await in_words(client.subscribe(inbox, cb=arrive))
        try:
            await self._make_consumer(name, sequence)
            pull = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}"
            left, fresh = 0, True
            loop = asyncio.get_running_loop()
            looked_at = loop.time()
            while not self._closed:
                if not left:
                    await in_words(client.publish(pull, _PULL, reply=inbox))
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
        """Ask JetStream's API, which may be asked again. Raises _Failed and Unavailable."""
        body = b"" if asked is None else msgspec.json.encode(asked)
        try:
            return await self._request(f"$JS.API.{verb}", body, again_s=ASK_AGAIN_S)
        except NoResponders:
            raise Unavailable("JetStream does not answer") from None

    async def _request(
        self,
        subject: str,
        body: bytes,
        headers: dict[str, str] | None = None,
        again_s: float | None = None,
    ) -> dict[str, Any]:
        if self._closed:
            raise Unavailable("the log is closed")
        msg = await self._connection.request(subject, body, headers, again_s=again_s)
        try:
            answer = _answer.decode(msg.data)
        except msgspec.MsgspecError:
            raise Unavailable("the bus answers without sense") from None
        failed = answer.get("error")
        if failed is not None:
            raise _Failed(failed.get("err_code", 0), redact(str(failed.get("description", ""))))
        return answer

    def _interrupt(self) -> None:
        """Make readers look again."""
        for arrived in self._readers:
            arrived.put_nowait(None)


_answer: Final = JsonDecoder(dict[str, Any])
_PULL: Final = msgspec.json.encode(
    {
        "batch": PULL_MESSAGES,
        "expires": int(PULL_S * _NS),
        "idle_heartbeat": int(HEARTBEAT_S * _NS),
    }
)


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
