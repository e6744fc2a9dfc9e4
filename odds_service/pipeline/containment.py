"""Calls into a source's own code, whose errors must not leave it."""

from collections.abc import Awaitable, Callable

import structlog
import trio

from odds_service.errors import SourceError
from odds_service.model.source import BAD_OBSERVATION

log = structlog.get_logger(__name__)


class SourceFailed(Exception):
    """A source raised `error`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(type(error)))
        self.error = error


async def contained(call: Callable[[], object]) -> object:
    """Await a call into a source, and return its result.

    Only our own cancellation and an interrupt pass: SystemExit of a library does not end the
    service.

    Raises:
        SourceFailed: whatever the source raised, or it returned nothing to await.

    Cancellation:
        Loses the fetch under way. What else a source raised along with it is logged.
    """
    try:
        pending = call()
        if not isinstance(pending, Awaitable):
            text = f"it returned {type(pending).__name__}, which cannot be awaited"
            raise SourceError(BAD_OBSERVATION, text)
        return await pending
    except (trio.Cancelled, KeyboardInterrupt):
        raise
    except BaseExceptionGroup as group:
        ours, theirs = group.split((trio.Cancelled, KeyboardInterrupt))
        if ours is None:
            raise SourceFailed(group) from None
        if theirs is not None:
            log.error("source_crashed", kind="crash", exc_info=theirs)
        raise ours from None
    except BaseException as error:  # it stays in its source
        raise SourceFailed(error) from None
