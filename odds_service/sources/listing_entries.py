"""Entries of a listing, decoded one by one: a wrong one is left out alone."""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final, TypeVar

import msgspec

from odds_service.decoding import REPLACED, JsonDecoder, UndecodableText, with_replacements
from odds_service.errors import SourceError

T = TypeVar("T")

BAD_PULL: Final = "bad_pull"  # a problem

_by_key: Final = JsonDecoder(dict[str, msgspec.Raw])


class Entries:
    """A reader of the entries of one listing.

    Args:
        path: The path of the request, for error texts.
        problems: Its `bad_pull` is incremented for every entry that cannot be read.
    """

    def __init__(self, path: str, problems: Counter[str]) -> None:
        self._path = path
        self._problems = problems
        self._reason = ""  # of the first one that could not be read

    def read(self, parts: Iterable[msgspec.Raw], decoder: JsonDecoder[T]) -> list[T]:
        """Return the readable ones of some entries."""
        found = []
        for part in parts:
            try:
                found.append(decoder.decode(part))
            except msgspec.MsgspecError as error:
                self._leave_out(error)
        return found

    def by_key(self, part: msgspec.Raw) -> dict[str, msgspec.Raw]:
        """Return the entries of an object by key, without those whose key is no text.

        What is no object counts as one entry that cannot be read.
        """
        try:
            try:
                return _by_key.decode(part)
            except UndecodableText as error:
                found = _by_key.decode(with_replacements(part))
                kept = {key: value for key, value in found.items() if REPLACED not in key}
                for _ in range(len(found) - len(kept)):
                    self._leave_out(error)
                return kept
        except msgspec.MsgspecError as error:
            self._leave_out(error)
            return {}

    def require(self, found: Collection[object]) -> None:
        """Refuse a listing of which nothing could be read.

        Args:
            found: All that was read of it.

        Raises:
            SourceError: Of kind wrong_shape, with the first reason.
        """
        if self._reason and not found:
            raise SourceError("wrong_shape", f"{self._path}: no entry is readable: {self._reason}")

    def _leave_out(self, error: msgspec.MsgspecError) -> None:
        self._problems[BAD_PULL] += 1
        self._reason = self._reason or str(error)
