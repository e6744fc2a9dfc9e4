"""A site that answers half of all requests badly, with each kind of fault in turn."""

import gzip
import itertools
import json
import random
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import trio
from starlette.requests import Request

from tests.support.sites import Site, request_of

Fault = Callable[[trio.SocketStream, bytes], Awaitable[None]]

LARGE_BYTES: Final = 10_000_000
BOMB_BYTES: Final = 500_000_000
BAD_SHARE: Final = 0.5
GOOD_FIRST: Final = 6  # requests: the first discovery may succeed
DRIP_S: Final = 0.02
RETRY_AFTER_S: Final = 1
SPOILT_PRICES: Final = ("0", "-1.5", "NaN", "1e309", '"1.9"', '"two"', "null", "[]", "true")


def answer(status: int, body: bytes, *headers: str, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} As It Is", "Content-Type: application/json", *headers]
    lines += [f"Content-Length: {len(body) if length is None else length}", "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _bomb() -> bytes:
    squeeze = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    piece = b"\0" * 1_000_000
    made = b"".join(squeeze.compress(piece) for _ in range(BOMB_BYTES // len(piece)))
    return made + squeeze.flush()


def nulled(value: Any) -> Any:
    """Return the value with null at every leaf."""
    if isinstance(value, dict):
        return {key: nulled(part) for key, part in value.items()}
    return [nulled(part) for part in value] if isinstance(value, list) else None


def mistyped(value: Any) -> Any:
    """Return the value with another type at every leaf."""
    if isinstance(value, dict):
        return {key: mistyped(part) for key, part in value.items()}
    if isinstance(value, list):
        return [mistyped(part) for part in value]
    return ["?"] if isinstance(value, str) else {"?": value}


def send(*parts: bytes) -> Fault:
    async def fault(stream: trio.SocketStream, _good: bytes) -> None:
        for part in parts:
            await stream.send_all(part)

    return fault


def spoil(change: Callable[[bytes], bytes]) -> Fault:
    """Return a fault: a well-formed answer whose body is the good one, changed."""

    async def fault(stream: trio.SocketStream, good: bytes) -> None:
        await stream.send_all(answer(200, change(good)))

    return fault


async def broken_off(stream: trio.SocketStream, good: bytes) -> None:
    await stream.send_all(answer(200, good[: len(good) // 2], length=len(good)))


async def drip(stream: trio.SocketStream, good: bytes) -> None:
    head = answer(200, b"", length=len(good) + 10_000)
    await stream.send_all(head)
    for place in range(10_000):
        await stream.send_all(good[place : place + 1] or b" ")
        await trio.sleep(DRIP_S)


async def reset(stream: trio.SocketStream, good: bytes) -> None:
    await stream.send_all(answer(200, good[:1], length=len(good)))
    stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


_LARGE: Final = b'[{"x": "' + b"y" * LARGE_BYTES + b'"}]'

# name -> (fault, the failures it may be counted as; empty where it is counted as a bad price)
FAULTS: Final[dict[str, tuple[Fault, frozenset[str]]]] = {
    name: (fault, frozenset(names.split()))
    for name, fault, names in (
        ("truncated JSON", spoil(lambda good: good[: len(good) * 2 // 3]), "truncated wrong_shape"),
        ("broken off", broken_off, "truncated"),
        ("wrong types", spoil(lambda good: json.dumps(mistyped(json.loads(good))).encode()),
         "wrong_shape bad_event refused"),
        ("nulls everywhere", spoil(lambda good: json.dumps(nulled(json.loads(good))).encode()),
         "wrong_shape bad_event refused"),
        ("10 MB", send(answer(200, _LARGE)), "too_large"),
        ("gzip bomb", send(answer(200, _bomb(), "Content-Encoding: gzip")), "too_large"),
        ("slow drip", drip, "timeout"),
        ("reset", reset, "connection truncated"),
        ("HTML", send(answer(200, b"<!DOCTYPE html><title>Just a moment</title>")), "html"),
        ("login", send(answer(302, b"", "Location: https://x.example/login")), "redirect"),
        ("500", send(answer(500, b"oops")), "server_error"),
        ("403 page", send(answer(403, b"<html>Forbidden</html>")), "forbidden status_403"),
        ("not gzip", send(answer(200, b"[]", "Content-Encoding: gzip")), "bad_encoding"),
        ("nothing", send(), "truncated connection"),
        ("deep", send(answer(200, b"[" * 200_000)), "truncated wrong_shape"),
        ("not JSON", send(answer(200, b"OK")), "not_json"),
    )
}  # fmt: skip
STORM: Final = answer(429, b"{}", f"Retry-After: {RETRY_AFTER_S}")
STORM_REQUESTS: Final = 4
EVERY_STORM: Final = 40  # requests between two storms


class HostileSite:
    """A site over `app` that answers badly at random, and with a storm of 429 every so often.

    `spoilt`, where given, changes good bodies: it takes the body and the number of good answers.
    """

    def __init__(self, app: Site, spoilt: Callable[[bytes, int], bytes] | None = None) -> None:
        self.requests = 0
        self.served: Counter[str] = Counter()
        self._app = app
        self._spoilt = spoilt or (lambda body, _turn: body)
        self._faults = itertools.cycle(FAULTS.items())
        self._lot = random.Random(1)

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            try:
                await self._answer(stream, await _request_on(stream))
            except (trio.BrokenResourceError, ValueError):
                return  # the client closed the connection

    async def _answer(self, stream: trio.SocketStream, request: Request) -> None:
        turn = self.requests
        self.requests += 1
        response = await self._app(request)
        good = bytes(response.body)
        if turn % EVERY_STORM >= EVERY_STORM - STORM_REQUESTS:
            self.served["429 storm"] += 1
            await stream.send_all(STORM)
        elif turn >= GOOD_FIRST and self._lot.random() < BAD_SHARE and response.status_code == 200:
            name, (fault, _) = next(self._faults)
            self.served[name] += 1
            await fault(stream, good)
        else:
            self.served["good"] += 1
            body = self._spoilt(good, self.served["good"]) if response.status_code == 200 else good
            packed = gzip.compress(body, 1)
            await stream.send_all(answer(response.status_code, packed, "Content-Encoding: gzip"))


async def _request_on(stream: trio.SocketStream) -> Request:
    received = b""
    while b"\r\n\r\n" not in received:
        received += await _some(stream)
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = [
        (name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)
    ]
    length = int(dict(headers).get("content-length", "0"))
    while len(body) < length:
        body += await _some(stream)
    method, target, _ = first.split(" ")
    return request_of(method, target, headers, body)


async def _some(stream: trio.SocketStream) -> bytes:
    received = await stream.receive_some(2**16)
    if not received:
        raise trio.BrokenResourceError
    return bytes(received)


@asynccontextmanager
async def hostile(*hostiles: HostileSite) -> AsyncIterator[list[str]]:
    """Serve the sites; yield their URLs."""
    async with trio.open_nursery() as nursery:
        urls = []
        for site in hostiles:
            (listener, *_) = await nursery.start(trio.serve_tcp, site.serve, 0)
            urls.append(f"http://127.0.0.1:{listener.socket.getsockname()[1]}")
        yield urls
        nursery.cancel_scope.cancel()
