"""Checked and bounded options of a WatchChanges request."""

from typing import Final

from google.protobuf.duration_pb2 import Duration

from odds_service.serving.errors import bad_request
from odds_service.serving.server_context import ServerContext
from odds_service.stream.options import ImageMode, SlowReaderPolicy, WatchOptions
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

HEARTBEAT_S: Final = 10.0
RESUME_AFTER_S: Final = 1.0  # at a stop; about as long as a restart takes
HEARTBEAT_BOUNDS_S: Final = (0.5, 60.0)
CONFLATE_BOUNDS_S: Final = (0.05, 60.0)

_MAX_NANOS: Final = 999_999_999
_IMAGE_MODES: Final[dict[int, ImageMode]] = {int(mode): mode for mode in ImageMode}
_POLICIES: Final[dict[int, SlowReaderPolicy]] = {int(policy): policy for policy in SlowReaderPolicy}


def watch_options(server: ServerContext, request: pb.WatchChangesRequest) -> WatchOptions:
    """Check a request and bound its times.

    An image mode or policy unknown to this version counts as unspecified.

    Raises:
        Refused: A field is malformed; the refusal names it.
    """
    asked = _seconds("heartbeat", request.heartbeat)
    heartbeat_s = _bounded(asked, HEARTBEAT_BOUNDS_S) if asked else HEARTBEAT_S
    asked = _seconds("conflate", request.conflate)
    return WatchOptions(
        selection=server.selection(request.filter),
        image=_IMAGE_MODES.get(request.image, ImageMode.AUTO),
        policy=_POLICIES.get(request.policy, SlowReaderPolicy.LOSSLESS),
        heartbeat_s=heartbeat_s,
        conflate_s=_bounded(asked, CONFLATE_BOUNDS_S) if asked else 0.0,
        freshness=request.freshness,
    )


def _seconds(field: str, duration: Duration) -> float:
    if duration.seconds < 0 or duration.nanos < 0:
        raise bad_request(field, "is negative")
    if duration.nanos > _MAX_NANOS:
        raise bad_request(field, "has nanos out of range")
    return duration.seconds + duration.nanos / 1e9


def _bounded(seconds: float, bounds: tuple[float, float]) -> float:
    return min(max(seconds, bounds[0]), bounds[1])


def duration(seconds: float) -> Duration:
    """Return seconds as a Duration, to the microsecond."""
    message = Duration()
    message.FromMicroseconds(round(seconds * 1e6))
    return message
