"""The owner of a PostgreSQL database: its lock, its promise to live, and the standby's wait.

The lock is an advisory lock of a session that does nothing else. An owner that renews also promises
to live for a moment; a standby that reads an expired promise ends the session that has the lock. A
paused owner needs that: its kernel goes on answering for its connections.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple

import asyncpg
import structlog

from odds_service.errors import OddsServiceError, StorageError, StorageUnavailable, Superseded
from odds_service.storage.epoch_order import SUPERSEDED
from odds_service.storage.postgres_sessions import Sessions
from odds_service.store import EXPIRED_S, LEASE_S

OWNER_WAIT_S: Final = 5.0  # wait until the server notices that a former owner was killed
LOOK_S: Final = 0.5  # between two looks of a standby
# A standby that had trouble itself lets the owner take its lock again first: all sessions ended,
# and the owner comes back within a second.
AFTER_TROUBLE_S: Final = 3.0
# A session that took the lock this recently may not have renewed the promise yet.
NEW_HOLDER_S: Final = 2.0
BLOCKED_S: Final = 1.0  # wait of a fence for a former owner's transaction

_GOODBYE_S: Final = 2.0  # limit for ending the owner's session
_LOCK_SPACE: Final = 0x6F646473  # 'odds': the first half of the advisory lock's key

_LOCK: Final = "SELECT pg_try_advisory_lock($1, hashtext(current_schema()))"

_HAS_TABLE: Final = "SELECT to_regclass('feed_owner') IS NOT NULL"

# Sessions that hold the lock of this database and schema.
_HOLDERS: Final = """
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND classid = $1 AND objsubid = 2
AND objid = CAST(CAST(hashtext(current_schema()) AS bigint) & 4294967295 AS oid)
"""

_WHO: Final = f"""
SELECT pid, coalesce(client_addr::text, 'this machine') AS place, backend_start {_HOLDERS}
"""  # our text

_EXPIRED: Final = (
    f"EXISTS (SELECT FROM feed_owner WHERE owner_until < clock_timestamp() - "
    f"interval '{EXPIRED_S} s')"
)

_END: Final = f"""
SELECT pid, pg_terminate_backend(pid) AS ended, (SELECT node FROM feed_owner) AS node
{_HOLDERS} AND pid = $2 AND {_EXPIRED}
"""  # noqa: S608  # our text

_IS_FRESH: Final = """
SELECT pg_postmaster_start_time() > clock_timestamp() - make_interval(secs => $1)
"""

# $2: the owner's epoch, empty before it fenced. No row comes back if another epoch is in force.
_RENEW: Final = f"""
INSERT INTO feed_owner (one, owner_until, node)
SELECT 1, clock_timestamp() + interval '{LEASE_S} s', $1
WHERE $2 = '' OR EXISTS (SELECT FROM feed_state WHERE epoch = $2)
ON CONFLICT (one) DO UPDATE SET owner_until = excluded.owner_until, node = excluded.node
RETURNING one
"""  # noqa: S608  # our numbers

_PROMISE_NOTHING: Final = """
INSERT INTO feed_owner (one, node) VALUES (1, $1)
ON CONFLICT (one) DO UPDATE SET owner_until = NULL, node = excluded.node
"""

_END_BLOCKERS: Final = """
SELECT pid, pg_terminate_backend(pid) AS ended FROM unnest(pg_blocking_pids($1)) AS pid
"""

log = structlog.get_logger(__name__)


class _Holder(NamedTuple):
    """The session that a standby saw with the lock, and the loop's time of the first look."""

    pid: int
    begun: Any
    seen_at: float


