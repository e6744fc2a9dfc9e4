"""Migrations: the schema version of a database, and its upgrade.

Alembic runs upgrades, and is imported for them alone: a start on tables that are as they should be
needs only the version, and imports a tenth less.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, column, inspect, select, table

from odds_service.errors import StorageError

VERSIONS: Final = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008")
VERSION_TABLE: Final = "alembic_version"
_SCRIPTS: Final = Path(__file__).parent / "migrations"


def head_version() -> str:
    """Return the schema version that this program needs."""
    return VERSIONS[-1]


def version_of(connection: Connection) -> str | None:
    """Return the schema version of a database; None if it has no tables. Raises StorageError."""
    inspected, version = inspect(connection), None
    if inspected.has_table(VERSION_TABLE):
        version = connection.scalar(select(column("version_num")).select_from(table(VERSION_TABLE)))
    if version is None and inspected.has_table("feed_state"):
        raise StorageError(
            "the database was made by a development version without migrations; start a new one"
        )
    if version is not None and version not in VERSIONS:
        raise StorageError(
            f"the database is at schema {version}, which this version does not know: "
            "it was upgraded by a newer one"
        )
    return version


def upgrade(connection: Connection, version: str = "head") -> None:
    """Upgrade the tables to a version, inside the connection's transaction.

    There is no downgrade: keep a copy if you may need one.
    """
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, version)
