"""`odds-service config`: the effective settings and their origins."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel, SecretStr

from odds_service.commands.options import plain_output, takes
from odds_service.commands.output import Output
from odds_service.commands.service_options import GivenSettings, service_settings
from odds_service.commands.visible import is_foreign
from odds_service.config import Settings
from odds_service.config_errors import SECRET_KEY, sections
from odds_service.secrets import HIDDEN, redact

config = typer.Typer(
    help="Print the effective settings with their origins.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@config.callback()
def _commands() -> None:
    """Keep `show` a command: an app with one command has no name for it otherwise."""


@config.command()
@takes(given=service_settings, out=plain_output)
def show(*, given: GivenSettings, out: Output) -> None:
    """Print the effective settings as TOML, each with its origin; secrets are hidden.

    A source's own defaults belong to its kind and are not shown.
    """
    settings = given.load()
    out.line(f"role = {_toml(settings.role.value)}  # {given.origin('role', '')}")
    for section, model in sections(Settings):
        for key in model.model_fields:
            value = _bare(getattr(getattr(settings, section), key), key)
            name, origin = f"{section}.{key}", given.origin(section, key)
            out.line(
                f"# {name} is not set" if value is None else f"{name} = {_toml(value)}  # {origin}"
            )
    for table in settings.sources:
        out.line("")
        out.line(f"[[sources]]  # {given.origin('sources', '')}")
        for key, value in table.items():
            out.line(f"{_key(key)} = {_toml(_bare(value, key))}")


def _bare(value: Any, key: str) -> Any:
    """Return a setting in TOML's types, with secrets replaced by HIDDEN; None if it is absent."""
    match value:
        case SecretStr():
            shown = redact(value.get_secret_value())
            return shown if key == "url" else HIDDEN
        case BaseModel():
            return _bare({name: getattr(value, name) for name in type(value).model_fields}, key)
        case Mapping():
            each = {str(name): _bare(one, str(name)) for name, one in value.items()}
            return {name: one for name, one in each.items() if one is not None}
        case list() | tuple():
            return [_bare(one, key) for one in value]
        case Path():
            return str(value)
        case str():
            return HIDDEN if SECRET_KEY.search(key) else redact(value)
    return value


def _toml(value: Any) -> str:
    match value:
        case dict():
            return (
                "{" + ", ".join(f"{_key(name)} = {_toml(one)}" for name, one in value.items()) + "}"
            )
        case list():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case str():
            quoted = json.dumps(value, ensure_ascii=False)
            return "".join(f"\\U{ord(c):08x}" if is_foreign(c) else c for c in quoted)
        case bool():
            return str(value).lower()
    return str(value)  # numbers, dates and times, which TOML writes like Python


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else _toml(name)
