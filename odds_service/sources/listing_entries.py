"""Entries of a listing, decoded one by one: a wrong one is left out alone."""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Final, TypeVar

import msgspec

from odds_service.decoding import REPLACED, JsonDecoder, by_key
from odds_service.errors import SourceError

T = TypeVar("T")

BAD_PULL: Final = "bad_pull"  # a problem


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
        kept = {}
        try:
            for key, value in by_key(part).items():
                if REPLACED in key:
                    self._leave_out("a key that is not UTF-8, or has half a character")
                else:
                    kept[key] = value
        except msgspec.MsgspecError as error:
            self._leave_out(error)
        return kept

    def require(self, found: Collection[object]) -> None:
        """Refuse a listing of which nothing could be read.

        Args:
            found: All that was read of it.

        Raises:
            SourceError: Of kind wrong_shape, with the first reason.
        """
        if self._reason and not found:
            raise SourceError("wrong_shape", f"{self._path}: no entry is readable: {self._reason}")

    def _leave_out(self, reason: object) -> None:
        self._problems[BAD_PULL] += 1
        self._reason = self._reason or str(reason)
