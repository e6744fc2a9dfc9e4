"""Messages as text."""

from collections.abc import Callable

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message


def json_line(message: Message) -> str:
    """Return protobuf's JSON mapping on one line: 64-bit integers as strings, RFC 3339 times."""
    return MessageToJson(message, indent=None)


def enum_word(name_of: Callable[..., str], number: int, prefix: str) -> str:
    """Return an enum's value as a word: (IntentReason.Name, 3, "INTENT_REASON_") -> `too_old`.

    A value that is newer than this client becomes its number.
    """
    try:
        return name_of(number).removeprefix(prefix).lower()
    except ValueError:
        return str(number)
