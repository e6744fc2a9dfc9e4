"""Detection of a connection pooler in front of PostgreSQL that shares sessions."""

from typing import Any, Final

import asyncpg

from odds_service.errors import StorageError
from odds_service.storage.postgres_sessions import Sessions

_RIVALS: Final = 4  # so many of the pooler's idle sessions may be given out before ours
_RIVAL_S: Final = 5.0  # limit of a rival's wait for a session

_REFUSAL: Final = (
    "a pooler gives each transaction another session, and advisory locks, settings and prepared "
    "statements do not survive that: connect to PostgreSQL itself, or set pool_mode = session "
    "for this database in PgBouncer"
)


async def aio_check_pooler(sessions: Sessions) -> None:
    """Refuse a pooler that pools by transaction or by statement.

    A pooler invents the process id that it tells a client at the start. Behind one, a session of
    our own must stay ours: between transactions, no other client may get its server process.

    Raises:
        StorageError: Sessions are shared.
    """
    ours = await sessions.aio_connect(bare=True)
    opened: list[Any] = [ours]
    try:
        process = await _aio_process(ours)
        if process == ours.get_server_pid():
            return
        for _ in range(_RIVALS):
            rival = await sessions.aio_connect(bare=True)
            opened.append(rival)
            await rival.execute("BEGIN", timeout=_RIVAL_S)
            if await rival.fetchval("SELECT pg_backend_pid()") == process:
                raise StorageError(_REFUSAL)
        if await _aio_process(ours) != process:
            raise StorageError(_REFUSAL)
    except TimeoutError:
        return  # the pooler has no free session, because ours are not shared
    except asyncpg.PostgresConnectionError as error:
        if "transaction blocks not allowed" in str(error):  # it pools by statement
            raise StorageError(_REFUSAL) from None
        raise
    finally:
        for session in opened:
            session.terminate()


async def _aio_process(session: Any) -> int:
    async with session.transaction():
        process: int = await session.fetchval("SELECT pg_backend_pid()")
    return process
