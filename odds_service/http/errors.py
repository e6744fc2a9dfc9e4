"""Failed requests: google.rpc.Status in JSON, with the HTTP status that fits its code."""

from http import HTTPStatus
from typing import Final

from google.protobuf import json_format
from google.rpc import error_details_pb2
from starlette.responses import Response

from odds_service.serving.errors import Refused, StatusCode, status_of

_ = error_details_pb2  # the details are found by name, which needs their types loaded

# As Google's gateways map them.
HTTP_STATUS: Final = {
    StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    StatusCode.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
    StatusCode.OUT_OF_RANGE: HTTPStatus.BAD_REQUEST,
    StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    StatusCode.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
}


def status_json(refusal: Refused) -> bytes:
    """Return a refusal as JSON on one line."""
    return json_format.MessageToJson(status_of(refusal), indent=None).encode()


def error_response(refusal: Refused, status: int | None = None) -> Response:
    """Return the response to a request that was refused before it got an answer.

    Args:
        refusal: The reason.
        status: The HTTP status; None for the one that fits the refusal's code.
    """
    if status is None:
        status = HTTP_STATUS.get(refusal.code, HTTPStatus.INTERNAL_SERVER_ERROR)
    headers = {"cache-control": "no-store"}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    for detail in refusal.details:
        if isinstance(detail, error_details_pb2.RetryInfo):
            delay = detail.retry_delay
            headers["retry-after"] = str(max(1, delay.seconds + (delay.nanos > 0)))
    return Response(status_json(refusal), int(status), headers, "application/json")
