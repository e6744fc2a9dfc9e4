"""Structured logs: pretty on a terminal, one JSON object a line elsewhere, never with a secret."""

import logging
import re
import sys
from typing import Any, Final

import structlog
from structlog.typing import EventDict, WrappedLogger

# Query parameters and URL passwords that carry secrets, wherever a library may print them.
_SECRETS: Final = re.compile(
    r"(?i)((?:api_?key|token|password|secret|authorization)[\"']?[=:]\s*[\"']?)(?:bearer\s+)?"
    r"[^\s&\"'<>]+"
    r"|(://[^\s:/@]*:)[^\s/@]+(?=@)"
)
HIDDEN: Final = "***"


def redact(text: str) -> str:
    """Replace what follows `apiKey=` and its like, and passwords in URLs."""
    return _SECRETS.sub(lambda found: f"{found[1] or found[2]}{HIDDEN}", text)


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


def configure_logs(level: str, style: str) -> None:
    """Send structlog and the standard library's loggers to stderr in one form.

    style: `auto`, `json` or `pretty`. httpx logs whole URLs at INFO: its loggers are held at
    WARNING, and every text goes through `redact` besides.
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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("httpx", "httpcore", "hpack", "asyncio", "aiosqlite", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
