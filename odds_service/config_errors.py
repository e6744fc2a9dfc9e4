"""Texts of wrong settings: the place, the nearest right key, and the value if it is no secret."""

import json
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from odds_service.errors import SettingsError
from odds_service.secrets import redact

PREFIX: Final = "odds_"  # of our environment variables, in lower case
RENAMED: Final = {"life": "shutdown"}  # sections as they were called in 0.1 -> today's names
SECRET_KEY: Final = re.compile(r"(?i)key$|keys$|token|password|secret|authorization|cookie")

_SHOWN_CHARS: Final = 60  # of a wrong value


def explain(
    error: ValidationError,
    model: type[BaseModel],
    *,
    within: str = "",
    where: Callable[[tuple[str, ...]], str] = lambda _: "",
) -> str:
    """Return pydantic's findings as `key: value: reason`, without values that may be secret.

    Args:
        error: The findings.
        model: The model that was validated.
        within: The section of the keys.
        where: Returns the place of a key, such as `odds.toml: `, or the variable that set it.
    """
    findings = []
    for finding in error.errors(include_url=False):
        at = tuple(str(part) for part in finding["loc"])
        inner = _model_at(model, at[:-1])
        text = finding["msg"]
        if finding["type"] == "extra_forbidden":
            text = _unknown(at, inner)
        elif (shown := _shown(finding["input"], at, model)) is not None:
            text = f"{shown}: {text}"
        key = ".".join(((within,) if within else ()) + at)
        findings.append(where(at) or f"{key}: ")
        findings[-1] += text
    return "; ".join(findings)


def check_variables(variables: Mapping[str, str | None], model: type[BaseModel]) -> None:
    """Check the names of environment variables, since a mistyped one would be ignored.

    Args:
        variables: Names in lower case -> values.
        model: The model of all settings.

    Raises:
        SettingsError: A variable names a section that is unknown or was renamed, or has one
            underscore where two belong.
    """
    single = {
        f"{PREFIX}{section}_{key}": f"{PREFIX}{section}__{key}"
        for section, inner in sections(model)
        for key in inner.model_fields
    }
    for name in variables:
        if not name.startswith(PREFIX):
            continue
        if name in single:
            raise _mistyped(name, f"one underscore short: set {single[name].upper()}")
        section, nested, key = name.removeprefix(PREFIX).partition("__")
        if not nested or section in model.model_fields:
            continue
        if section in RENAMED:
            renamed = f"{PREFIX}{RENAMED[section]}__{key}".upper()
            raise _mistyped(name, f"renamed: set {renamed}")
        raise _mistyped(name, "unknown section" + _near(section, model.model_fields))


def check_lists(variables: Mapping[str, str | None], model: type[BaseModel]) -> None:
    """Check that variables for lists and tables hold JSON.

    Raises:
        SettingsError: One does not; the text names it, and no value.
    """
    for name, value in variables.items():
        at = tuple(name.removeprefix(PREFIX).split("__"))
        field = _annotation(model, at)
        if not name.startswith(PREFIX) or field is None or not value:
            continue
        whole = _model_at(model, at) is not None or typing.get_origin(field) in (list, dict)
        try:
            parsed = json.loads(value) if whole else None
        except ValueError:
            parsed = None
        if whole and not isinstance(parsed, list | dict):
            raise _mistyped(name, 'not JSON: a list is written like ["a", "b"], a section like {}')


def sections(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Return the sections of the settings with their models."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield name, field.annotation


def _mistyped(name: str, text: str) -> SettingsError:
    return SettingsError(f"environment: {name.upper()}: {text}")


def _unknown(at: tuple[str, ...], inner: type[BaseModel] | None) -> str:
    if len(at) == 1 and at[0] in RENAMED:
        return f"renamed: write [{RENAMED[at[0]]}]"
    return "unknown key" + _near(at[-1], inner.model_fields if inner is not None else {})


def _near(name: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(name.lower(), known, n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def _shown(value: object, at: tuple[str, ...], model: type[BaseModel]) -> str | None:
    """Return a wrong value as text; None where it may be secret, or says nothing."""
    if not isinstance(value, str | int | float) or any(SECRET_KEY.search(part) for part in at):
        return None
    annotation = _annotation(model, at)  # None in a table of free keys, which may hold anything
    if annotation is None or "SecretStr" in str(annotation):
        return None
    text = repr(redact(value)) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def _model_at(model: type[BaseModel], at: tuple[str, ...]) -> type[BaseModel] | None:
    """Return the model that a path of keys and indices leads to; None for any other value."""
    return next(_models(_annotation(model, at)), None) if at else model


def _annotation(model: type[BaseModel], at: tuple[str, ...]) -> Any:
    """Return the annotation of the key that a path of keys and indices ends with, or None."""
    found: Any = model
    for part in at:
        inner = next(_models(found), None)
        if inner is not None and part in inner.model_fields:
            found = inner.model_fields[part].annotation
        elif not part.isdigit():
            return None
    return found


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models(argument)
