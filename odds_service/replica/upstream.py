"""The node that fetches, as a read node hears and asks it by way of the bus."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Final

import structlog
import trio

from odds_service.bus.log import LogError
from odds_service.bus.messages import BadMessage
from odds_service.bus.requests import (
    OwnerState,
    RefreshAsk,
    decode_outcome,
    decode_state,
    encode_ask,
)
from odds_service.errors import NotDurableYet, UpstreamAway
from odds_service.feed import ChangeFeed
from odds_service.model.refresh import RefreshOutcome

_LATE_S: Final = 1.0  # for a reply on its way back, beside the deadline of the work

# Sends a request by way of the bus and returns the answer, within a time in seconds; for Trio.
Ask = Callable[[bytes, float], Awaitable[bytes]]

log = structlog.get_logger(__name__)


class Upstream:
    """The last word of the active ingest node about itself; any thread may read it."""

    def __init__(self) -> None:
        self._told: tuple[OwnerState, float] | None = None

    @property
    def state(self) -> OwnerState | None:
        """Its last message; None before the first."""
        return None if self._told is None else self._told[0]

    @property
    def age_s(self) -> float | None:
        """The seconds since its last message; None before the first."""
        return None if self._told is None else monotonic() - self._told[1]

    def take(self, body: bytes) -> None:
        """Take a message of the bus."""
        try:
            self._told = decode_state(body), monotonic()
        except BadMessage as error:
            log.warning("upstream_unreadable", reason=str(error))


class RemoteRefresher:
    """RefreshEvent on a read node: the node that fetches does the work.

    Args:
        ask: Asks the node that fetches.
        feed: The log of this node.
    """

    def __init__(self, ask: Ask, feed: ChangeFeed) -> None:
        self._ask = ask
        self._feed = feed

    async def refresh(self, event_id: str, deadline_s: float) -> RefreshOutcome:
        """Refresh an event, and return once this node has the result.

        Args:
            event_id: our id of the event.
            deadline_s: the time limit, in seconds.

        Raises:
            UnknownEvent, NotDurableYet, NotFetchedYet: As pipeline.refresh raises them.
            UpstreamAway: No node answers.

        Cancellation: Loses only the result; the refresh goes on.
        """
        body, until_s = encode_ask(RefreshAsk(event_id, deadline_s)), deadline_s + _LATE_S
        began = trio.current_time()
        try:
            outcome = decode_outcome(await self._ask(body, until_s))
        except (LogError, BadMessage, ConnectionAbortedError) as error:
            raise UpstreamAway(f"the node that fetches gave no answer: {error}") from None
        left_s = max(0.0, began + until_s - trio.current_time())
        with trio.move_on_after(left_s):
            await reached(self._feed, outcome.revision)
            return outcome
        raise NotDurableYet(self._feed.epoch, outcome.revision)


async def reached(feed: ChangeFeed, revision: int) -> None:
    """Wait in Trio until a feed that another thread writes is at a revision."""
    token = trio.lowlevel.current_trio_token()

    def wake() -> None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(news.set)

    news = trio.Event()
    leave = feed.listen(wake)
    try:
        while feed.head_revision < revision:
            await news.wait()
            news = trio.Event()
    finally:
        leave()
