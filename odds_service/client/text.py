"""Messages as text: protobuf's JSON mapping, one object a line."""

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message


def json_line(message: Message) -> str:
    """The message without line breaks; 64-bit integers are strings there, times RFC 3339."""
    return MessageToJson(message, indent=None)
