"""The end of streams whose token is revoked or has other access."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from odds_service.access import Grant, Tokens
from odds_service.serving.auth import revoked
from odds_service.serving.errors import Refused, unavailable
from odds_service.serving.server_context import ServerContext

LOOK_S: Final = 1.0  # streams end at most this long after their token is known to be gone


class _Open:
    """A stream that is open under a grant; `refusal` is set when it must end."""

    def __init__(self, grant: Grant) -> None:
        self.grant = grant
        self.task = asyncio.current_task()
        self.refusal: Refused | None = None


class Revocations:
    """The open streams of callers with tokens; for use on the server's loop only."""

    def __init__(self, server: ServerContext, tokens: Tokens) -> None:
        self._server = server
        self._tokens = tokens
        self._version = tokens.version
        self._open: set[_Open] = set()

    @contextmanager
    def open(self, grant: Grant) -> Iterator[None]:
        """Let a stream be ended during a block.

        Raises:
            Refused: The token is gone (UNAUTHENTICATED), or its access has changed (UNAVAILABLE).
        """
        stream = _Open(grant)
        self._open.add(stream)
        try:
            yield
        except asyncio.CancelledError:
            if stream.refusal is None or stream.task is None:
                raise
            stream.task.uncancel()  # our own cancellation: end the call with a reason instead
            raise stream.refusal from None  # noqa: ASYNC104
        finally:
            self._open.discard(stream)

    def end_revoked(self) -> None:
        """End the streams whose grant is not the present one of their token."""
        self._tokens.look()
        if self._tokens.version == self._version:
            return
        self._version = self._tokens.version
        present = self._tokens.present
        self._server.keep_grants(lambda grant: present(grant.client) == grant)
        for stream in tuple(self._open):
            now = present(stream.grant.client)
            if now == stream.grant or (now is None and not self._tokens.asked):
                continue
            if stream.task is not None and stream.refusal is None:
                stream.refusal = revoked() if now is None else _changed()
                stream.task.cancel()

    async def watch(self) -> None:
        """End the streams of revoked tokens; return only when cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.end_revoked()


def _changed() -> Refused:
    text = "the access of the token has changed; call again"
    return unavailable(text, "ACCESS_CHANGED", LOOK_S)
