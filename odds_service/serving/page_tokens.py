"""Page tokens: a place in a listing as opaque text."""

import base64
import binascii
from typing import TypeVar

import msgspec

from odds_service.serving.errors import Refused, bad_request

T = TypeVar("T", bound=msgspec.Struct)


def written(token: msgspec.Struct) -> str:
    """Return a token as text."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(token)).decode()


def read(text: str, kind: type[T]) -> T | None:
    """Return a token of a request; None for the first page. Raises Refused."""
    if not text:
        return None
    try:
        return msgspec.msgpack.decode(base64.urlsafe_b64decode(text), type=kind)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise foreign() from None


def foreign() -> Refused:
    """Return the refusal of a token that this service has not made."""
    return bad_request("page_token", "was not issued by this service")
