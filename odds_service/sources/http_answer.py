"""HTTP answers: their status, shape and body, with a named failure for each defect."""

import codecs
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from odds_service.decoding import decode_as
from odds_service.errors import SourceError
from odds_service.sources.failures import status_kind

T = TypeVar("T")

MESSAGE_CHARS: Final = 200  # of a server's message, in our errors
_EPOCH_S: Final = 1e9  # larger delays are timestamps: some servers send seconds since 1970
_EPOCH_MS: Final = 1e12
_DAY_S: Final = 86_400.0
_NUMBER: Final = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?")


class Answer(Struct, frozen=True):
    """A complete answer; header names in lower case. A body confirmed by 304 has status 200."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Said(Struct):
    message: str = ""


def require_ok(path: str, answer: Answer) -> Answer:
    """Return the answer if it is a 200.

    Raises:
        SourceError: of kind unauthorized, forbidden, not_found, or bad_request for other statuses.
    """
    if answer.status == 200:
        return answer
    raise SourceError(status_kind(answer.status), f"{path}: {_said(answer)}")


def require_json(path: str, answer: Answer) -> bytes:
    """Return the body of an answer that should be JSON.

    Raises:
        SourceError: of kind html for a page (anti-bot, login), not_json for anything else that does
            not begin like JSON.
    """
    body = answer.body.removeprefix(codecs.BOM_UTF8)
    start = body[:256].lstrip()[:1]
    if start == b"<":
        raise SourceError("html", f"{path}: a page came instead of JSON (blocked, or a login?)")
    if start not in {b"[", b"{"}:
        raise SourceError("not_json", f"{path}: the body is not JSON")
    return body


def decode_json(path: str, answer: Answer, kind: type[T]) -> T:
    """Decode an answer that should be JSON of a given shape.

    Args:
        path: the request's path, for error texts.
        answer: the complete answer.
        kind: a type that msgspec can decode.

    Raises:
        SourceError: as require_ok and require_json, and of kind wrong_shape or truncated.
    """
    body = require_json(path, require_ok(path, answer))
    try:
        return decode_as(kind, body)
    except msgspec.ValidationError as error:
        raise SourceError("wrong_shape", f"{path}: {error}") from None
    except msgspec.DecodeError as error:
        raise SourceError("truncated", f"{path}: broken JSON: {error}") from None


def status_error(path: str, answer: Answer, most_wait_s: float) -> SourceError:
    """Return the error of a bad status.

    Args:
        path: the request's path, for the error's text.
        answer: the answer with that status.
        most_wait_s: upper bound of its Retry-After in seconds.
    """
    wait_s = retry_after(answer.headers.get("retry-after"), datetime.now(UTC), most_wait_s)
    return SourceError(status_kind(answer.status), f"{path}: {_said(answer)}", retry_after_s=wait_s)


def retry_after(header: str | None, now: datetime, most_s: float) -> float | None:
    """Return the wait in seconds that a Retry-After header asks for; None if it is invalid.

    The header is a delay, a date or, in violation of the standard, a timestamp in seconds or
    milliseconds since 1970.

    Args:
        header: the header's text; None without the header.
        now: an aware time.
        most_s: upper bound of the wait in seconds.
    """
    if header is None:
        return None
    text = header.strip()
    if _NUMBER.fullmatch(text):
        wait_s = float(text)
        if wait_s >= _EPOCH_S:
            at_s = wait_s / 1000 if wait_s >= _EPOCH_MS else wait_s
            wait_s = at_s - now.timestamp()
            if wait_s < -_DAY_S:  # implausible as a timestamp: an unbounded delay
                wait_s = most_s
    elif text.isascii() and text.isdigit():
        wait_s = most_s  # a number too long to convert
    else:
        try:
            at = parsedate_to_datetime(text)
            wait_s = (
                (at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - now
            ).total_seconds()
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return min(max(0.0, wait_s), most_s)


def _said(answer: Answer) -> str:
    """Return the status, with the server's own message if the body is JSON that has one."""
    text = f"answered {answer.status}"
    try:
        message = decode_as(_Said, answer.body).message
    except msgspec.MsgspecError:
        return text
    return f"{text}: {message[:MESSAGE_CHARS]}" if message else text
