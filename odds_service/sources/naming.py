"""Ids and keys that several providers' decoders derive in the same way."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

SPORTRADAR: Final = "sr"  # the namespace of SportRadar's ids, which many bookmakers share
_SR_MATCH: Final = "sr:match:"
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}")


def sportradar_id(text: object) -> dict[str, str]:
    """Return a SportRadar match id as `shared_ids`, by its number; empty if it is not one."""
    number = str(text).removeprefix(_SR_MATCH)
    return {SPORTRADAR: number} if _NUMBER.fullmatch(number) else {}


def key_text(*parts: str) -> str:
    """Join names into one key: `soccer` and `Super League` give `soccer_super_league`."""
    return "_".join(filter(None, (_slug(part) for part in parts)))


def one_id(ids: Iterable[dict[str, str]]) -> dict[str, str]:
    """Return the shared id on which all agree; empty if two differ."""
    found = {tuple(one.items()) for one in ids if one}
    return dict(next(iter(found))) if len(found) == 1 else {}


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.lower())
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return re.sub(r"\W+", "_", letters).strip("_")
