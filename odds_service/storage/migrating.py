"""Migrations: the schema version of a database, and its upgrade."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from odds_service.errors import StorageError

_SCRIPTS: Final = Path(__file__).parent / "migrations"


def _config(connection: Connection | None = None) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def head_version() -> str:
    """Return the schema version that this program needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise AssertionError("the package lacks its migrations")
    return head


def version_of(connection: Connection) -> str | None:
    """Return the schema version of a database; None if it has no tables. Raises StorageError."""
    version = MigrationContext.configure(connection).get_current_revision()
    if version is None and inspect(connection).has_table("feed_state"):
        raise StorageError(
            "the database was made by a development version without migrations; start a new one"
        )
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if version is not None and version not in known:
        raise StorageError(
            f"the database is at schema {version}, which this version does not know: "
            "it was upgraded by a newer one"
        )
    return version


def upgrade(connection: Connection, version: str = "head") -> None:
    """Upgrade the tables to a version, inside the connection's transaction.

    There is no downgrade: keep a copy if you may need one.
    """
    command.upgrade(_config(connection), version)
