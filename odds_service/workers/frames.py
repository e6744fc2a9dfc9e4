"""Frames on a stream: messages in msgpack, each after its length in four bytes."""

import os
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import msgspec
import trio

MOST_BYTES: Final = 64 * 2**20  # of a frame; an event of a hundred thousand markets has 20 MB
_WAITING: Final = 4  # frames that wait to be sent; the next ones wait unencoded
_CHUNK: Final = 256 * 1024
_HEAD: Final = 4

R = TypeVar("R")


class FrameError(Exception):
    """The bytes are no frames, or no message of this release."""


class TooLarge(FrameError):
    """A message exceeds MOST_BYTES; nothing of it was sent."""


class Frames(Generic[R]):
    """Both directions of a connection; many tasks may send, one receives, and one runs `pump`.

    Args:
        stream: the connection.
        decoder: of the messages that arrive.
    """

    def __init__(
        self, stream: trio.abc.HalfCloseableStream, decoder: msgspec.msgpack.Decoder[R]
    ) -> None:
        self._stream = stream
        self._decoder = decoder
        self._encoder = msgspec.msgpack.Encoder()
        self._buffer = bytearray()
        self._ended = False
        self._room = trio.Semaphore(_WAITING)
        self._put, self._waiting = trio.open_memory_channel[memoryview](_WAITING)
        self._unsent = 0  # frames that `pump` has, or will get

    async def send(self, message: msgspec.Struct) -> None:
        """Send a message once there is room; see send_made."""
        await self.send_made(lambda: message)

    async def send_made(self, make: Callable[[], msgspec.Struct]) -> None:
        """Make a message once there is room for it, and send or enqueue it.

        No checkpoint lies between the two, so messages are sent in the order in which they are
        made, and one that is made is sent. After the end of `pump` nothing is made. Where there is
        room, this is no checkpoint.

        Raises:
            TooLarge: The message exceeds the bound.

        Cancellation:
            No message is made.
        """
        try:
            self._room.acquire_nowait()
        except trio.WouldBlock:
            await self._room.acquire()
        if self._ended:
            self._room.release()
            return
        try:
            body = self._encoder.encode(make())
            if len(body) > MOST_BYTES:
                raise TooLarge(f"a message of {len(body)} bytes")
        except BaseException:
            self._room.release()
            raise
        frame = memoryview(len(body).to_bytes(_HEAD) + body)
        rest = frame[self._send_now(frame) :]
        if rest:
            self._put.send_nowait(rest)
            self._unsent += 1
        else:
            self._room.release()

    def _send_now(self, frame: memoryview) -> int:
        """Return the number of bytes that the kernel takes at once, which spares a task's step."""
        if self._unsent or not isinstance(self._stream, trio.SocketStream):
            return 0
        try:
            return os.write(self._stream.socket.fileno(), frame)
        except OSError:  # its buffer is full, or the other end is gone, which `pump` meets too
            return 0

    async def pump(self) -> None:
        """Send what is enqueued, until cancelled or the other end is gone."""
        try:
            async for frame in self._waiting:
                await self._stream.send_all(frame)
                self._unsent -= 1
                self._room.release()
        except trio.BrokenResourceError:
            pass  # `receive` sees the end
        finally:
            self._ended = True
            self._room.release()  # one who waits finds the end, and wakes the next

    async def receive(self) -> R | None:
        """Return the next message; None at the end of the stream.

        Raises:
            FrameError: What arrived is no message.

        Cancellation:
            Loses nothing.
        """
        buffer = self._buffer
        while True:
            length = int.from_bytes(buffer[:_HEAD]) if len(buffer) >= _HEAD else None
            if length is not None and not 0 < length <= MOST_BYTES:
                raise FrameError(f"a frame of {length} bytes")
            if length is not None and len(buffer) >= _HEAD + length:
                break
            try:
                chunk = await self._stream.receive_some(_CHUNK)
            except trio.BrokenResourceError:
                return None
            if not chunk:
                return None
            buffer += chunk
        with memoryview(buffer) as view:
            body = bytes(view[_HEAD : _HEAD + length])
        del buffer[: _HEAD + length]
        try:
            return self._decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise FrameError(f"no message: {error}") from None
