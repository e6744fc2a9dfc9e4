"""The options of commands that read the service's settings."""

from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec import Struct

from odds_service.config import Role, Settings, load_settings, origin_of

Config = Annotated[Path | None, typer.Option("--config", "-c", help="Settings file, TOML.")]
Url = Annotated[
    str | None, typer.Option("--database", help="sqlite:///file.db or postgresql://user@host/name")
]


class GivenSettings(Struct, frozen=True):
    """The settings as the command line gave them.

    Attributes:
        path: The settings file, or None.
        flags: Section -> key -> value; None for a flag that was not given. A setting without a
            section is one, with an empty key.
    """

    path: Path | None
    flags: dict[str, dict[str, Any]]

    def load(self) -> Settings:
        """Read them. Raises SettingsError."""
        return load_settings(self.path, **self.flags)

    def origin(self, section: str, key: str) -> str:
        """Return the origin of a setting: `flag`, a variable, the file, or `default`."""
        if self.flags.get(section, {}).get(key) is not None:
            return "flag"
        return origin_of(section, key, self.path)


def service_settings(
    *,
    config: Config = None,
    role: Annotated[
        Role | None,
        typer.Option(help="Part of this node: all without a bus, or ingest or read with one."),
    ] = None,
    listen: Annotated[
        str | None, typer.Option(help="host:port of the gRPC server; port 0 takes a free one.")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(help="host:port of Prometheus metrics; default: off.")
    ] = None,
    database: Url = None,
    migrate: Annotated[
        bool | None, typer.Option("--migrate", help="Upgrade PostgreSQL's tables first.")
    ] = None,
    adopt: Annotated[
        bool | None, typer.Option("--adopt", help="Start on a database that an import filled.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_format: Annotated[str | None, typer.Option(help="auto, json or pretty.")] = None,
) -> GivenSettings:
    """Return the given settings, not yet read."""
    flags: dict[str, dict[str, Any]] = {
        "role": {"": role},
        "server": {"listen": listen},
        "metrics": {"listen": metrics},
        "database": {"url": database, "migrate": migrate, "adopt": adopt},
        "log": {"level": log_level, "format": log_format},
    }
    return GivenSettings(config, flags)
