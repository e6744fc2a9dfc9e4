"""Ports that a test may use, leave and use again.

A port that the kernel chose is free only until somebody asks for any port: another test's server,
or any client. These are below the ports that the kernel chooses, and no two test processes get the
same one.
"""

import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_CHOSEN_BY_THE_KERNEL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST: Final = 10_000
_BLOCK: Final = 100  # ports that a process claims at once


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on, and that nobody else is given."""
    for port in _ports:
        with suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("there are no free ports")


def _claimed() -> Iterator[int]:
    """Yield the ports of one block after the other that no other test process has claimed."""
    blocks = list(range(_FIRST, _end() - _BLOCK, _BLOCK))
    random.SystemRandom().shuffle(blocks)
    for first in blocks:
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claim.bind(("127.0.0.1", first))
        except OSError:
            claim.close()
            continue
        claim.detach()  # stays bound until this process ends
        yield from range(first, first + _BLOCK)


def _end() -> int:
    """Return the first port that the kernel chooses for those who ask for any."""
    try:
        first, _ = _CHOSEN_BY_THE_KERNEL.read_text("ascii").split()
    except (OSError, ValueError):
        return 32_768
    return max(int(first), 2 * _FIRST)


_ports: Final = _claimed()
