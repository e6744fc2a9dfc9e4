"""Several API keys of one source: the next one is used when the quota of one is used up."""

from collections.abc import Sequence
from typing import Final

import structlog
from msgspec import Struct

from odds_service.sources.budget import RENEWAL_S

log = structlog.get_logger(__name__)

_NEVER: Final = float("-inf")


class Key(Struct, eq=False):
    """One key and its counters; the text of the key is in no representation.

    Attributes:
        number: its place in the settings, counted from 1, by which logs name it.
        left: credits left of its quota; None if the source has not told them yet.
        closed_until: seconds on the monotonic clock until which it is not used.
    """

    secret: str
    number: int
    left: float | None = None
    closed_until: float = _NEVER

    def __repr__(self) -> str:
        return f"Key(number={self.number}, left={self.left})"


class KeyRing:
    """The keys of one source. All times are seconds on one monotonic clock.

    A key is used until it cannot pay for a pull or is refused, and again RENEWAL_S later, when its
    quota may have been renewed.
    """

    def __init__(self, source: str, secrets: Sequence[str]) -> None:
        self._source = source
        self._keys = [Key(secret, number) for number, secret in enumerate(secrets, 1)]
        self._current = self._keys[0]

    def __len__(self) -> int:
        return len(self._keys)

    def renew(self, before: str, secret: str) -> None:
        """Replace a key by another; what its quota was says nothing of the new one's."""
        for key in self._keys:
            if key.secret == before:
                key.secret, key.left, key.closed_until = secret, None, _NEVER

    def choose(self, now: float, cost: float) -> Key:
        """Return the key to use for a pull of `cost` credits.

        If no key can pay for it, the present one is returned: the source refuses it, and says why.
        """
        start = self._keys.index(self._current)
        for key in self._keys[start:] + self._keys[:start]:
            if _can_pay(key, now, cost):
                if key is not self._current:
                    log.info("api_key_changed", source=self._source, key=key.number)
                self._current = key
                break
        return self._current

    def told(self, key: Key, now: float, left: float | None, cost: float) -> None:
        """Record the credits left of a key, as reported by the source; None if it does not say."""
        if left is None:
            return
        key.left = left
        key.closed_until = now + RENEWAL_S if left < cost else _NEVER

    def refused(self, key: Key, now: float) -> None:
        """Record that the source refused a key, for its quota or for itself."""
        key.left = 0.0
        key.closed_until = now + RENEWAL_S
        log.warning("api_key_refused", source=self._source, key=key.number)

    def left(self, now: float, cost: float) -> float | None:
        """Return the credits left of all keys that can pay for a pull.

        If none can, return the most that one key has left; None if a usable key has not told.
        """
        lefts = [key.left for key in self._keys if _can_pay(key, now, cost)]
        if not lefts:
            return max((key.left for key in self._keys if key.left is not None), default=None)
        known = [left for left in lefts if left is not None]
        return sum(known) if len(known) == len(lefts) else None


def _can_pay(key: Key, now: float, cost: float) -> bool:
    if now < key.closed_until:
        return False
    # A key closed before may have been renewed, so what it told then does not count.
    return key.left is None or key.left >= cost or key.closed_until != _NEVER
