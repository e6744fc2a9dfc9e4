"""What is text to every part: Unicode without NUL.

PostgreSQL refuses NUL where SQLite does not, so the logs of the two would differ; a lone surrogate
(half a character, which Python's `str` can hold) can be neither encoded nor sent.
"""


def is_text(*parts: str) -> bool:
    """Whether all of the parts can be stored and sent as they are."""
    whole = "".join(parts)
    if "\0" in whole:
        return False
    if whole.isascii():
        return True
    try:
        whole.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_text(shown: str) -> str:
    """The same where it is text; else with `?` for what is none."""
    return shown.replace("\0", "?").encode("utf-8", "replace").decode()
