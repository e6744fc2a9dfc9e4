"""The bus on NATS: requests and messages over the connection of the log."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from odds_service.bus.bus import AnswerError, Answering, Work, check_size, took
from odds_service.bus.connection import (
    RETRY_S,
    Connection,
    NatsOptions,
    NoResponders,
    in_words,
)
from odds_service.bus.log import LogError, Unavailable
from odds_service.bus.nats import NatsLog

# The header that marks an answer as the text of an error, as NATS's own services do.
_ERROR: Final = "Nats-Service-Error"

log = structlog.get_logger(__name__)


class NatsBus:
    """A bus on NATS; see Bus."""

    def __init__(self, options: NatsOptions) -> None:
        self._connection = Connection(options)
        self._log = NatsLog(self._connection)

    @property
    def log(self) -> NatsLog:
        """See Bus."""
        return self._log

    async def ask(self, subject: str, body: bytes, within_s: float) -> bytes:
        """See Bus."""
        check_size(body)
        try:
            msg = await self._connection.request(subject, body, within_s=within_s)
        except NoResponders:
            raise Unavailable(f"no node answers {subject}") from None
        if _ERROR in (msg.headers or {}):
            raise AnswerError(msg.data.decode("utf-8", "replace"))
        return bytes(msg.data)

    async def answer(self, subject: str, work: Work) -> None:
        """See Bus."""
        answering = Answering(subject, work)

        async def arrive(msg: Msg) -> None:
            if not msg.reply:
                return  # told, not asked

            async def reply(answer: bytes, failed: bool) -> None:
                client = await self._connection.client()
                headers = {_ERROR: "failed"} if failed else None
                await in_words(client.publish(msg.reply, answer, headers=headers))

            answering.take(msg.data, reply)

        try:
            await self._listen(subject, arrive)
        finally:
            await answering.aclose()  # noqa: ASYNC102  # they are cancelled, and end at once

    async def tell(self, subject: str, body: bytes) -> None:
        """See Bus."""
        check_size(body)
        try:
            client = await self._connection.client()
            await in_words(client.publish(subject, body))
        except Unavailable as error:
            log.debug("bus_message_lost", subject=subject, reason=str(error))

    async def hear(self, subject: str, take: Callable[[bytes], None]) -> None:
        """See Bus."""

        async def arrive(msg: Msg) -> None:
            took(subject, take, msg.data)

        await self._listen(subject, arrive)

    async def aclose(self) -> None:
        """See Bus."""
        await self._log.aclose()
        await self._connection.aclose()

    async def _listen(self, subject: str, arrive: Callable[[Msg], Awaitable[None]]) -> None:
        """Call `arrive` with each message of a subject, until the connection is closed.

        The library subscribes again by itself when it reaches a server again, but not after it
        has given its client up.
        """
        connection = self._connection
        changed = asyncio.Event()
        connection.interrupted.add(changed.set)
        try:
            while not connection.closed:
                changed.clear()
                try:
                    client = await connection.client()
                    subscription = await in_words(client.subscribe(subject, cb=arrive))
                except LogError as error:
                    log.debug("bus_listener_waits", subject=subject, reason=str(error))
                    await asyncio.sleep(RETRY_S)
                    continue
                try:
                    while not client.is_closed and not connection.closed:
                        await changed.wait()
                        changed.clear()
                finally:
                    await _leave(client, subscription.unsubscribe)
        finally:
            connection.interrupted.discard(changed.set)


async def _leave(client: Client, unsubscribe: Callable[[], Awaitable[None]]) -> None:
    if not client.is_closed:
        with suppress(TimeoutError, nats.errors.Error, OSError):
            await unsubscribe()
