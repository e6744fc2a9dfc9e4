"""Redaction of secrets: those in the settings, and text that looks like a secret.

Code that reads a secret from the settings calls `hide`. Logs, errors and tracebacks, and the
statuses and replies made from them, go through `redact`.
"""

import json
import re
import threading
from typing import Final
from urllib.parse import quote, quote_plus, unquote

HIDDEN: Final = "***"
# Hiding shorter secrets would remove ordinary words from the logs.
LEAST_CHARS: Final = 8

# Query parameters, headers and settings that carry secrets, and passwords in URLs. After a colon
# without quotes stands a secret or, in a hint (`api_key: Field required`), a word: one has digits.
_LOOKS_SECRET: Final = re.compile(
    r"(?i)((?:api[_-]?key|token|password|secret|authorization)"
    r"(?:[\"']?=\s*[\"']?|[\"']?:\s*[\"']|:\s*(?=(?:bearer\s+)?[^\s&\"'<>]*\d)|:\s*(?=bearer\s)))"
    r"(?:bearer\s+)?[^\s&\"'<>]+"
    r"|(://[^\s:/@]*:)[^\s/@]+(?=@)"
)
_PASSWORD_IN_URL: Final = re.compile(r"://[^/\s:@]*:(.*)@")

_lock = threading.Lock()
_hidden: set[str] = set()
_pattern: re.Pattern[str] | None = None


def hide(secret: str) -> None:
    """Redact a secret from now on, in all its quoted forms, if it has LEAST_CHARS or more."""
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
    """Redact the password of a URL from now on."""
    found = _PASSWORD_IN_URL.search(url)
    if found is not None:
        hide(found[1])
        hide(unquote(found[1]))


def redact(text: str) -> str:
    """Return the text without hidden secrets, and without text that looks like a secret."""
    return _LOOKS_SECRET.sub(lambda found: f"{found[1] or found[2]}{HIDDEN}", without_known(text))


def without_known(text: str) -> str:
    """Return the text without hidden secrets, else unchanged: JSON stays JSON."""
    return text if _pattern is None else _pattern.sub(HIDDEN, text)
