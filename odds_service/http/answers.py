"""Answers with one body: confirmed by a tag, compressed for callers that accept it."""

import asyncio
import gzip
from hashlib import blake2b
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

JSON: Final = "application/json"
GZIP_LEVEL: Final = 1  # the fastest level already shrinks odds tenfold
GZIP_LEAST_BYTES: Final = 1_000  # a smaller body fits into one packet anyway
THREAD_BYTES: Final = 2**18  # 256 KiB: compressing more would hold up the loop for milliseconds


async def answered(request: Request, text: bytes) -> Response:
    """Return a reply, or 304 to a caller that has it.

    The tag is a hash of the text: odds go stale without a new revision, so a tag made of the
    revision would confirm dead odds. It is weak, since the compressed text has the same one.
    """
    if request.method == "POST":
        return Response(text, media_type=JSON, headers={"cache-control": "no-store"})
    tag = f'W/"{blake2b(text, digest_size=16).hexdigest()}"'
    headers = {"cache-control": "no-cache", "etag": tag, "vary": "accept-encoding"}
    if _has(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    if len(text) >= GZIP_LEAST_BYTES and accepts_gzip(request.headers.get("accept-encoding", "")):
        headers["content-encoding"] = "gzip"
        large = len(text) >= THREAD_BYTES
        text = await asyncio.to_thread(_packed, text) if large else _packed(text)
    return Response(text, media_type=JSON, headers=headers)


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether an Accept-Encoding header allows gzip; `gzip;q=0` does not."""
    qualities = {}
    for part in accept_encoding.lower().split(","):
        coding, _, parameters = part.partition(";")
        qualities[coding.strip()] = parameters.replace(" ", "")
    quality = qualities.get("gzip", qualities.get("*"))
    return quality is not None and quality not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}


def _has(if_none_match: str, tag: str) -> bool:
    known = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return tag.removeprefix("W/") in known or known == ["*"]


def _packed(text: bytes) -> bytes:
    return gzip.compress(text, GZIP_LEVEL, mtime=0)
