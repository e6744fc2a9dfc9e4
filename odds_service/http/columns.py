"""History as columns over HTTP: the pieces of the pages, one after another."""

from typing import Final

from starlette.requests import Request

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

TYPES: Final = {
    pb.HISTORY_FORM_ARROW: "application/vnd.apache.arrow.stream",
    pb.HISTORY_FORM_PARQUET: "application/vnd.apache.parquet",
}
# The length of a message that never comes: a reader of the stream fails, and takes no part for all.
_BROKEN: Final = b"\xff\xff\xff\xff" + (2**30).to_bytes(4, "little")


def form_asked(request: Request) -> pb.HistoryForm.ValueType:
    """Return the form that an Accept header names first, if it names one."""
    for part in request.headers.get("accept", "").lower().split(","):
        named = part.partition(";")[0].strip()
        for form, kind in TYPES.items():
            if named == kind:
                return form
    return pb.HISTORY_FORM_UNSPECIFIED


class Pieces:
    """The pieces of one history."""

    def __init__(self, form: pb.HistoryForm.ValueType) -> None:
        self._form = form

    async def encode(self, message: bytes) -> bytes:
        """Return the piece of a page."""
        return pb.HistoryPage.FromString(message).columns

    def failed(self, status: bytes) -> bytes:
        """Return what makes the body unreadable; a Parquet file without its end is that already."""
        return _BROKEN + status if self._form == pb.HISTORY_FORM_ARROW else b""
