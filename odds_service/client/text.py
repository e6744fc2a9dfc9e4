"""Text forms of messages and enum values."""

from collections.abc import Callable

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message


def json_line(message: Message) -> str:
    """Return a message as one line of JSON, in protobuf's mapping.

    64-bit integers are strings, and times are RFC 3339.
    """
    return MessageToJson(message, indent=None, ensure_ascii=False)


def enum_word(name_of: Callable[..., str], number: int, prefix: str) -> str:
    """Return the lower-case name of an enum value, without its prefix.

    `enum_word(IntentReason.Name, 3, "INTENT_REASON_")` returns `too_old`. A value that this client
    does not know yet gives its number.

    Args:
        name_of: The enum's `Name` function.
        number: The value.
        prefix: The prefix of the enum's value names.
    """
    try:
        return name_of(number).removeprefix(prefix).lower()
    except ValueError:
        return str(number)
