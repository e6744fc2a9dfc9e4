"""Counts of the use that each named token makes of the server."""

from odds_service.status import UsageReport


class Usage:
    """The counts under one name; written on the server's loop only, read from any thread.

    Attributes:
        name: The configured name, never the token.
        calls: The calls begun, streams included.
        changes: The changes sent by streams and by reads of history.
        refreshes: The refreshes begun.
    """

    __slots__ = ("calls", "changes", "name", "refreshes")

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0
        self.changes = 0
        self.refreshes = 0

    def report(self) -> UsageReport:
        """Return the counts so far."""
        return UsageReport(self.name, self.calls, self.changes, self.refreshes)
