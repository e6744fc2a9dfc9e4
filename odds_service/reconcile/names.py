"""Normalisation of names, and the likeness of two names."""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from rapidfuzz.distance import Indel

from odds_service.reconcile.words import (
    CLUB,
    COMPETITION_RESERVE,
    COMPETITION_YOUTH,
    COUNTRIES,
    OWN_NUMBER,
    PHRASES,
    RESERVE,
    SAME,
    SPORTS,
    TELLING,
    THIRD,
    VIRTUAL,
    WOMEN,
    YOUTH,
)

LIKE_WORDS: Final = 80  # the least similarity of two matching words, in percent of their letters
_ABBREVIATED: Final = 0.9  # the worth of a pair in which one word abbreviates the other
_TOLD_APART: Final = 60  # the upper limit for two names that differ in a distinctive word
_REMEMBERED: Final = 65_536

# Letters that Unicode does not decompose into a letter and an accent.
_LETTERS: Final = str.maketrans(
    {
        "ß": "ss",
        "ø": "o",
        "đ": "d",
        "ł": "l",
        "æ": "ae",
        "œ": "oe",
        "\u0131": "i",
        "þ": "th",
        "ð": "d",
    }
)
_AGE: Final = re.compile(r"\b(?:u|under|sub)[ -]?(1[2-9]|2[0-3])s?\b")
_NEUTRAL: Final = re.compile(r"\((?:n|neutral)\)")
_SILENT: Final = re.compile(r"[.'\u2019`\u00b4]")
_PAIR: Final = re.compile(r"/|&| and ")
_APART: Final = re.compile(r"[^a-z0-9]+")
_LONGEST_PHRASE: Final = max(map(len, PHRASES))


# Words of one name, words of the other, and the worth of the pair (0 to 1).
_Pair: TypeAlias = tuple[tuple[str, ...], tuple[str, ...], float]


class Name(NamedTuple):
    """A side's name.

    `words` are in order and exclude generic words for a club. `marks` are properties that
    distinguish the team from others of the same name (`women`, `u19`, `reserve`, `virtual`).
    """

    words: tuple[str, ...]
    marks: frozenset[str]


def plain(text: str) -> str:
    """Return text in lower case, without accents, dots and apostrophes."""
    spread = unicodedata.normalize("NFKD", text.casefold().translate(_LETTERS))
    bare = "".join(letter for letter in spread if not unicodedata.combining(letter))
    return _SILENT.sub("", bare.translate(_LETTERS))


@lru_cache(maxsize=_REMEMBERED)
def side_name(text: str, *, people: bool = False) -> Name:
    """Return the normalised name of a side.

    Args:
        text: the name as a source writes it.
        people: True if the sides of this sport are players rather than teams.
    """
    bare = _NEUTRAL.sub(" ", plain(text))
    if people:
        words = [word for word in _APART.split(bare) if word]
        return Name(tuple(words), frozenset({"pair"} if _PAIR.search(bare) else ()))
    marks = {f"u{age}" for age in _AGE.findall(bare)}
    words = [word for word in _APART.split(_AGE.sub(" ", bare)) if word]
    kept: list[str] = []
    for place, word in enumerate(words):
        mark = _mark(word, place, words)
        if mark:
            marks.add(mark)
        else:
            kept.append(word)
    same = list(_translated(kept))
    chosen = [word for word in same if word not in CLUB and not word.isdecimal()]
    return Name(tuple(chosen or same or words), frozenset(marks))


def _mark(word: str, place: int, words: list[str]) -> str:
    """Return the mark for a word, empty if the word is part of the name."""
    if word in VIRTUAL:
        return "virtual"
    if word in YOUTH:
        return "youth"
    if place == 0:
        if word == "jong" and len(words) > 1:
            return "reserve"
        return "women" if word in WOMEN and len(word) > 1 and len(words) > 1 else ""
    if word in WOMEN:
        return "women"
    if word in THIRD:
        return "third"
    return "reserve" if word in RESERVE and words[place - 1] not in OWN_NUMBER else ""


def _translated(words: list[str]) -> Iterator[str]:
    place = 0
    while place < len(words):
        for length in range(min(_LONGEST_PHRASE, len(words) - place), 0, -1):
            phrase = tuple(words[place : place + length])
            # A single word is a phrase only if it is the whole name (`US`, not `US Sassuolo`).
            if phrase in PHRASES and (length > 1 or len(words) == 1):
                yield from PHRASES[phrase]
                place += length
                break
        else:
            word = words[place]
            if same := SAME.get(word, word):
                yield same
            place += 1


class Competition(NamedTuple):
    """The marks that apply to all teams of a competition, and the countries in its name."""

    marks: frozenset[str]
    countries: frozenset[str]


@lru_cache(maxsize=4096)
def competition_name(text: str) -> Competition:
    """Parse the name of a competition, or a source's key for it."""
    bare = plain(text).replace("_", " ")
    marks = {f"u{age}" for age in _AGE.findall(bare)}
    words = frozenset(_APART.split(bare))
    if words & (WOMEN - {"w"}) or {"w", "league"} <= words:
        marks.add("women")
    if words & COMPETITION_YOUTH:
        marks.add("youth")
    if words & COMPETITION_RESERVE:
        marks.add("reserve")
    if words & VIRTUAL:
        marks.add("virtual")
    return Competition(frozenset(marks), words & COUNTRIES)


