"""Containment of errors in a source's own code."""

from collections.abc import Awaitable, Callable

import structlog
import trio

from odds_service.errors import SourceError
from odds_service.model.source import BAD_OBSERVATION, SourceReason

log = structlog.get_logger(__name__)


class SourceFailed(Exception):
    """A source raised `error`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(type(error)))
        self.error = error


async def contained(call: Callable[[], object]) -> object:
    """Await a call into a source, and return its result.

    Only cancellation by us and KeyboardInterrupt propagate; a SystemExit from a library does not
    end the service.

    Raises:
        SourceFailed: The source raised an exception, or did not return an awaitable.

    Cancellation:
        Loses the fetch under way. Other exceptions raised along with it are logged.
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
            log.error("source_crashed", kind=SourceReason.CRASH, exc_info=theirs)
        raise ours from None
    except BaseException as error:  # contained: it must not end the service
        raise SourceFailed(error) from None
