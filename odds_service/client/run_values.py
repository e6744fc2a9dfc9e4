"""Fetches of the sources: the values of ListRuns, and their decoder."""

import enum
from datetime import datetime
from typing import Final

from msgspec import Struct

from odds_service.client.market_decoding import moment
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb


class RunOutcome(enum.IntEnum):
    """The extent to which a fetch saw what it asked for.

    Only a COMPLETE one shows that something is gone. UNSPECIFIED is an outcome that this client
    does not know yet.
    """

    UNSPECIFIED = 0
    COMPLETE = 1
    PARTIAL = 2
    FAILED = 3


_OUTCOMES: Final = {int(outcome): outcome for outcome in RunOutcome}


class Run(Struct, frozen=True, kw_only=True):
    """One fetch of a source.

    Attributes:
        listing: A listing of the source or its id of an event; `discovery` or `refresh`.
        duration_s: Seconds until the whole answer was there; None if the clock was set back.
        reason: Why it failed or saw a part only, for people.
        events: The number of events taken.
        markets: The number of markets compared.
        changes: The number of changes that it made.
        problems: Name -> how often it was the reason to skip something, or to fail.
    """

    source: str
    listing: str
    started_at: datetime
    duration_s: float | None
    outcome: RunOutcome
    reason: str
    events: int
    markets: int
    changes: int
    problems: dict[str, int]


def run(message: pb.Run) -> Run:
    duration = message.duration.ToTimedelta() if message.HasField("duration") else None
    return Run(
        source=message.source,
        listing=message.listing,
        started_at=moment(message.started_at),
        duration_s=None if duration is None else duration.total_seconds(),
        outcome=_OUTCOMES.get(message.outcome, RunOutcome.UNSPECIFIED),
        reason=message.reason,
        events=message.events,
        markets=message.markets,
        changes=message.changes,
        problems=dict(message.problems),
    )
