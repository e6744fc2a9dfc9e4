"""Limits per client and per server: streams, requests per second, refreshes."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from msgspec import Struct

from odds_service.config import ServerSettings
from odds_service.serving.errors import exhausted

_CLIENTS_REMEMBERED: Final = 10_000  # LRU: an evicted client gets a full bucket
_RETRY_S: Final = 1.0


class _Allowance(Struct):
    """The number of requests that a client had left at clock time `since`."""

    left: float
    since: float


class ClientLimits:
    """The limits on clients, as named by rpc.auth; for use on the server's loop only."""

    def __init__(
        self, settings: ServerSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._rate = settings.max_requests_per_s
        self._burst = max(self._rate, 1.0)
        self._allowance: OrderedDict[str, _Allowance] = OrderedDict()
        self._streams: Counter[str] = Counter()
        self.streams = 0
        self.refreshes = 0

    def request(self, client: str) -> None:
        """Count a call of a client, which can save up the requests of one second.

        Raises:
            Refused: The client exceeds its rate.
        """
        now = self._clock()
        allowance = self._allowance.get(client)
        if allowance is None:
            allowance = self._allowance[client] = _Allowance(self._burst, now)
            if len(self._allowance) > _CLIENTS_REMEMBERED:
                self._allowance.popitem(last=False)
        else:
            self._allowance.move_to_end(client)
        left = allowance.left + (now - allowance.since) * self._rate
        if left > self._burst:
            left = self._burst
        allowance.since = now
        if left < 1.0:
            allowance.left = left
            text = f"more than {self._rate:g} requests a second"
            raise exhausted("requests per second", text, (1.0 - left) / self._rate)
        allowance.left = left - 1.0

    @contextmanager
    def stream(self, client: str) -> Iterator[None]:
        """Hold a place for a stream during a block. Raises Refused if none is free."""
        if self.streams >= self._settings.max_streams:
            text = f"all {self._settings.max_streams} streams of this server are taken"
            raise exhausted("streams", text, _RETRY_S)
        if self._streams[client] >= self._settings.max_streams_per_client:
            text = f"this client has {self._settings.max_streams_per_client} streams already"
            raise exhausted("streams per client", text)
        self.streams += 1
        self._streams[client] += 1
        try:
            yield
        finally:
            self.streams -= 1
            self._streams[client] -= 1
            if not self._streams[client]:
                del self._streams[client]

    @contextmanager
    def refresh(self) -> Iterator[None]:
        """Hold a place for a refresh during a block. Raises Refused if none is free."""
        if self.refreshes >= self._settings.max_refreshes:
            text = f"all {self._settings.max_refreshes} concurrent refreshes are taken"
            raise exhausted("concurrent refreshes", text, _RETRY_S)
        self.refreshes += 1
        try:
            yield
        finally:
            self.refreshes -= 1
