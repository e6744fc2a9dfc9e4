"""Model values as rows, and back, by subject. Odds are compact JSON: arrays without field names."""

from typing import Any

Values = dict[str, Any]  # a row by column, for a statement's parameters


class Unreadable(Exception):
    """A stored row cannot be served: it is too large for a message, or is not one of ours.

    Only an older version, or another program, can have written it.
    """
