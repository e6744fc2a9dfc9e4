"""The operator's record of one fetch."""

from datetime import datetime

from msgspec import Struct


class ScrapeRun(Struct, frozen=True, kw_only=True):
    """One fetch of a source, as recorded for the operator."""

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
