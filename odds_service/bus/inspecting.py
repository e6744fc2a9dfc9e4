"""Looks at the bus for operators: its servers, the stream of the log, and a user's rights.

They change nothing, and ask the servers in ways that no reader and no writer notices.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from odds_service.bus.connection import ASK_AGAIN_S, Connection, NatsOptions, NoResponders
from odds_service.bus.log import Gone, LogError, Stored, Unavailable
from odds_service.bus.messages import MOST_BYTES
from odds_service.bus.nats import NEEDED, NatsLog, stream_config
from odds_service.decoding import decode_as

LEAST_VERSION: Final = (2, 12)
READ_S: Final = 10.0  # for the newest message to reach a reader
_NO_STREAM: Final = 10059
_UNBOUNDED: Final = -1
_BOUNDS: Final = ("num_replicas", "max_bytes", "max_age", "duplicate_window", "compression")


class ServerSeen(Struct, frozen=True, kw_only=True):
    """One server of the bus.

    Attributes:
        url: Its address, as in the settings.
        trouble: The reason why it cannot be used; empty if it can.
        version: Its version; empty if it is unknown.
        answer_s: The time of one round trip, in s.
    """

    url: str
    trouble: str = ""
    version: str = ""
    answer_s: float = 0.0


class Copy(Struct, frozen=True):
    """A copy of the stream on one server.

    Attributes:
        behind: The operations that it lags behind the leader.
    """

    server: str
    state: str
    behind: int


class StreamSeen(Struct, frozen=True, kw_only=True):
    """The stream of the log, as its leader tells.

    Attributes:
        config: Its settings, under JetStream's names.
        first: The oldest sequence; last + 1 if there is none.
        last: The newest sequence.
        size_bytes: The size of all messages.
        readers: The number of consumers.
        leader: The server that leads it; empty if unknown.
        copies: All copies, that of the leader first.
        made_at: The time at which it was made.
        now: The time of the answer, by the leader's clock.
    """

    config: dict[str, Any]
    first: int
    last: int
    size_bytes: int
    readers: int
    leader: str
    copies: Sequence[Copy]
    made_at: datetime
    now: datetime


class Difference(Struct, frozen=True):
    """A setting of the stream that is not that of a new one.

    Attributes:
        needed: Whether the log cannot use the stream because of it.
    """

    name: str
    found: object
    wanted: object
    needed: bool


async def server_seen(options: NatsOptions, url: str) -> ServerSeen:
    """Return what one server tells of itself."""
    connection = Connection(replace(options, servers=[url]))
    try:
        client = await connection.client()
        began = time.monotonic()
        await client.flush()
        answer_s = time.monotonic() - began
        version = client.connected_server_version
        told = f"{version.major}.{version.minor}.{version.patch}"
        trouble = ""
        if (version.major, version.minor) < LEAST_VERSION:
            trouble = f"version {told} is too old, {'.'.join(map(str, LEAST_VERSION))} is needed"
        elif client.max_payload < MOST_BYTES:
            trouble = f"max_payload is {client.max_payload:,}, and the log needs {MOST_BYTES:,}"
        return ServerSeen(url=url, trouble=trouble, version=told, answer_s=answer_s)
    except LogError as error:
        return ServerSeen(url=url, trouble=str(error))
    finally:
        await connection.aclose()


async def stream_seen(connection: Connection) -> StreamSeen:
    """Return the stream of the log.

    Raises:
        Gone: There is none.
        Unavailable: No answer, or a refusal.
    """
    stream = connection.options.stream
    found = await _asked(connection, f"$JS.API.STREAM.INFO.{stream}", b"")
    failed = found.get("error")
    if failed is not None:
        if failed.get("err_code") == _NO_STREAM:
            raise Gone(
                f"there is no stream {stream} on the bus; odds-service bus init makes it"
            ) from None
        raise Unavailable(f"the bus refuses: {failed.get('description')}")
    state, cluster = found["state"], found.get("cluster") or {}
    leader = str(cluster.get("leader") or "")
    followers = [
        Copy(
            each["name"],
            "offline" if each.get("offline") else "current" if each["current"] else "behind",
            each.get("lag", 0),
        )
        for each in cluster.get("replicas") or ()
    ]
    return StreamSeen(
        config=found["config"],
        first=state["first_seq"] if state["messages"] else state["last_seq"] + 1,
        last=state["last_seq"],
        size_bytes=state["bytes"],
        readers=state["consumer_count"],
        leader=leader,
        copies=[*([Copy(leader, "leader", 0)] if leader else []), *followers],
        made_at=_time(found["created"]),
        now=_time(found["ts"]),
    )


def differences(config: dict[str, Any], options: NatsOptions) -> list[Difference]:
    """Return the settings of a stream that differ from those of a new one.

    Args:
        config: See StreamSeen.
        options: The settings of this node.
    """
    wanted = stream_config(options)
    found = [
        Difference(name, config.get(name), wanted[name], name in NEEDED)
        for name in (*NEEDED, *_BOUNDS)
        if config.get(name) != wanted[name]
    ]
    for name, least in (("max_msg_size", MOST_BYTES), ("max_consumers", None), ("max_msgs", None)):
        bound = config.get(name, _UNBOUNDED)
        if bound > 0 and (least is None or bound < least):
            found.append(Difference(name, bound, _UNBOUNDED, needed=least is not None))
    return found


async def make_stream(connection: Connection) -> tuple[StreamSeen, bool]:
    """Make the stream of the log unless it exists; return it and whether it was made.

    Raises:
        LogError: It exists with settings that the log cannot use.
        Unavailable: No answer, or a refusal.
    """
    options, made = connection.options, False
    try:
        found = await stream_seen(connection)
    except Gone:
        try:
            await NatsLog(connection).make()
        except Unavailable as error:
            hint = "; bus.replicas = 1 suits a single server" if options.replicas > 1 else ""
            raise Unavailable(f"{error}{hint}") from None
        found, made = await stream_seen(connection), True
    wrong = [each for each in differences(found.config, options) if each.needed]
    if wrong:
        raise LogError(
            f"stream {options.stream} exists with other settings: {told(wrong)}; delete it, or"
            " name another one in bus.stream"
        )
    return found, made


def told(found: Sequence[Difference]) -> str:
    """Return differences in words."""
    return ", ".join(
        f"{each.name} is {msgspec.json.encode(each.found).decode()} instead of"
        f" {msgspec.json.encode(each.wanted).decode()}"
        for each in found
    )


async def newest(connection: Connection, stream: StreamSeen, most: int) -> list[Stored]:
    """Return the newest messages of the stream, the newest last."""
    log = NatsLog(connection)
    first = max(stream.first, stream.last - most + 1)
    found = [await log.at(sequence) for sequence in range(first, stream.last + 1)]
    return [stored for stored in found if stored is not None]


async def read_one(connection: Connection, stream: StreamSeen) -> float:
    """Read the newest message as a reader does, and return the time it took, in s.

    Raises:
        LogError: It cannot be read.
    """
    began = time.monotonic()
    log = NatsLog(connection)
    reader = log.read_from(stream.last)
    try:
        async with asyncio.timeout(READ_S):
            await anext(reader)
    except TimeoutError:
        raise Unavailable(f"no message reached a reader in {READ_S:.0f} s") from None
    finally:
        await reader.aclose()
    return time.monotonic() - began


async def permissions(connection: Connection) -> dict[str, Any] | None:
    """Return the rights of the connection's user in NATS' form, empty for all rights.

    None if they cannot be seen.
    """
    try:
        found = await _asked(connection, "$SYS.REQ.USER.INFO", b"")
    except Unavailable:
        return None
    return (found.get("data") or {}).get("permissions") or {}


async def _asked(connection: Connection, subject: str, body: bytes) -> dict[str, Any]:
    try:
        msg = await connection.request(subject, body, again_s=ASK_AGAIN_S)
    except NoResponders:
        raise Unavailable(f"nobody answers {subject}: is JetStream enabled?") from None
    try:
        return decode_as(dict[str, Any], msg.data)
    except msgspec.MsgspecError:
        raise Unavailable("the bus answers without sense") from None


def _time(text: str) -> datetime:
    """Return a time of the server, RFC 3339 with up to nine digits."""
    return msgspec.convert(text, datetime)
