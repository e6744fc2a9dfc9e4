"""Structured logs without secrets: pretty on a terminal, one JSON object per line elsewhere."""

import logging
import sys
import threading
from types import TracebackType
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from odds_service.line_queue import LineQueue, queue_prints
from odds_service.secrets import redact, without_known

log = structlog.get_logger(__name__)


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: _redacted(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_redacted(inner) for inner in value]
    return value


def _redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: _redacted(value) for key, value in event.items()}


def _redact_line(_logger: WrappedLogger, _method: str, line: Any) -> str:
    """Hide secrets that appeared when an object was rendered as text."""
    return without_known(str(line))


def _log_crash(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Log a crash, since Python's own hook would print secrets with the traceback."""
    if issubclass(kind, KeyboardInterrupt):
        return
    log.critical("crashed", exc_info=(kind, error, traceback))


def _log_thread_crash(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        _log_crash(args.exc_type, args.exc_value, args.exc_traceback)


def _log_unraisable(args: "sys.UnraisableHookArgs") -> None:
    crash = None if args.exc_value is None else (args.exc_type, args.exc_value, args.exc_traceback)
    log.error("unraisable", where=repr(args.object), exc_info=crash)


class QueuedHandler(logging.Handler):
    """A handler that never waits for the reader of the log; a line tells how many were left out."""

    def __init__(self, queue: LineQueue) -> None:
        super().__init__()
        self._queue = queue
        queue.when_emptied = self._tell_lost

    def handle(self, record: logging.LogRecord) -> bool:
        """Emit a record, without the lock that the standard library holds meanwhile.

        A thread may stand for ever in the text of an object that it logs; others still log.
        """
        kept: object = self.filter(record)  # from Python 3.12 on, perhaps another record
        if kept:
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return bool(kept)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line, after the number of those that were left out before it."""
        try:
            line = self.format(record)
        except Exception:  # as every handler of the standard library does
            self.handleError(record)
            return
        last_words = record.levelno >= logging.CRITICAL  # a crash, so there are few of them
        if self._queue.has_room or last_words:
            self._tell_lost(always=last_words)
        self._queue.put(f"{line}\n", always=last_words)

    def _tell_lost(self, *, always: bool = False) -> None:
        if lost := self._queue.take_lost():
            level = max(logging.WARNING, logging.getLogger().level)
            level = logging.CRITICAL if always else level  # so that it finds room, too
            log.log(level, "log_lines_lost", lines=lost, in_all=self._queue.lost)


def configure_logs(level: str, style: str) -> None:
    """Send structlog and the standard library's loggers to stderr in one form.

    httpx logs whole URLs at INFO, so its loggers are held at WARNING, and every text goes through
    `redact` as well. Crashes of the process or of a thread, and Python's warnings, are logged in
    the same form. No caller waits for the reader of stderr; see line_queue.

    Args:
        level: The lowest level to log, in upper or lower case.
        style: `auto`, `json` or `pretty`.
    """
    pretty = style == "pretty" or (style == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact_event,
    ]
    render: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if pretty
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    queue = queue_prints("stderr")
    handler = logging.StreamHandler(sys.stderr) if queue is None else QueuedHandler(queue)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                render,
                _redact_line,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)
    for name in ("httpx", "httpcore", "hpack", "asyncio", "aiosqlite", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _log_crash
    threading.excepthook = _log_thread_crash
    sys.unraisablehook = _log_unraisable


def set_level(level: str) -> None:
    """Log this level and those above it from now on; in upper or lower case."""
    logging.getLogger().setLevel(level.upper())
