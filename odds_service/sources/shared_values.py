"""Equal keys, outcomes and texts of one source's markets, as one object each.

A source may make every value of every answer anew. The cache and the log in memory would then hold
the same few thousand names and prices once for each market.
"""

import time
from collections.abc import Callable
from typing import Final

from odds_service.model.market import MarketKey, Outcome, outcome_order

KEPT_S: Final = 1_800.0  # a value that is not shown for so long may go; twice as long, it is gone
MOST_VALUES: Final = 2**17  # of each kind in a generation; two generations are held


class SharedValues:
    """Checked values of one source, found by equality and by identity.

    They are held in two generations. A value that is met again moves to the newer one, and what
    stays behind is dropped with the older one. So the values of events that have ended are gone
    after two generations, and a value that is always shown stays the same object. The odds lose
    nothing by this: a value that comes back later is only a second object.

    Attributes:
        keys: The ids of the market keys of the newer generation, which are alive.
        orders: Likewise of its outcomes, each with a text that sorts as the outcomes do.

    Args:
        clock: A clock in seconds.
    """

    __slots__ = (
        "_clock",
        "_keys",
        "_old_keys",
        "_old_outcomes",
        "_old_texts",
        "_outcomes",
        "_renewed_s",
        "_texts",
        "keys",
        "orders",
    )

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._renewed_s = clock()
        self.keys: set[int] = set()
        self.orders: dict[int, str] = {}
        self._keys: dict[MarketKey, MarketKey] = {}
        self._outcomes: dict[Outcome, Outcome] = {}
        self._texts: dict[str, str] = {}
        self._old_keys: dict[MarketKey, MarketKey] = {}
        self._old_outcomes: dict[Outcome, Outcome] = {}
        self._old_texts: dict[str, str] = {}

    def __len__(self) -> int:
        """Return the number of keys, outcomes and texts of both generations."""
        newer = len(self._keys) + len(self._outcomes) + len(self._texts)
        older = len(self._old_keys) + len(self._old_outcomes) + len(self._old_texts)
        return newer + older

    def renew(self) -> None:
        """Begin a new generation if it is time; call it now and then, between bookmakers."""
        now_s = self._clock()
        most = max(len(self._keys), len(self._outcomes), len(self._texts))
        if now_s < self._renewed_s + KEPT_S and most < MOST_VALUES:
            return
        self._renewed_s = now_s
        # New dicts, as a cleared one keeps its size. Ids are only good while their value is held.
        self.keys, self.orders = set(), {}
        self._old_keys, self._keys = self._keys, {}
        self._old_outcomes, self._outcomes = self._outcomes, {}
        self._old_texts, self._texts = self._texts, {}

    def text(self, text: str) -> str:
        """Return the text that is shared by all equal ones."""
        known = self._texts.get(text)
        if known is None:
            known = self._texts[text] = self._old_texts.get(text, text)
        return known

    def known_key(self, given: MarketKey) -> MarketKey | None:
        """Return the equal key that was checked before, None if there is none.

        Args:
            given: A key whose parts are texts of no subclass.
        """
        known = self._keys.get(given)
        if known is None and (known := self._old_keys.get(given)) is not None:
            self._hold_key(known)
        return known

    def add_key(self, checked: MarketKey) -> MarketKey:
        """Share a key that is not known yet, and return it with shared texts."""
        text = self.text
        market, line, participant = checked
        parts = text(market), text(line), text(participant)
        if parts[0] is not market or parts[1] is not line or parts[2] is not participant:
            checked = MarketKey(*parts)
        self._hold_key(checked)
        return checked

    def known_outcome(self, given: Outcome) -> Outcome | None:
        """Return the equal outcome that was checked before, None if there is none.

        Args:
            given: An outcome whose fields have exactly their types. (2 equals 2.0, and 1 True.)
        """
        known = self._outcomes.get(given)
        if known is None and (known := self._old_outcomes.get(given)) is not None:
            self._hold_outcome(known)
        return known

    def add_outcome(self, checked: Outcome) -> Outcome:
        """Share an outcome that is not known yet, and return it with shared texts."""
        key, name = self.text(checked.key), self.text(checked.name)
        if key is not checked.key or name is not checked.name:
            checked = Outcome(key, name, checked.price, checked.active)
        self._hold_outcome(checked)
        return checked

    def _hold_key(self, key: MarketKey) -> None:
        self._keys[key] = key
        self.keys.add(id(key))

    def _hold_outcome(self, outcome: Outcome) -> None:
        self._outcomes[outcome] = outcome
        rank, text = outcome_order(outcome)
        # A one-digit rank: sorts like the pair. The outcomes of one key share the text.
        self.orders[id(outcome)] = self.text(f"{rank}{text}")
