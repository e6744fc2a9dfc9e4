"""The error for a missing optional dependency."""

from odds_service.errors import SettingsError


def missing_extra(subject: str, extra: str) -> SettingsError:
    """Return the error for an extra that is not installed.

    Args:
        subject: The feature that needs the extra, as the subject of the error text.
        extra: The name of the extra in pyproject.toml.
    """
    return SettingsError(f"{subject} needs an extra: pip install 'odds-service[{extra}]'")
