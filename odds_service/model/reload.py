"""The outcome of a reload of the settings."""

from msgspec import Struct

from odds_service.model.cursor import Cursor


class Reloaded(Struct, frozen=True, kw_only=True):
    """The work of one reload.

    Attributes:
        added: The sources that were added, by name; the other three likewise.
        changed: The sources of the same name that run under other settings now.
        applied: The keys of other settings that apply from now on, such as `log.level`.
        needs_restart: The keys that differ in the settings and apply only after a restart.
        withdrawn: The number of changes that withdrew odds which are no longer asked for.
        cursor: The place in the log after the withdrawal.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    applied: tuple[str, ...]
    needs_restart: tuple[str, ...]
    withdrawn: int
    cursor: Cursor
