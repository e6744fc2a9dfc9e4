"""Parts of an answer that are left out: counted, and named one level up."""

from collections import Counter

from odds_service.model.observation import ANY
from odds_service.model.source import BAD_OBSERVATION
from odds_service.model.text import MOST_CHARS, is_plain
from odds_service.sources.fields import Wrong


def count_left_out(problems: Counter[str], kind: str, error: Exception) -> None:
    """Count a part that is left out.

    A wrong type, or an unexpected error while checking, is a bug in the source: it is counted as
    `bad_observation` too.

    Args:
        problems: the counts by name.
        kind: the name to count under.
        error: the reason.
    """
    problems[kind] += 1
    if not isinstance(error, Wrong) or error.misuse:
        problems[BAD_OBSERVATION] += 1


def name_in(part: object, field: str) -> str:
    """Return the name in a field of a part; ANY if it is not a valid name."""
    try:
        name = getattr(part, field)
    except Exception:
        return ANY
    return name if is_key(name) else ANY


def is_key(text: object) -> bool:
    """Return whether a value is a valid id or key."""
    return type(text) is str and 0 < len(text) <= MOST_CHARS and is_plain(text)


def unreadable_names(given: object) -> set[str]:
    """Return the names that a source reported as unreadable, with ANY for invalid ones."""
    if type(given) is not frozenset:
        return {ANY}
    return {each if is_key(each) else ANY for each in given}
