"""A reader of Server-Sent Events that follows the standard, and knows nothing of the server."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Event(NamedTuple):
    """One dispatched event; `last_id` is what a browser would send as Last-Event-ID."""

    kind: str
    text: str
    last_id: str


def events_in(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events of a stream of lines; an event that is cut off is dropped, as told there."""
    kind, texts, last_id = "", list[str](), ""
    for line in lines:
        if not line:
            if texts:
                yield Event(kind or "message", "\n".join(texts), last_id)
            kind, texts = "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            texts.append(value)
        elif name == "id" and "\0" not in value:
            last_id = value
