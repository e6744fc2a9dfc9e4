"""A proxy between browser and service that refuses with 503, or holds back for a while."""

import contextlib
import re
import socket
import threading
from typing import Final

_CHUNK_BYTES: Final = 65_536
_NARROW_BYTES: Final = 4_096  # so that a held stream fills soon
_ASKED: Final = re.compile(rb"(?:GET|POST|DELETE) (\S+) HTTP/1\.1\r\n")
_REFUSAL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/html\r\ncontent-length: 11\r\n"
    b"connection: close\r\n\r\n<p>busy</p>"
)


class Gate:
    """Passes bytes between a port of its own and the service's.

    Attributes:
        address: The address for the browser.
        refused: The number of requests that were answered with 503.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.removeprefix("http://").rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.refused = 0
        self._asked: list[str] = []
        self._refusing = False
        self._open = threading.Event()
        self._open.set()
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, name="gate", daemon=True).start()

    def asked(self, prefix: str = "/v1/") -> list[str]:
        """Return the paths that were asked for, in order."""
        return [path for path in list(self._asked) if path.startswith(prefix)]

    def refuse(self) -> None:
        """Cut all connections, and answer with 503 from now on."""
        self._refusing = True
        self._cut()

    def admit(self) -> None:
        """Pass requests again."""
        self._refusing = False

    def hold(self) -> None:
        """Keep connections open, and pass nothing of the service's any more."""
        self._open.clear()

    def release(self) -> None:
        """Pass on what was held."""
        self._open.set()

    def close(self) -> None:
        """Close everything."""
        self._open.set()
        self._listener.close()
        self._cut()

    def _cut(self) -> None:
        with self._lock:
            for each in self._sockets:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                inner, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(inner,), daemon=True).start()

    def _serve(self, inner: socket.socket) -> None:
        outer = socket.socket()
        outer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _NARROW_BYTES)
        with inner, outer, contextlib.suppress(OSError):
            first = inner.recv(_CHUNK_BYTES)
            if self._refusing:
                self.refused += bool(first)
                inner.sendall(_REFUSAL)
                return
            with self._lock:
                self._sockets |= {inner, outer}
            outer.connect(self._target)
            back = threading.Thread(target=self._pass_back, args=(outer, inner), daemon=True)
            back.start()
            while first:
                self._asked += [path.decode() for path in _ASKED.findall(first)]
                outer.sendall(first)
                first = inner.recv(_CHUNK_BYTES)
            outer.shutdown(socket.SHUT_RDWR)
            back.join()
        with self._lock:
            self._sockets -= {inner, outer}

    def _pass_back(self, outer: socket.socket, inner: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while self._open.wait() and (piece := outer.recv(_NARROW_BYTES)):
                if not self._open.wait():
                    return
                inner.sendall(piece)
        with contextlib.suppress(OSError):
            inner.shutdown(socket.SHUT_RDWR)
