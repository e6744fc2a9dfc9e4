"""Model values as rows, by subject. Odds are compact JSON: arrays without field names."""

from typing import Any

Values = dict[str, Any]  # a row by column, as parameters of a statement


class Unreadable(Exception):
    """A stored row cannot be served: it is too large for a message, or malformed.

    Only an older version or another program can have written it.
    """
