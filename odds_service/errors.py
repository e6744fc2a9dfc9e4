"""What this service raises to its users: each text says what is wrong, where, and what to do."""

from collections.abc import Sequence

from odds_service.secrets import redact


class OddsServiceError(Exception):
    """Base of all errors that are shown as one clear line instead of a traceback.

    Their texts reach logs, replies and statuses: none holds a secret.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__(redact(text))


class SettingsError(OddsServiceError):
    """A setting is wrong; the text names the file, the key and the reason."""


class SourceError(OddsServiceError):
    """A fetch from a source failed; `kind` is a short name to count it under.

    retry_after_s: how long the source asked us to wait, None where it did not say.
    """

    def __init__(self, kind: str, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after_s = retry_after_s


class StorageError(OddsServiceError):
    """The database cannot be used as it is: wrong URL, schema, owner; retrying does not help."""


class StorageUnavailable(OddsServiceError):
    """The database does not answer now; retrying helps."""


class Superseded(StorageError):
    """Another process took this database over; this one must end."""


class BelowFloor(OddsServiceError):
    """The history does not reach back so far, or does not hold it yet."""

    def __init__(self, floor_revision: int) -> None:
        super().__init__(f"history is kept from revision {floor_revision} on")
        self.floor_revision = floor_revision


class UnknownEvent(OddsServiceError):
    """No event of this id is known."""


class NotFetchedYet(OddsServiceError):
    """A refresh did not end within its deadline, because of its sources; it goes on.

    epoch, revision: a cursor that lies before all that it will give. sources: those that have not
    answered.
    """

    def __init__(self, epoch: str, revision: int, sources: Sequence[str]) -> None:
        named = ", ".join(sources)
        super().__init__(f"the fetch did not end within the deadline ({named}); it goes on")
        self.epoch = epoch
        self.revision = revision
        self.sources = tuple(sources)


class NotDurableYet(OddsServiceError):
    """A refresh was applied, and is served, but was not committed within its deadline.

    epoch, revision: the cursor to wait for; the changes stay queued and will be committed in
    their order.
    """

    def __init__(self, epoch: str, revision: int) -> None:
        super().__init__(f"applied, but revision {revision} is not committed yet")
        self.epoch = epoch
        self.revision = revision
