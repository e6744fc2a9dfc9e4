"""A raw HTTP/2 client of WatchChanges that reads only on request."""

import socket
import struct
from collections.abc import Iterator

import h2.config
import h2.connection
import h2.events

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb

PATH = "/odds.v1.OddsService/WatchChanges"


class StalledReader:
    """A stream with HTTP/2's initial window (64 KiB), which only `read` opens further."""

    def __init__(self, address: str, request: pb.WatchChangesRequest) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.settimeout(10)
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self._h2.initiate_connection()
        self._received = bytearray()
        self._unopened: list[tuple[int, int]] = []
        self._stream = self._h2.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", PATH),
            (":authority", address),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ]
        self._h2.send_headers(self._stream, headers)
        body = request.SerializeToString()
        framed = struct.pack(">BI", 0, len(body)) + body
        self._h2.send_data(self._stream, framed, end_stream=True)
        self._flush()

    def close(self) -> None:
        self._socket.close()

    def read(self, *, opening: bool) -> list[pb.WatchChangesResponse]:
        """Read the socket once; with `opening`, open the window again by as much as was read."""
        received = self._socket.recv(2**16)
        if not received:
            raise EOFError
        for event in self._h2.receive_data(received):
            if isinstance(event, h2.events.DataReceived):
                self._received += event.data or b""
                self._unopened.append((event.flow_controlled_length or 0, event.stream_id or 0))
            elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                raise EOFError
        if opening:
            for length, stream in self._unopened:
                self._h2.acknowledge_received_data(length, stream)
            self._unopened.clear()
        self._flush()
        return list(self._messages())

    def _messages(self) -> Iterator[pb.WatchChangesResponse]:
        while len(self._received) >= 5:
            _, length = struct.unpack(">BI", self._received[:5])
            if len(self._received) < 5 + length:
                return
            yield pb.WatchChangesResponse.FromString(bytes(self._received[5 : 5 + length]))
            del self._received[: 5 + length]

    def _flush(self) -> None:
        self._socket.sendall(self._h2.data_to_send())