@lru_cache(maxsize=1024)
def sport_name(text: str) -> str:
    """Return the canonical name of a sport."""
    bare = _APART.sub("", plain(text))
    return SPORTS.get(bare, bare)


@lru_cache(maxsize=_REMEMBERED)
def likeness(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """Return the likeness of two names: 100 for the same words in any order, 0 for none in common.

    Each word is paired with its most similar counterpart: an equal word, a word that it abbreviates
    (`man`), a word with similar letters, or a run of words with these initials (`psg`). Unpaired
    words reduce the likeness by their length, but less in the longer name: `brighton` is probably
    `brighton and hove albion`.
    """
    if not one or not other:
        return 0
    if sorted(one) == sorted(other):
        return 100
    if "".join(one) == "".join(other):
        return 98
    paired = _pairs(one, other)
    shares = (
        sum(worth * sum(map(len, mine)) for mine, _, worth in paired) / sum(map(len, one)),
        sum(worth * sum(map(len, theirs)) for _, theirs, worth in paired) / sum(map(len, other)),
    )
    score = round(100 * (0.55 * max(shares) + 0.45 * min(shares)))
    rest_one, rest_other = _left_over(one, other)
    if rest_one and rest_other and not TELLING.isdisjoint(rest_one + rest_other):
        return min(score, _TOLD_APART)
    return score


def left_over(one: tuple[str, ...], other: tuple[str, ...]) -> frozenset[str] | None:
    """Return the words that only one name has, or None if both have unpaired words."""
    rest_one, rest_other = _left_over(one, other)
    return None if rest_one and rest_other else frozenset(rest_one + rest_other)


def _left_over(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[list[str], list[str]]:
    paired = _pairs(one, other)
    return (
        _without(one, [word for mine, _, _ in paired for word in mine]),
        _without(other, [word for _, theirs, _ in paired for word in theirs]),
    )


def _without(words: tuple[str, ...], taken: list[str]) -> list[str]:
    rest = list(words)
    for word in taken:
        rest.remove(word)
    return rest


@lru_cache(maxsize=_REMEMBERED)
def _pairs(left: tuple[str, ...], right: tuple[str, ...]) -> tuple[_Pair, ...]:
    """Return pairs of matching words, the best first; no word is in two pairs."""
    found: list[tuple[float, tuple[str, ...], tuple[str, ...]]] = []
    for word in left:
        for other in right:
            worth = _worth(word, other)
            if worth:
                found.append((worth, (word,), (other,)))
    found += [(_ABBREVIATED, (word,), run) for word in left for run in _initials(word, right)]
    found += [(_ABBREVIATED, run, (word,)) for word in right for run in _initials(word, left)]
    found.sort(key=lambda pair: (-pair[0], -len(pair[1]) - len(pair[2]), pair))
    free_left, free_right = list(left), list(right)
    chosen: list[_Pair] = []
    for worth, mine, theirs in found:
        if _holds(free_left, mine) and _holds(free_right, theirs):
            for words, taken in ((free_left, mine), (free_right, theirs)):
                for word in taken:
                    words.remove(word)
            chosen.append((mine, theirs, worth))
    return tuple(chosen)


def _holds(words: list[str], taken: tuple[str, ...]) -> bool:
    return all(words.count(word) >= taken.count(word) for word in taken)


@lru_cache(maxsize=_REMEMBERED)
def _worth(one: str, other: str) -> float:
    """Return the worth of a pair of words, from 0 (no match) to 1."""
    if one == other:
        return 1.0
    if one.startswith(other) or other.startswith(one):
        return _ABBREVIATED
    if min(len(one), len(other)) < 4:
        return 0.0
    alike = Indel.normalized_similarity(one, other)
    return alike if 100 * alike >= LIKE_WORDS else 0.0


def _initials(word: str, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the runs of words whose initials form a word of two to four letters."""
    if 2 <= len(word) <= 4:
        for start in range(len(words) - len(word) + 1):
            run = words[start : start + len(word)]
            if all(other.startswith(letter) for letter, other in zip(word, run, strict=True)):
                yield run


@lru_cache(maxsize=_REMEMBERED)
def sounds(words: tuple[str, ...]) -> frozenset[str]:
    """Return the index keys of a name; similar names share at least one.

    The keys are the first two sounds of each word and of the name's initials. Sounds are the
    letters without vowels and repeats, so that `Dinamo` and `Dynamo` share a key.
    """
    initials = "".join(word[0] for word in words)
    keys = {_sound(word) for word in words}
    keys |= {_sound(initials[place:]) for place in range(len(initials) - 1)}
    return frozenset(keys)


def _sound(word: str) -> str:
    heard = ""
    for place, letter in enumerate(word):
        if (place == 0 or letter not in "aeiouyh") and not heard.endswith(letter):
            heard += letter
            if len(heard) == 2:
                break
    return heard
