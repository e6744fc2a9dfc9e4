"""Validation of a source's settings table."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from odds_service.config_errors import explain
from odds_service.errors import SettingsError

M = TypeVar("M", bound=BaseModel)


def read_settings(model: type[M], name: str, table: dict[str, Any]) -> M:
    """Validate a source's settings table.

    Args:
        model: the keys; it should forbid others (`ConfigDict(extra="forbid")`).
        name: the source's name, for error texts.
        table: the `[[sources]]` table without `kind` and `name`.

    Raises:
        SettingsError: with the key, the reason, and the value where it cannot be secret.
    """
    try:
        return model.model_validate(table)
    except ValidationError as error:
        raise SettingsError(f"sources ({name}): {explain(error, model)}") from None
