"""PostgreSQL's sessions: opened with limits of our own, and thrown away all together."""

import asyncio
import socket
from collections.abc import Mapping
from typing import Any, Final
from weakref import WeakSet

import asyncpg

from odds_service.storage.postgres_url import Target

KEEPALIVE_IDLE_S: Final = 10
KEEPALIVE_INTERVAL_S: Final = 5
KEEPALIVE_COUNT: Final = 2
USER_TIMEOUT_S: Final = 20  # for data that the other side does not acknowledge

_TLS_FAILED: Final = "certificate verify failed"


class Sessions:
    """The sessions of one database, and the only place where they are opened."""

    def __init__(self, target: Target, settings: Mapping[str, str], command_s: float) -> None:
        """Open nothing yet.

        Args:
            target: The servers and the driver's arguments.
            settings: Parameters of each session, set after connecting: PgBouncer refuses them at
                the start of a session.
            command_s: The longest wait for a statement's result.
        """
        self._target = target
        self._command_s = command_s
        self._begin = "; ".join(
            f"SELECT set_config({_quoted(name)}, {_quoted(value)}, false)"
            for name, value in settings.items()
        )
        self._open: WeakSet[Any] = WeakSet()

    async def aio_connect(self, *, bare: bool = False) -> Any:
        """Open a session at the first host that has what the URL wants.

        Args:
            bare: Set no parameters, and keep no prepared statements.

        Raises:
            OSError: No server answers.
            asyncpg.PostgresError: The last server refuses the session.
        """
        last: Exception | None = None
        for host, port in self._target.hosts:
            try:
                session = await asyncpg.connect(
                    **self._target.arguments,
                    host=host,
                    port=port,
                    timeout=self._target.connect_s,
                    command_timeout=self._command_s,
                    statement_cache_size=0 if bare else 100,
                )
            except (
                OSError,
                asyncpg.TargetServerAttributeNotMatched,
                asyncpg.CannotConnectNowError,
            ) as error:
                if _TLS_FAILED in str(error):
                    raise
                last = error
                continue
            self._open.add(session)
            _watch_network(session)
            if not bare:
                try:
                    await session.execute(self._begin)
                except BaseException:
                    session.terminate()
                    raise
            return session
        raise last or OSError("no host")

    def discard(self) -> None:
        """End all sessions at once; what waits for one of them fails."""
        for session in list(self._open):
            session.terminate()
        self._open.clear()


def _watch_network(session: Any) -> None:
    """Let the kernel find a dead network: a session that only waits would never notice."""
    opened = session._transport.get_extra_info("socket")  # asyncpg has no other way to its socket
    if opened is None or opened.family == socket.AF_UNIX:
        return
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", KEEPALIVE_COUNT),
        ("TCP_USER_TIMEOUT", USER_TIMEOUT_S * 1000),
    ):
        if hasattr(socket, name):  # not every system has each of them
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _quoted(value: str) -> str:
    """Return a value as SQL text; E'' means the same under every setting of the server."""
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"


def broken(cause: BaseException) -> bool:
    """Return whether an error says that its session, and so all of them, may be dead."""
    if isinstance(cause, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return not isinstance(cause, ValueError)  # as a value that the driver cannot encode is
    if isinstance(cause, asyncio.TimeoutError | OSError):
        return True
    state = getattr(cause, "sqlstate", None) or ""
    return state.startswith(("08", "57P")) or state == "25006"  # a primary that became a standby
