"""What must never be shown: secrets that were read, and what looks like one.

Whoever reads a secret from the settings says `hide`; whatever is shown to anybody goes through
`redact`: logs, errors, tracebacks, and what these become in statuses and in replies.
"""

import json
import re
import threading
from typing import Final
from urllib.parse import quote, quote_plus, unquote

HIDDEN: Final = "***"
# A shorter one would take ordinary words out of the logs; what looks like a secret is hidden still.
LEAST_CHARS: Final = 8

# Query parameters, headers and settings that carry secrets, and passwords in URLs, wherever a
# library may print them.
_LOOKS_SECRET: Final = re.compile(
    r"(?i)((?:api_?key|token|password|secret|authorization)[\"']?[=:]\s*[\"']?)(?:bearer\s+)?"
    r"[^\s&\"'<>]+"
    r"|(://[^\s:/@]*:)[^\s/@]+(?=@)"
)
_PASSWORD_IN_URL: Final = re.compile(r"://[^/\s:@]*:(.*)@")

_lock = threading.Lock()
_hidden: set[str] = set()
_pattern: re.Pattern[str] | None = None


def hide(secret: str) -> None:
    """Never show this one again, however it is quoted; LEAST_CHARS or longer."""
    global _pattern
    if len(secret) < LEAST_CHARS:
        return
    quoted = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
    with _lock:
        if quoted <= _hidden:
            return
        _hidden.update(quoted, {repr(secret)[1:-1]})
        longest_first = sorted(_hidden, key=len, reverse=True)
        _pattern = re.compile("|".join(map(re.escape, longest_first)))


def hide_in_url(url: str) -> None:
    """Never show the URL's password again."""
    found = _PASSWORD_IN_URL.search(url)
    if found is not None:
        hide(found[1])
        hide(unquote(found[1]))


def redact(text: str) -> str:
    """The text without the secrets that were read, and without what looks like one."""
    return _LOOKS_SECRET.sub(lambda found: f"{found[1] or found[2]}{HIDDEN}", without_known(text))


def without_known(text: str) -> str:
    """The text without the secrets that were read; otherwise as it was (JSON stays JSON)."""
    return text if _pattern is None else _pattern.sub(HIDDEN, text)
