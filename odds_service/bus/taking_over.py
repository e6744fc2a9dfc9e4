"""Taking the log over: a new owner continues what the former one left, in database and stream.

    fence        the former owner can no longer write to the database
    read         what the stream holds beyond the database, the surplus
    store        the surplus, under the epoch that numbered it
    open         the new epoch, behind all that is stored; a spill is stored first
    append       the message that opens it, which bars the former owner from the stream
    load         the state to go on from

A message that arrives in between makes the append fail; then the steps from `read` on are taken
again. A process that dies after any step leaves a state from which the next one takes all of them:
each repeats without harm, and an epoch that was opened without its message has numbered nothing.

If the database is ahead of the stream, nothing is written to the stream for it. The message names
the first revision of the epoch, so readers see the hole and read it from the database, as they read
any that has left the stream.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final, Protocol, TypeVar, TypeVarTuple

import structlog
import trio
from msgspec import Struct

from odds_service.bus.finding import find
from odds_service.bus.log import (
    Gone,
    Hole,
    Log,
    LogError,
    Stored,
    TailLost,
    Unavailable,
    WrongSequence,
)
from odds_service.bus.messages import (
    Assembler,
    BadMessage,
    DecodedBatch,
    Opened,
    decode,
    encode,
    end_revision,
)
from odds_service.errors import (
    ForeignSurplus,
    OddsServiceError,
    StorageError,
    StorageUnavailable,
)
from odds_service.model.change import Commit
from odds_service.store import Fence, Opening, Store
from odds_service.store import Stored as StoredState

RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 2.0
# The names of log lines about an outage, at its begin and at its end.
_STORAGE: Final = "storage_away", "storage_back"
_BUS: Final = "bus_away", "bus_back"
READ_S: Final = 5.0  # for the next message, which is there; a reader itself waits for ever

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

log = structlog.get_logger(__name__)


class Caller(Protocol):
    """Awaits functions on the loop of the bus, from Trio; see LoopThread.call."""

    async def __call__(self, work: Callable[..., Awaitable[T]], *args: object) -> T: ...


class Taken(Struct, frozen=True):
    """A log that was taken over.

    Attributes:
        stored: The state to go on from.
        opened: The message that opened the epoch.
        sequence: Its place in the stream.
    """

    stored: StoredState
    opened: Opened
    sequence: int


class Surplus(Struct, frozen=True):
    """The end of the stream, and what it holds beyond a revision.

    Attributes:
        stretches: Pairs of an epoch and the commits that it numbered, in order.
        revision: The revision after the last message.
        sequence: The place of the last message.
        epoch: The epoch of the last message; empty if the stream holds none.
    """

    stretches: Sequence[tuple[str, Sequence[Commit]]]
    revision: int
    sequence: int
    epoch: str


async def take_over(
    store: Store, bus: Log, call: Caller, stream: str, opening: Opening = Opening()
) -> Taken:
    """Take over the log of the database and of the stream, from whoever had it.

    Outages of the bus and of the database are waited out.

    Args:
        store: The database, whose lock this process holds.
        bus: The log on the bus.
        call: Awaits functions of the log.
        stream: The name of the stream, for people.
        opening: The kind of the start.

    Raises:
        StorageError: The database and the stream do not belong together, or the database cannot
            be used.
        Superseded: Another process has taken the database over meanwhile.
        LogError: The stream does not exist, or holds messages of another version.

    Cancellation: The steps so far stay taken; the next owner takes all of them again.
    """
    fence = await _patiently(store.fence)
    log.info("taking_over", epoch=fence.epoch, durable_revision=fence.durable_revision)
    durable = fence.durable_revision
    while True:
        surplus = await _surely(call, stream, read_surplus, bus, durable)
        _check_origin(surplus, fence, stream)
        for epoch, commits in surplus.stretches:
            refused = await _patiently(_store_surplus, store, epoch, commits, stream)
            durable = commits[-1].last_revision
            log.info("surplus_stored", epoch=epoch, first=commits[0].first_revision, last=durable,
                     refused=refused)  # fmt: skip
        epochs = await _patiently(store.open_epoch, opening)
        opened = Opened(tuple(epochs), epochs[-1][1], surplus.revision)
        try:
            sequence = await _surely(call, stream, _append, bus, opened, surplus.sequence)
        except WrongSequence as error:
            log.info("taking_over_again", reason=str(error))
            continue
        stored = await _patiently(store.load)
        log.info("taken_over", epoch=opened.epoch, first_revision=opened.first_revision,
                 stream_revision=surplus.revision, sequence=sequence)  # fmt: skip
        return Taken(stored, opened, sequence)


async def read_surplus(bus: Log, durable: int) -> Surplus:
    """Read what the stream holds beyond a revision; for the loop of the bus.

    A batch whose last part is missing is not whole, and nobody has applied it.

    Args:
        bus: The log.
        durable: The revision.

    Raises:
        Unavailable: The bus does not answer, or the stream changed meanwhile.
        Gone, MadeAnew: The stream does not exist any more.
        Hole: Messages that are needed have left the stream.
        BadMessage: A message of another version.
    """
    last = await bus.last()
    if last is None:
        return Surplus((), 0, (await bus.info()).last, "")
    message = decode(last.message)
    stretches: list[tuple[str, list[Commit]]] = []
    revision = durable
    try:
        first = await find(bus, durable + 1)
        if first <= last.sequence:
            async with aclosing(bus.read_from(first)) as reader:
                async for batch in _batches(reader, first, last.sequence):
                    for commit in batch.commits:
                        if commit.last_revision <= revision:
                            continue
                        if not stretches or stretches[-1][0] != batch.epoch:
                            stretches.append((batch.epoch, []))
                        stretches[-1][1].append(commit.commit())
                        revision = commit.last_revision
    except TailLost as error:
        raise Unavailable(f"the stream changed while it was read: {error}") from None
    return Surplus(stretches, end_revision(message), last.sequence, message.epoch)


async def _batches(
    reader: AsyncGenerator[Stored, None], first: int, last: int
) -> AsyncGenerator[DecodedBatch, None]:
    """Yield the whole batches of a stretch of the stream."""
    assembler = Assembler()
    for _ in range(first, last + 1):
        try:
            async with asyncio.timeout(READ_S):
                stored = await anext(reader)
        except TimeoutError:
            raise Unavailable("the bus does not send what it holds") from None
        found = assembler.add(decode(stored.message))
        if isinstance(found, DecodedBatch):
            yield found


def _check_origin(surplus: Surplus, fence: Fence, stream: str) -> None:
    """Check that the stream ends in an epoch of the database. Raises StorageError."""
    known = {epoch for epoch, _ in fence.epochs}
    if surplus.epoch and surplus.epoch not in known | {fence.epoch}:
        raise StorageError(
            f"stream {stream} on the bus ends in epoch {surplus.epoch}, which this database does"
            " not know: it is the log of another database, or of a later state of this one; name"
            " another bus.stream, or delete this one and run `odds-service bus init`"
        )


async def _store_surplus(store: Store, epoch: str, commits: Sequence[Commit], stream: str) -> int:
    try:
        return await store.store_surplus(epoch, commits)
    except StorageError as error:
        if type(error) is not StorageError and not isinstance(error, ForeignSurplus):
            raise  # superseded: the stream is not to blame
        raise StorageError(
            f"stream {stream} on the bus does not continue the database: {error}; if the database"
            " is right, delete the stream and run `odds-service bus init`"
        ) from None


def no_stream(stream: str) -> LogError:
    """Return the error of a bus without the stream of the log."""
    return LogError(f"there is no stream {stream} on the bus; run `odds-service bus init`")


async def _append(bus: Log, opened: Opened, expect: int) -> int:
    return await bus.append(encode(opened)[0], expect)


async def _patiently(work: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
    """Await a function of the store, through any outage of the database."""
    return await _through_outages(partial(work, *args), StorageUnavailable, _STORAGE)


async def _surely(call: Caller, stream: str, work: Callable[..., Awaitable[T]], *args: object) -> T:
    """Await a function of the log, through any outage of the bus."""
    try:
        return await _through_outages(partial(call, work, *args), Unavailable, _BUS)
    except Gone:
        raise no_stream(stream) from None
    except Hole as error:
        raise LogError(
            f"stream {stream} on the bus has discarded what the database lacks: {error};"
            " delete the stream and run `odds-service bus init`"
        ) from None
    except BadMessage as error:
        raise LogError(f"stream {stream} on the bus cannot be read: {error}") from None


async def _through_outages(
    work: Callable[[], Awaitable[T]], outage: type[OddsServiceError], names: tuple[str, str]
) -> T:
    """Repeat a function, ever more slowly, for as long as it meets an outage."""
    wait_s, reason = RETRY_FIRST_S, ""
    while True:
        try:
            result = await work()
        except outage as error:
            if str(error) != reason:
                reason = str(error)
                log.warning(names[0], reason=reason, while_taking_over=True)
            await trio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_MAX_S)
        else:
            if reason:
                log.info(names[1])
            return result
