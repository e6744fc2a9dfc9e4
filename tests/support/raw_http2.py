"""A raw HTTP/2 client, free to break the protocol's rules."""

import socket
import struct
import time

import h2.config
import h2.connection
import h2.events

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a frame of HTTP/2, valid or not."""
    length = struct.pack(">I", len(payload))[1:]
    return length + bytes((kind, flags)) + struct.pack(">I", stream) + payload


class RawClient:
    """One connection. `call` opens a stream and leaves it open."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._address = address
        self.socket = socket.create_connection((host, int(port)))
        self.socket.settimeout(10)
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def call(self, path: str, body: bytes, *, end: bool = True, **headers: str) -> int:
        """Open a call with a framed message as its body; return its stream's id."""
        stream = self.h2.get_next_available_stream_id()
        named = {
            ":method": "POST", ":scheme": "http", ":path": path, ":authority": self._address,
            "te": "trailers", "content-type": "application/grpc",
        } | {key.replace("_", "-"): value for key, value in headers.items()}  # fmt: skip
        self.h2.send_headers(stream, list(named.items()))
        for start in range(0, len(body), 16_000):
            self.h2.send_data(stream, body[start : start + 16_000])
        if end:
            self.h2.end_stream(stream)
        self.flush()
        return stream

    def status(self, stream: int) -> str:
        """Return the grpc-status at the end of a stream, empty when there is none."""
        while True:
            received = self.socket.recv(2**16)
            if not received:
                return ""
            for event in self.h2.receive_data(received):
                if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                    for key, value in event.headers or ():
                        if key == b"grpc-status":
                            return value.decode()
                elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                    return ""
            self.flush()

    def drain(self, seconds: float) -> None:
        """Read and discard until the peer closes, at most for `seconds`."""
        until = time.monotonic() + seconds
        self.socket.settimeout(seconds)
        try:
            while time.monotonic() < until and self.socket.recv(2**16):
                pass
        except OSError:
            return

    def close(self) -> None:
        self.socket.close()


def framed(message: bytes, *, compressed: bool = False) -> bytes:
    """Return a message with gRPC's prefix."""
    return struct.pack(">BI", compressed, len(message)) + message
