"""Changes of markets, decoded when they are first looked at."""

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from odds_service.client.market_decoding import market, moment
from odds_service.model.market import Market, MarketKey
from odds_service.model.price import canonical_line
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb


class ChangeKind(enum.IntEnum):
    """The kind of a change: 1 to 5 concern markets, 6 to 8 events, 9 to 11 sources.

    UNSPECIFIED is a kind that this client does not know yet. UNSTORED occurs only in history: a
    change that the database refused, so its odds are unknown.
    """

    UNSPECIFIED = 0
    ADDED = 1
    PRICES = 2
    SUSPENDED = 3
    RESUMED = 4
    REMOVED = 5
    EVENT_ADDED = 6
    EVENT_UPDATED = 7
    EVENT_ENDED = 8
    SOURCE_UP = 9
    SOURCE_STALE = 10
    SOURCE_DOWN = 11
    UNSTORED = 12


KINDS: Final = {int(kind): kind for kind in ChangeKind}


class _Unread:
    """A slot that is no field, so that equality, hash, repr and copies do not know it.

    It holds the message of a change; after the first look, the bytes of `before`, which keep
    nothing else in memory; and None once everything is decoded.
    """

    __slots__ = ("_unread",)

    _unread: pb.Change | bytes | None


@dataclass(frozen=True, kw_only=True, slots=True)
class MarketChange(_Unread):
    """A change of a market, with its complete odds before and after.

    `before` is None for a new market. The `after` of a removed market has status REMOVED and no
    outcomes. `reason` is a code such as `line_moved`; `other_line` is then the line that the market
    moved to or from. `conflated_count` is the number of changes that this one combines, 0 without
    conflation. `suspended_meanwhile` says that the market was suspended between `before` and
    `after`.

    A change that the client returns is decoded when a field of it is first looked at. Until then it
    keeps the message that it came with, a page of 1 MiB at most.
    """

    revision: int
    kind: ChangeKind
    event_id: str
    source: str
    bookmaker: str
    before: Market | None
    after: Market
    observed_at: datetime
    detected_at: datetime
    reason: str = ""
    other_line: str | None = None
    snapshot_id: int = 0
    conflated_count: int = 0
    suspended_meanwhile: bool = False

    @property
    def key(self) -> MarketKey:
        return self.after.key

    if not TYPE_CHECKING:  # else any misspelt name would pass

        def __getattr__(self, name: str) -> Any:
            """Decode the message that a missing field is in; threads may do so at once."""
            if name not in _SETTERS:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            unread = self._unread
            if isinstance(unread, pb.Change):
                unread = _read(self, unread)
            if name == "before" and unread is not None:
                _SETTERS["before"](self, market(pb.Market.FromString(unread)))
                _set_unread(self, None)
            return object.__getattribute__(self, name)


_SETTERS: Final = {name: getattr(MarketChange, name).__set__ for name in MarketChange.__slots__}
_set_unread: Final = _Unread.__dict__["_unread"].__set__
_new: Final = object.__new__
(
    _revision, _kind, _event_id, _source, _bookmaker, _before, _after, _observed_at, _detected_at,
    _reason, _other_line, _snapshot_id, _conflated_count, _suspended_meanwhile,
) = _SETTERS.values()  # fmt: skip


def market_change(message: pb.Change) -> MarketChange:
    """Return a change of a market that decodes its message, which nobody may alter, when needed."""
    change = _new(MarketChange)
    _set_unread(change, message)
    return change


def _read(change: MarketChange, message: pb.Change) -> bytes | None:
    """Decode all but `before`, and return its bytes.

    The message must be let go of, as it keeps the whole page in memory that it came with.
    """
    _revision(change, message.revision)
    _kind(change, KINDS.get(message.kind, ChangeKind.UNSPECIFIED))
    _event_id(change, message.event_id)
    _source(change, message.source)
    _bookmaker(change, message.bookmaker)
    _after(change, market(message.after))
    _observed_at(change, moment(message.observed_at))
    _detected_at(change, moment(message.detected_at))
    _reason(change, message.reason)
    other_line = message.other_line
    shown = other_line or message.HasField("other_line")
    _other_line(change, canonical_line(other_line) if shown else None)
    _snapshot_id(change, message.snapshot_id)
    _conflated_count(change, message.conflated_count)
    _suspended_meanwhile(change, message.suspended_meanwhile)
    unread = message.before.SerializeToString() if message.HasField("before") else None
    if unread is None:
        _before(change, None)
    _set_unread(change, unread)  # last: another thread takes it for a sign that the others are set
    return unread
