"""Requests to read the settings again: from SIGHUP and over the API, one at a time."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import structlog
import trio

from odds_service.config import Settings
from odds_service.errors import SettingsError
from odds_service.model.reload import Reloaded

_Caller: TypeAlias = "trio.MemorySendChannel[Reloaded | Exception]"

log = structlog.get_logger(__name__)


class Reloads:
    """The requests for a reload; those that come before the service runs are remembered.

    Args:
        load: returns the settings, read again in a worker thread; None if they came from no file.
    """

    def __init__(self, load: Callable[[], Settings] | None = None) -> None:
        self._load = load
        self._asked = trio.Event()
        self._waiting: list[_Caller] = []
        self._ended = False

    def ask(self) -> None:
        """Ask for a reload without waiting for it. Call it in the Trio thread."""
        self._asked.set()

    async def load(self) -> Settings:
        """Read the settings. Raises SettingsError."""
        if self._load is None:
            raise SettingsError("this service was started without settings that can be read again")
        return await trio.to_thread.run_sync(self._load, abandon_on_cancel=True)

    async def reload(self) -> Reloaded:
        """Ask for a reload, and return what it did.

        Raises:
            SettingsError: The settings are wrong; nothing has changed.
            ConnectionAbortedError: The service is stopping.

        Cancellation:
            Loses only the outcome; the reload goes on.
        """
        if self._ended:
            raise ConnectionAbortedError("the service is stopping")
        send, receive = trio.open_memory_channel[Reloaded | Exception](1)
        self._waiting.append(send)
        self._asked.set()
        with receive:
            outcome = await receive.receive()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def serve(self, work: Callable[[], Awaitable[Reloaded]]) -> None:
        """Do each reload that is asked for, until cancelled; requests in between share the next."""
        waiting: list[_Caller] = []
        try:
            while True:
                await self._asked.wait()
                self._asked = trio.Event()
                waiting, self._waiting = self._waiting, []
                try:
                    outcome = await work()
                except SettingsError as error:
                    log.warning("reload_refused", reason=str(error), changed="nothing")
                    _settle(waiting, error)
                else:
                    _settle(waiting, outcome)
                waiting = []
        finally:
            self._ended = True
            stopping = ConnectionAbortedError("the service is stopping")
            _settle([*waiting, *self._waiting], stopping)


def _settle(callers: list[_Caller], outcome: Reloaded | Exception) -> None:
    for send in callers:
        with send:
            try:
                send.send_nowait(outcome)
            except trio.BrokenResourceError:
                log.debug("reload_caller_left")
