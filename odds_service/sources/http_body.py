"""HTTP bodies: bounded before and after decompression, and cached for revalidation."""

import zlib
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

import trio
from msgspec import Struct

from odds_service.errors import SourceError

_STEP_BYTES: Final = 2**20  # 1 MiB, about 3 ms, between two checkpoints
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS


async def decompressed(path: str, encoding: str, wire: bytes, limit: int) -> bytes:
    """Return a body without its content encoding.

    Args:
        path: the request's path, for error texts.
        encoding: the answer's content-encoding; empty for none.
        wire: the body as sent.
        limit: bound of the result in bytes; decompression stops there, so a bomb does no harm.

    Raises:
        SourceError: of kind bad_encoding, truncated or too_large.
    """
    if encoding in {"", "identity"}:
        return wire
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        raise SourceError(
            "bad_encoding", f"{path}: content-encoding {encoding[:20]!r} was not requested"
        )
    stream = zlib.decompressobj(_GZIP_OR_ZLIB)
    pieces: list[bytes] = []
    size = 0
    rest = wire
    while not stream.eof:
        try:
            piece = stream.decompress(rest, _STEP_BYTES)
        except zlib.error as error:
            text = f"{path}: the body does not decompress: {error}"
            raise SourceError("bad_encoding", text) from None
        rest = stream.unconsumed_tail
        size += len(piece)
        if size > limit:
            raise SourceError("too_large", f"{path}: decompresses to over {limit} bytes")
        if not piece and not rest and not stream.eof:
            raise SourceError("truncated", f"{path}: the compressed body ends too early")
        pieces.append(piece)
        if size > _STEP_BYTES:
            await trio.lowlevel.checkpoint()
    return b"".join(pieces)


class Kept(Struct, frozen=True):
    """A body as sent, with the validators for a conditional request."""

    etag: str | None
    last_modified: str | None
    encoding: str
    wire: bytes

    def conditions(self) -> dict[str, str]:
        """Return the request headers that let the server answer 304."""
        headers = {"if-none-match": self.etag, "if-modified-since": self.last_modified}
        return {name: value for name, value in headers.items() if value is not None}


class KeptBodies:
    """A cache of bodies that came with validators; the oldest are evicted when it is full."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bodies: OrderedDict[Hashable, Kept] = OrderedDict()
        self._size = 0

    @property
    def size_bytes(self) -> int:
        """Return the size of the cached bodies."""
        return self._size

    def get(self, request: Hashable) -> Kept | None:
        """Return the cached body of a request."""
        return self._bodies.get(request)

    def keep(self, request: Hashable, kept: Kept) -> None:
        """Replace the cached body of a request; a body without a validator is not cached."""
        before = self._bodies.pop(request, None)
        if before is not None:
            self._size -= len(before.wire)
        if not kept.conditions() or len(kept.wire) > self._max_bytes:
            return
        self._bodies[request] = kept
        self._size += len(kept.wire)
        while self._size > self._max_bytes:
            _, oldest = self._bodies.popitem(last=False)
            self._size -= len(oldest.wire)