class Ownership:
    """The owner's session, or the standby's on its way to it; asyncio-flavoured.

    Args:
        sessions: Opens the sessions.
        trouble: Translates the driver's errors; None for a bug.
    """

    def __init__(
        self, sessions: Sessions, trouble: Callable[[Exception], OddsServiceError | None]
    ) -> None:
        self._sessions = sessions
        self._trouble = trouble
        self._session: Any = None  # it holds the lock
        self._using = asyncio.Lock()
        self._promised = False
        self._superseded = False
        self._node = f"{socket.gethostname()} (process {os.getpid()})"

    @property
    def lost(self) -> bool:
        """True if the session that held the lock has ended, and the lock is not another owner's."""
        session = self._session
        return session is not None and session.is_closed() and not self._superseded

    async def aio_take(self) -> None:
        """Take the lock, for which a killed owner's session may have to end first.

        Raises:
            StorageError: Somebody else has it.
        """
        session = await self._sessions.aio_connect()
        try:
            deadline = asyncio.get_running_loop().time() + OWNER_WAIT_S
            while not await _aio_lock(session):
                if asyncio.get_running_loop().time() > deadline:
                    raise StorageError(await _aio_who_owns(session))
                await asyncio.sleep(0.2)
            await self._aio_promise_nothing(session)
        except BaseException:
            session.terminate()
            raise
        self._session = session

    async def aio_stand_by(self) -> None:
        """Wait until the lock can be taken, and take it; end an owner whose promise has expired.

        Raises:
            OddsServiceError: The first look fails. Later trouble is waited out.
        """
        session = await self._sessions.aio_connect()
        try:
            standby = _Standby(session)
            taken = await standby.aio_look()
            if not taken:
                log.info("standing_by", owner=await _aio_who_owns(session))
            while not taken:
                await asyncio.sleep(LOOK_S)
                try:
                    if session.is_closed():
                        standby.note_trouble()
                        session = standby.session = await self._sessions.aio_connect()
                    taken = await standby.aio_look()
                except Exception as error:
                    told = self._trouble(error)
                    if told is None:
                        raise
                    if not standby.troubled:
                        log.warning("standby_trouble", reason=str(told))
                    standby.note_trouble()
                    session.terminate()
            await self._aio_promise_nothing(session)
        except BaseException:
            session.terminate()
            raise
        self._session = session
        log.info("database_lock_taken")

    async def aio_take_again(self) -> None:
        """Take the lock again if its session was lost.

        Somebody else may hold it: our own former session, as long as the server has not noticed,
        or a service that is starting. The epoch decides, so writing goes on.
        """
        async with self._using:
            if not self.lost:
                return
            session = await self._aio_connect_and_lock()
            if session is not None:
                self._session = session
                log.info("database_lock_taken_again")

    async def aio_renew(self, epoch: str) -> None:
        """See store.Store.renew; `epoch` is empty before the fence."""
        async with self._using:
            if self._session is None:
                raise StorageError("only the owner of a database renews its promise")
            if self._superseded:
                raise Superseded(SUPERSEDED)
            if self.lost:
                session = await self._aio_connect_and_lock()
                if session is None:
                    await self._aio_explain(epoch)
                self._session = session
                log.info("database_lock_taken_again")
            if await self._session.fetchval(_RENEW, self._node, epoch) is None:
                self._superseded = True
                self._session.terminate()  # the lock is the new owner's
                raise Superseded(SUPERSEDED)
            self._promised = True

    async def aio_end_blockers(self, process: int) -> None:
        """End sessions for which a session of ours has waited BLOCKED_S, until cancelled.

        A former owner that was paused in a transaction keeps its locks for a minute.
        """
        while True:
            await asyncio.sleep(BLOCKED_S)
            async with self._using:
                if self._session is None or self.lost:
                    continue
                for row in await self._session.fetch(_END_BLOCKERS, process):
                    log.warning("former_owners_transaction_ended", process=row["pid"])

    async def aio_release(self) -> None:
        """Take the promise back, end the session, and with it the lock."""
        if self._session is None:
            return
        session, self._session = self._session, None
        with suppress(OSError, asyncio.TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            if self._promised and not session.is_closed():
                await session.execute(
                    "UPDATE feed_owner SET owner_until = NULL", timeout=_GOODBYE_S
                )
            await session.close(timeout=_GOODBYE_S)

    async def _aio_connect_and_lock(self) -> Any:
        """Return a new session that has the lock; None if another one has it."""
        session = await self._sessions.aio_connect()
        try:
            if await _aio_lock(session):
                return session
        except BaseException:
            session.terminate()
            raise
        session.terminate()
        return None

    async def _aio_explain(self, epoch: str) -> None:
        """Raise the reason for which the lock cannot be taken again."""
        session = await self._sessions.aio_connect()
        try:
            found = await session.fetchval("SELECT epoch FROM feed_state")
            if epoch and found != epoch:
                self._superseded = True
                raise Superseded(SUPERSEDED)
            raise StorageUnavailable(await _aio_who_owns(session))
        finally:
            session.terminate()

    async def _aio_promise_nothing(self, session: Any) -> None:
        """Erase the former owner's promise, so that nobody ends the new one by it."""
        if await session.fetchval(_HAS_TABLE):
            await session.execute(_PROMISE_NOTHING, self._node)


class _Standby:
    """The looks of a standby.

    Attributes:
        session: Its session, to be replaced when it has ended.
        troubled: Whether the last look failed.
    """

    def __init__(self, session: Any) -> None:
        self.session = session
        self.troubled = False
        self._quiet_until = 0.0  # by the loop's clock
        self._holder: _Holder | None = None

    def note_trouble(self) -> None:
        """Let the owner come back first."""
        self.troubled = True
        self._quiet_until = asyncio.get_running_loop().time() + AFTER_TROUBLE_S
        self._holder = None

    async def aio_look(self) -> bool:
        """Take the lock if it is free, and return whether it was; or end a silent owner."""
        fresh = await self.session.fetchval(_IS_FRESH, AFTER_TROUBLE_S)
        self.troubled = False
        if fresh or asyncio.get_running_loop().time() < self._quiet_until:
            return False
        if await _aio_lock(self.session):
            return True
        return await self._aio_end_silent() and await self._aio_lock_soon()

    async def _aio_end_silent(self) -> bool:
        """End the holder's session if its promise has expired; return whether that was done."""
        now = asyncio.get_running_loop().time()
        holder = await self.session.fetchrow(_WHO, _LOCK_SPACE)
        if holder is None:
            self._holder = None
            return False
        known = self._holder
        if known is None or known[:2] != (holder["pid"], holder["backend_start"]):
            self._holder = _Holder(holder["pid"], holder["backend_start"], now)
            return False
        if now < known.seen_at + NEW_HOLDER_S or not await self.session.fetchval(_HAS_TABLE):
            return False
        try:
            ended = await self.session.fetchrow(_END, _LOCK_SPACE, known.pid)
        except asyncpg.InsufficientPrivilegeError as error:
            log.error("silent_owner_not_ended", process=known.pid, reason=str(error))
            return False
        if ended is None:
            return False
        log.warning("silent_owner_ended", owner=ended["node"], process=known.pid)
        return True

    async def _aio_lock_soon(self) -> bool:
        """Take the lock of a session that is being ended, within LOOK_S."""
        for _ in range(10):
            if await _aio_lock(self.session):
                return True
            await asyncio.sleep(LOOK_S / 10)
        return False


async def _aio_lock(session: Any) -> bool:
    """Try to take the lock of the database's owner."""
    return bool(await session.fetchval(_LOCK, _LOCK_SPACE))


async def _aio_who_owns(session: Any) -> str:
    owners = [
        f"from {row['place']} since {row['backend_start']:%Y-%m-%d %H:%M:%S}Z (pid {row['pid']})"
        for row in await session.fetch(_WHO, _LOCK_SPACE)
    ]
    return f"the database is in use by another odds-service, {', '.join(owners) or 'just gone'}"
