"""Conversion of request filters into checked selections."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal

from google.protobuf.timestamp_pb2 import Timestamp

from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.model.text import is_text
from odds_service.serving.errors import bad_request
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.wire_fields import utc_time

MAX_VALUES: Final = 10_000  # in one field of a filter: the event ids of a whole season fit
MAX_VALUE_CHARS: Final = 256  # longer than any name


def selection(request: pb.Filter) -> Selection:
    """Return a filter as a checked selection.

    Raises:
        Refused: A field is malformed (INVALID_ARGUMENT); the refusal names it.
    """
    start_from = _time(request, "start_from", request.start_from)
    start_to = _time(request, "start_to", request.start_to)
    if start_from is not None and start_to is not None and start_from >= start_to:
        raise bad_request("filter.start_to", "is not after start_from")
    chosen = Selection(
        sports=checked_values("filter.sports", request.sports),
        competitions=checked_values("filter.competitions", request.competitions),
        event_ids=checked_values("filter.event_ids", request.event_ids),
        bookmakers=checked_values("filter.bookmakers", request.bookmakers),
        markets=checked_values("filter.markets", request.markets),
        sources=checked_values("filter.sources", request.sources),
        start_from=start_from,
        start_to=start_to,
        in_play=request.in_play if request.HasField("in_play") else None,
        size_bytes=3 * request.ByteSize(),  # short strings take more memory than bytes on the wire
    )
    unrestricted = chosen.event_ids is None and not (chosen.by_event or chosen.of_markets)
    return EVERYTHING if unrestricted else chosen


def checked_values(field: str, values: Iterable[str]) -> frozenset[str] | None:
    """Return the values of a repeated field, or None for all if there are none.

    Raises:
        Refused: There are too many values, or one is empty, too long or no text.
    """
    chosen = frozenset(values)
    if not chosen:
        return None
    if len(chosen) > MAX_VALUES:
        reason = f"holds {len(chosen)} values; {MAX_VALUES} are allowed"
        raise bad_request(field, reason)
    for value in chosen:
        if not value:
            raise bad_request(field, "holds an empty value")
        if len(value) > MAX_VALUE_CHARS:
            raise bad_request(field, f"a value is over {MAX_VALUE_CHARS} characters")
        if not is_text(value):  # PostgreSQL would refuse the whole query
            raise bad_request(field, "a value holds a NUL character")
    return chosen


def _time(
    request: pb.Filter, field: Literal["start_from", "start_to"], value: Timestamp
) -> datetime | None:
    return checked_time(f"filter.{field}", value) if request.HasField(field) else None


def checked_time(field: str, value: Timestamp) -> datetime:
    """Return a timestamp of a request as an aware time.

    Raises:
        Refused: The timestamp is out of range; the refusal names the field.
    """
    try:
        return utc_time(value)
    except ValueError:
        raise bad_request(field, "is not a time between the years 1 and 9999") from None
