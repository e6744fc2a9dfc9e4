"""Errors that users see: each text names the fault, its place and the remedy."""

from collections.abc import Sequence
from typing import ClassVar, TypeVar

from odds_service.secrets import redact

E = TypeVar("E", bound=BaseException)


def first_in(group: BaseExceptionGroup[E]) -> E:
    """Return the first error in a group of errors and groups."""
    first = group.exceptions[0]
    return first_in(first) if isinstance(first, BaseExceptionGroup) else first


class OddsServiceError(Exception):
    """Base of all errors that users see as one line instead of a traceback.

    The texts reach logs, replies and statuses, so secrets are redacted from them.

    Attributes:
        exit_code: The code with which a command ends.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, text: str = "") -> None:
        super().__init__(redact(text))


class SettingsError(OddsServiceError):
    """A setting is wrong; the text names the file, the key and the reason."""


class SourceError(OddsServiceError):
    """A fetch from a source failed; `kind` is a short name under which it is counted.

    Attributes:
        kind: The short name.
        retry_after_s: The seconds that the source asked us to wait; None if it did not say.
    """

    def __init__(self, kind: str, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after_s = retry_after_s


class StorageError(OddsServiceError):
    """The database cannot be used (wrong URL, schema or owner); a retry does not help."""


class StorageUnavailable(OddsServiceError):
    """The database does not answer now; a retry may help."""


class Superseded(StorageError):
    """Another process has taken this database over; this one must end."""


class ForeignSurplus(StorageError):
    """The log on the bus holds changes that do not continue the log of the database."""


def missing_extra(subject: str, extra: str) -> SettingsError:
    """Return the error for an extra that is not installed.

    Args:
        subject: The feature that needs the extra, as the subject of the error text.
        extra: The name of the extra in pyproject.toml.
    """
    return SettingsError(f"{subject} needs an extra: pip install 'odds-service[{extra}]'")


class BelowFloor(OddsServiceError):
    """A revision or time lies before the kept history, or after its end."""

    def __init__(self, floor_revision: int) -> None:
        super().__init__(f"history is kept from revision {floor_revision} on")
        self.floor_revision = floor_revision


class UpstreamAway(OddsServiceError):
    """The node that fetches gives no answer now; a retry may help."""


class UnknownEvent(OddsServiceError):
    """No event has this id."""


class NotFetchedYet(OddsServiceError):
    """The sources of a refresh did not answer within its deadline; the refresh goes on.

    Attributes:
        epoch: The epoch of a cursor before all changes that the refresh will make.
        revision: The revision of that cursor.
        sources: The sources that have not answered.
    """

    def __init__(self, epoch: str, revision: int, sources: Sequence[str]) -> None:
        named = ", ".join(sources)
        super().__init__(f"the fetch did not end within the deadline ({named}); it goes on")
        self.epoch = epoch
        self.revision = revision
        self.sources = tuple(sources)


class NotDurableYet(OddsServiceError):
    """A refresh was applied and is served, but was not committed within its deadline.

    epoch, revision: the cursor to wait for. The changes stay queued and are committed in order.
    """

    def __init__(self, epoch: str, revision: int) -> None:
        super().__init__(f"applied, but revision {revision} is not committed yet")
        self.epoch = epoch
        self.revision = revision
