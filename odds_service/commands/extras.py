"""The error for a part of the package that is installed as an extra."""

from odds_service.errors import SettingsError


def missing_extra(subject: str, extra: str) -> SettingsError:
    """Return the error that says which extra to install.

    Args:
        subject: The thing that needs the extra, as the beginning of a sentence.
        extra: The name of the extra in pyproject.toml.
    """
    return SettingsError(f"{subject} needs an extra: pip install 'odds-service[{extra}]'")
