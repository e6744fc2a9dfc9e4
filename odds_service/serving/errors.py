"""Failed calls: the mapping of every error to a gRPC status with google.rpc details."""

import re
import uuid
from typing import Final

import structlog
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode as StatusCode

from odds_service.errors import (
    BelowFloor,
    NotDurableYet,
    NotFetchedYet,
    OddsServiceError,
    SourceError,
    StorageError,
    StorageUnavailable,
    UnknownEvent,
    UpstreamAway,
)

DOMAIN: Final = "odds.v1"  # the domain in ErrorInfo
_ANSWER_S: Final = 0.25  # enough for a refusal to reach the caller before its deadline
_RETRY_S: Final = 1.0  # the database and the service itself come back within seconds

log = structlog.get_logger(__name__)


class Refused(Exception):
    """The end of a call with a status instead of a reply."""

    def __init__(self, code: StatusCode, text: str, *details: Message) -> None:
        super().__init__(text)
        self.code = code
        self.details = details


def bad_request(field: str, reason: str) -> Refused:
    """Return an INVALID_ARGUMENT refusal that names a field of the request."""
    violation = BadRequest.FieldViolation(field=field, description=reason)
    text = f"{field}: {reason}" if field else reason
    return Refused(StatusCode.INVALID_ARGUMENT, text, BadRequest(field_violations=[violation]))


def exhausted(subject: str, text: str, retry_s: float | None = None) -> Refused:
    """Return a RESOURCE_EXHAUSTED refusal.

    Args:
        subject: The name of the limit.
        text: The reason, for people.
        retry_s: The seconds to wait before the next try; None if waiting does not help.
    """
    quota = QuotaFailure(violations=[QuotaFailure.Violation(subject=subject, description=text)])
    retry = [] if retry_s is None else [retry_info(retry_s)]
    return Refused(StatusCode.RESOURCE_EXHAUSTED, text, quota, *retry)


def unavailable(text: str, reason: str, retry_s: float = _RETRY_S, **metadata: str) -> Refused:
    """Return an UNAVAILABLE refusal.

    Args:
        text: The reason, for people.
        reason: The reason as a word for programs.
        retry_s: The seconds to wait before the next try.
        metadata: Facts that belong to the reason.
    """
    info = error_info(reason, **metadata)
    return Refused(StatusCode.UNAVAILABLE, text, info, retry_info(retry_s))


def refused(code: StatusCode, text: str, reason: str, **metadata: str) -> Refused:
    """Return a refusal with any other code.

    Args:
        code: The status.
        text: The reason, for people.
        reason: The reason as a word for programs.
        metadata: Facts that belong to the reason.
    """
    return Refused(code, text, error_info(reason, **metadata))


def before_deadline_s(left_s: float) -> float:
    """Return the longest wait in seconds that leaves time to answer before the deadline."""
    return left_s - min(_ANSWER_S, left_s / 10)


def error_info(reason: str, **metadata: str) -> ErrorInfo:
    """Return the detail by which programs distinguish failures."""
    return ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata)


def retry_info(retry_s: float) -> RetryInfo:
    """Return the detail that holds the wait before the next try."""
    delay = Duration()
    delay.FromMilliseconds(round(retry_s * 1_000))
    return RetryInfo(retry_delay=delay)


def as_refusal(error: Exception) -> Refused:
    """Map an error to a refusal.

    An unexpected error is logged with an id, and the caller sees only the id.
    """
    match error:
        case Refused():
            return error
        case DecodeError():
            return bad_request("", "the request is not a valid message of its type")
        case UnknownEvent():
            return refused(StatusCode.NOT_FOUND, str(error), "UNKNOWN_EVENT")
        case BelowFloor():
            floor = str(error.floor_revision)
            text = f"odds can be told from revision {floor} on"  # GetHistory has its own text
            return refused(StatusCode.OUT_OF_RANGE, text, "NOT_KEPT", floor=floor)
        case NotDurableYet():
            return unavailable(
                str(error), "NOT_DURABLE_YET", epoch=error.epoch, revision=str(error.revision)
            )
        case NotFetchedYet():
            return unavailable(
                str(error), "NOT_FETCHED_YET", epoch=error.epoch, revision=str(error.revision),
                sources=",".join(error.sources),
            )  # fmt: skip
        case StorageUnavailable():
            return unavailable("the database does not answer", "STORAGE_UNAVAILABLE")
        case UpstreamAway():
            return unavailable(str(error), "UPSTREAM_AWAY")
        case SourceError():
            retry_s = error.retry_after_s or _RETRY_S
            return unavailable(str(error), "SOURCE_FAILED", retry_s, kind=error.kind)
        case OddsServiceError() if not isinstance(error, StorageError):  # may name files or hosts
            return refused(StatusCode.FAILED_PRECONDITION, str(error), _word_of(error))
        case ConnectionAbortedError():  # raised by the gate when the service stops
            return unavailable("the service is stopping", "STOPPING")
    error_id = uuid.uuid4().hex[:12]
    log.error("rpc_crashed", error_id=error_id, exc_info=error)
    text = f"internal error {error_id}: see the server's log for this id"
    return refused(StatusCode.INTERNAL, text, "INTERNAL", error_id=error_id)


def _word_of(error: OddsServiceError) -> str:
    """Return the reason word for an error's class: SETTINGS_ERROR for SettingsError."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).upper()


def status_of(refusal: Refused) -> Status:
    """Return a refusal as a message."""
    status = Status(code=refusal.code.value[0], message=str(refusal))
    for detail in refusal.details:
        status.details.add().Pack(detail)
    return status
