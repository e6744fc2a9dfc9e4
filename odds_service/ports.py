"""Ports of this machine: whether one is taken, and the next one that is not."""

import socket
from typing import Final

TRIED: Final = 50  # ports after the one that is taken


def is_taken(host: str, port: int) -> bool:
    """Return whether nothing can listen at an address now. Port 0 is always free."""
    host = host.strip("[]")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def offer_free(host: str, port: int) -> str:
    """Return the end of an error about a port that is taken: `; 127.0.0.1:50052 is free`.

    Empty if none of the next ports is free.
    """
    near = next_free(host, port)
    return "" if near is None else f"; {host}:{near} is free"


def next_free(host: str, port: int) -> int | None:
    """Return the next port that is free; another program may take it meanwhile."""
    for near in range(port + 1, min(port + TRIED, 65_535) + 1):
        if not is_taken(host, near):
            return near
    return None
