"""The operator's record of one pull."""

from datetime import datetime

from msgspec import Struct


class ScrapeRun(Struct, frozen=True, kw_only=True):
    """One pull of a source, for the operator: its times, its outcome and its counts."""

    source: str
    listing: str
    started_at: datetime
    finished_at: datetime
    outcome: str
    reason: str
    events: int
    markets: int
    changes: int
    problems: dict[str, int]
