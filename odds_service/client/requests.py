"""Builders for the contract's request messages."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from odds_service.client.values import Filter
from odds_service.model.cursor import Cursor
from odds_service.model.market import MarketKey
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb


def timestamp(at: datetime) -> Timestamp:
    """Encode an aware time.

    Raises:
        ValueError: The time is naive, so the instant is ambiguous.
    """
    if at.tzinfo is None:
        raise ValueError(f"{at.isoformat()} has no time zone")
    message = Timestamp()
    message.FromDatetime(at.astimezone(UTC))
    return message


def duration(seconds: float) -> Duration:
    """Encode a duration."""
    message = Duration()
    message.FromTimedelta(timedelta(seconds=seconds))
    return message


def cursor_message(cursor: Cursor) -> pb.Cursor:
    """Encode a cursor."""
    return pb.Cursor(epoch=cursor.epoch, revision=cursor.revision)


def filter_message(where: Filter) -> pb.Filter:
    """Encode a filter.

    Raises:
        ValueError: A start time is naive.
    """
    return pb.Filter(
        sports=where.sports,
        competitions=where.competitions,
        event_ids=where.event_ids,
        bookmakers=where.bookmakers,
        markets=where.markets,
        sources=where.sources,
        start_from=None if where.start_from is None else timestamp(where.start_from),
        start_to=None if where.start_to is None else timestamp(where.start_to),
        in_play=where.in_play,
    )


def odds_request(
    where: Filter,
    at_least: Cursor | None = None,
    include_best: bool = False,
    as_of: Cursor | datetime | None = None,
) -> pb.GetOddsRequest:
    """Build a request for GetOdds.

    Args:
        where: The odds to select.
        at_least: The cursor that the server's odds must have reached, or None.
        include_best: Ask for best prices and overrounds too.
        as_of: A cursor or an aware time in the past; None for the current odds.

    Raises:
        ValueError: A time is naive.
    """
    request = pb.GetOddsRequest(filter=filter_message(where), include_best=include_best)
    if at_least is not None:
        request.min_cursor.CopyFrom(cursor_message(at_least))
    if isinstance(as_of, Cursor):
        request.as_of_cursor.CopyFrom(cursor_message(as_of))
    elif as_of is not None:
        request.as_of_time.CopyFrom(timestamp(as_of))
    return request


def _set_span(
    request: Message, start: Cursor | datetime | None, end: Cursor | datetime | None
) -> None:
    """Set the fields for the start and the end. Raises ValueError for a naive time."""
    for side, place in (("from", start), ("to", end)):
        if isinstance(place, Cursor):
            getattr(request, f"{side}_cursor").CopyFrom(cursor_message(place))
        elif place is not None:
            getattr(request, f"{side}_time").CopyFrom(timestamp(place))


def history_request(
    where: Filter, start: Cursor | datetime | None, end: Cursor | datetime | None
) -> pb.GetHistoryRequest:
    """Build a request for GetHistory.

    Args:
        where: The changes to select.
        start: Begin after this cursor or at this time; None begins with the oldest change.
        end: Stop after this cursor or before this time; None stops at the newest stored change.

    Raises:
        ValueError: A time is naive.
    """
    request = pb.GetHistoryRequest(filter=filter_message(where))
    _set_span(request, start, end)
    return request


def replay_request(
    where: Filter, start: Cursor | datetime | None, end: Cursor | datetime | None
) -> pb.ReplayRequest:
    """Build a request for Replay; see history_request()."""
    request = pb.ReplayRequest(filter=filter_message(where))
    _set_span(request, start, end)
    return request


def closing_request(where: Filter) -> pb.GetClosingOddsRequest:
    """Build a request for GetClosingOdds."""
    return pb.GetClosingOddsRequest(filter=filter_message(where))


def watch_request(
    where: Filter,
    conflate_s: float,
    heartbeat_s: float | None,
    latest: bool,
    image_only: bool,
    freshness: bool = False,
) -> pb.WatchChangesRequest:
    """Build a request for WatchChanges, without a cursor; the follower adds it.

    Args:
        where: The odds to select.
        conflate_s: The interval of conflation, in seconds; 0 sends every change.
        heartbeat_s: The longest silence, in seconds; None leaves it to the server.
        latest: Ask for an image instead of old changes when the reader is too slow.
        image_only: Ask the server to end the stream after the image.
        freshness: Ask for confirmations too.

    Raises:
        ValueError: A time is naive.
    """
    return pb.WatchChangesRequest(
        filter=filter_message(where),
        conflate=duration(conflate_s) if conflate_s else None,
        heartbeat=None if heartbeat_s is None else duration(heartbeat_s),
        policy=pb.SLOW_READER_POLICY_LATEST if latest else pb.SLOW_READER_POLICY_LOSSLESS,
        image=pb.IMAGE_MODE_ONLY if image_only else pb.IMAGE_MODE_AUTO,
        freshness=freshness,
    )


def refresh_request(event_id: str, deadline_s: float | None) -> pb.RefreshEventRequest:
    """Build a request for RefreshEvent; a deadline of None leaves it to the server."""
    return pb.RefreshEventRequest(
        event_id=event_id, deadline=None if deadline_s is None else duration(deadline_s)
    )


def reload_request() -> pb.ReloadRequest:
    """Build a request for Reload."""
    return pb.ReloadRequest()


def series_request(
    event_id: str,
    key: MarketKey,
    bookmakers: Iterable[str],
    start: datetime | None,
    end: datetime | None,
    max_points: int,
) -> pb.GetSeriesRequest:
    """Build a request for GetSeries. Raises ValueError for a naive time."""
    request = pb.GetSeriesRequest(
        event_id=event_id,
        market=key.market,
        participant=key.participant,
        bookmakers=bookmakers,
        max_points=max_points,
    )
    if key.line:
        request.line = float(key.line)
    _set_span(request, start, end)
    return request


def runs_request(
    sources: Iterable[str], start: datetime | None, end: datetime | None
) -> pb.ListRunsRequest:
    """Build a request for ListRuns. Raises ValueError for a naive time."""
    request = pb.ListRunsRequest(sources=sources)
    _set_span(request, start, end)
    return request
