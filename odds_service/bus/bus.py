"""The bus as nodes use it: its log, and requests and messages beside it.

All functions are for one asyncio loop, that of the bus thread.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog

from odds_service.bus.log import Log, LogError, Unavailable
from odds_service.errors import OddsServiceError

MOST_BODY_BYTES: Final = 2**20 - 4096  # what a server accepts by default, less room for headers
AT_WORK: Final = 16  # requests of one answer() at once

Work = Callable[[bytes], Awaitable[bytes]]
# Sends an answer, and whether it is the text of an error. Raises LogError.
Reply = Callable[[bytes, bool], Awaitable[None]]

log = structlog.get_logger(__name__)


class AnswerError(LogError):
    """The node that was asked answered with an error."""


class Bus(Protocol):
    """A connection to the bus, with the log on it.

    Subjects of one log share a beginning; see beside().
    """

    @property
    def log(self) -> Log:
        """The log; aclose() ends it, too."""
        ...

    async def ask(self, subject: str, body: bytes, within_s: float) -> bytes:
        """Send a request to whoever answers a subject, and return the first answer.

        Args:
            subject: Where answer() listens.
            body: The request, at most MOST_BODY_BYTES.
            within_s: The time limit of the answer, in s; reaching the bus may take 5 s more.

        Raises:
            Unavailable: The bus is away or was interrupted, nobody answers the subject, or no
                answer came in time. The work may be done or not.
            AnswerError: The other node's work failed.
            LogError: The request is too large.
        """
        ...

    async def answer(self, subject: str, work: Work) -> None:
        """Answer requests, AT_WORK at once at most, until cancelled or until the bus is closed.

        It outlives outages of the bus. Requests beyond AT_WORK are refused at once. An exception
        of the work is logged and answered: the text of an OddsServiceError, else no text.

        Args:
            subject: The subject; if others answer it too, the first answer counts.
            work: Returns the answer to a request, at most MOST_BODY_BYTES.

        Cancellation: Requests at work are cancelled and answered with an error.
        """
        ...

    async def tell(self, subject: str, body: bytes) -> None:
        """Send a message to all who hear a subject. It may be lost, as during an outage.

        Raises:
            LogError: The message is too large.
        """
        ...

    async def hear(self, subject: str, take: Callable[[bytes], None]) -> None:
        """Call `take` with each message, until cancelled or until the bus is closed.

        It outlives outages of the bus; messages sent meanwhile are lost. An exception of `take` is
        logged.
        """
        ...

    async def aclose(self) -> None:
        """End the connection, the log, and what waits for either.

        End answer() before, or those who asked wait for their time limit.
        """
        ...


def beside(subject: str, name: str) -> str:
    """Return a subject beside that of the log: `odds.status` for `odds.log` and `status`."""
    return ".".join([*subject.split(".")[:-1], name])


def check_size(body: bytes) -> None:
    """Raise LogError if a request or message is too large."""
    if len(body) > MOST_BODY_BYTES:
        raise LogError(f"the bus accepts no messages of this size, {len(body):,} bytes")


def took(subject: str, take: Callable[[bytes], None], body: bytes) -> None:
    """Call a function of hear() with a message, and log its exception."""
    try:
        take(body)
    except Exception:
        log.exception("bus_message_failed", subject=subject)


class Answering:
    """The requests of one answer() that are at work, each in a task of its own.

    Args:
        subject: The subject, for the log.
        work: See Bus.answer.
    """

    def __init__(self, subject: str, work: Work) -> None:
        self._subject = subject
        self._work = work
        self._at_work = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, body: bytes, reply: Reply) -> None:
        """Begin to work on a request, or to refuse it while AT_WORK others are at work."""
        if self._at_work < AT_WORK:
            self._at_work += 1
            task = asyncio.ensure_future(self._answer(body, reply))
            task.add_done_callback(self._leave)
        else:
            text = f"{AT_WORK} requests of {self._subject} are at work already"
            task = asyncio.ensure_future(self._reply(reply, text.encode(), failed=True))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Cancel all requests; they are answered with an error."""
        await asyncio.sleep(0)  # a task that is cancelled before its first step answers nothing
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _leave(self, _: asyncio.Task[None]) -> None:
        self._at_work -= 1

    async def _answer(self, body: bytes, reply: Reply) -> None:
        failed = True
        try:
            answer = await self._work(body)
            check_size(answer)
            failed = False
        except OddsServiceError as error:
            log.warning("bus_request_failed", subject=self._subject, reason=str(error))
            answer = str(error).encode()
        except asyncio.CancelledError:
            stopped = b"the node that was asked stopped amid the work"
            # Without it, the other node would wait for its time limit.
            await self._reply(reply, stopped, failed=True)  # noqa: ASYNC120  # see above
            raise
        except Exception:
            log.exception("bus_request_failed", subject=self._subject)
            answer = b"the node that was asked met an unexpected error, see its log"
        await self._reply(reply, answer, failed=failed)

    async def _reply(self, reply: Reply, answer: bytes, *, failed: bool) -> None:
        try:
            await reply(answer, failed)
        except Unavailable as error:
            log.info("bus_answer_lost", subject=self._subject, reason=str(error))
        except LogError as error:
            log.warning("bus_answer_lost", subject=self._subject, reason=str(error))
