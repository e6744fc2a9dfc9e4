"""The client's errors, built from gRPC statuses and their google.rpc details."""

from collections.abc import Iterable, Mapping
from typing import Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from odds_service.errors import OddsServiceError

_DETAILS_KEY: Final = "grpc-status-details-bin"

# The text that gRPC's resolver gives; a test holds it.
_UNRESOLVED: Final = "errors resolving "

# Codes after which the same request may succeed. RESOURCE_EXHAUSTED counts too if the server says
# when to retry.
_PASSING: Final = frozenset(
    {"UNAVAILABLE", "UNKNOWN", "INTERNAL", "ABORTED", "CANCELLED", "DEADLINE_EXCEEDED"}
)


class ClientError(OddsServiceError):
    """Base of the client's errors."""


class AddressError(ClientError):
    """An invalid address; nothing was sent."""


class StreamGap(ClientError):
    """A gap or contradiction in a stream: changes may be missing, so the map must not be used.

    It indicates a bug in the server. It ends the watch; a new watch begins with an image.
    """


class ServiceError(ClientError):
    """A failed call.

    Args:
        code: The name of the gRPC status code.
        text: A description for people.
        reason: A machine-readable reason; empty if the server gave none.
        metadata: Details of the reason.
        fields: Field of the request -> the problem with it.
        retry_after_s: The seconds to wait before a retry, or None if the server did not say.
        sent: Whether a server may have got the request; False if there was no connection.
    """

    def __init__(
        self,
        code: str,
        text: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
        sent: bool = True,
    ) -> None:
        super().__init__(text)
        self.code = code
        self.reason = reason
        self.metadata = metadata or {}
        self.fields = fields or {}
        self.retry_after_s = retry_after_s
        self.sent = sent

    @property
    def passing(self) -> bool:
        """Return whether a retry may succeed."""
        exhausted = self.code == "RESOURCE_EXHAUSTED" and self.retry_after_s is not None
        return exhausted or self.code in _PASSING


class NoServer(grpc.RpcError):
    """The failure of a plain stub's call at several servers.

    Attributes:
        error: The error, which names all of them.
    """

    def __init__(self, error: ServiceError) -> None:
        super().__init__(str(error))
        self.error = error

    def code(self) -> grpc.StatusCode:
        """Return the status, like the other errors of gRPC."""
        return grpc.StatusCode[self.error.code]

    def details(self) -> str:
        """Return the text, like the other errors of gRPC."""
        return str(self.error)


def client_closed() -> ServiceError:
    """Return the error for a call or a stream on a closed client."""
    return ServiceError("CANCELLED", "the client was closed")


def service_error(error: grpc.RpcError, server: str) -> ServiceError:
    """Convert a gRPC error to a ServiceError."""
    if isinstance(error, NoServer):
        return error.error
    # grpc raises objects that are both an RpcError and a Call; its stubs have no such class.
    call: object = error
    if not isinstance(call, grpc.aio.AioRpcError | grpc.Call):
        return ServiceError("UNKNOWN", str(error))
    trailing: Iterable[object] | None = call.trailing_metadata()
    code = call.code().name
    text = call.details() or "no reason given"
    if code == "UNAVAILABLE" and "failed to connect" in text:
        return ServiceError(code, _no_connection(text, server), sent=False)
    if code == "UNAVAILABLE" and text.startswith(_UNRESOLVED):
        return ServiceError(code, text, sent=False)
    for entry in trailing or ():
        match entry:
            case (str(key), bytes(value)) if key == _DETAILS_KEY:
                return _detailed(code, text, value)
    return ServiceError(code, text)


def _no_connection(text: str, server: str) -> str:
    """Explain gRPC's `failed to connect to all addresses; last error: …`."""
    last = text.rpartition("last error: ")[2].removesuffix(": OK").rstrip(". ")
    cause = last.rpartition(": ")[2] or text
    if "CERTIFICATE_VERIFY_FAILED" in last:
        return f"the certificate of {server} is not trusted: {cause}"
    if "WRONG_VERSION_NUMBER" in last:
        return f"{server} does not speak TLS"
    if "handshake" in last.lower():
        return f"the TLS handshake with {server} failed: {cause}"
    if cause == "Socket closed":
        return f"{server} ended the connection at once: it may want TLS, or our certificate"
    return f"no server answers at {server}: {cause}"


def _detailed(code: str, text: str, packed: bytes) -> ServiceError:
    info, retry, bad = ErrorInfo(), RetryInfo(), BadRequest()
    asked = False
    try:
        for detail in Status.FromString(packed).details:
            asked = detail.Unpack(retry) or asked
            if not detail.Unpack(info):
                detail.Unpack(bad)
    except DecodeError:
        return ServiceError(code, text)  # not our server's format: a proxy's, for example
    return ServiceError(
        code,
        text,
        reason=info.reason,
        metadata=dict(info.metadata),
        fields={violation.field: violation.description for violation in bad.field_violations},
        retry_after_s=retry.retry_delay.ToTimedelta().total_seconds() if asked else None,
    )
