"""Checks of a struct's fields, derived from its annotations so that new fields are covered."""

import enum
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from odds_service.model.text import MOST_CHARS, is_plain, plain_name, told

FIRST_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
LAST_TIME: Final = datetime(2100, 1, 1, tzinfo=UTC)
MOST_COUNT: Final = 10**15  # quotas, credits, counts; exact as a double, and far below 2**63
MOST_NAMES: Final = 200  # distinct names per answer; further ones are counted as `other`
PROBLEM_CHARS: Final = 100
OTHER: Final = "other"

Check = Callable[[object], Any]  # returns the value to use; raises Wrong


class Wrong(Exception):
    """An invalid value.

    Attributes:
        misuse: whether its type is wrong, which is a bug in the source.
    """

    def __init__(self, reason: str, *, misuse: bool = False) -> None:
        super().__init__(reason)
        self.misuse = misuse


class FieldCheck(Struct, frozen=True):
    """The check of one field.

    Attributes:
        problem: the name to count under if the field can fall back to its default; None if the
            whole value is invalid without it.
        names: whether the field is a name, whose barred characters are removed and counted.
    """

    name: str
    check: Check
    problem: str | None
    default: Callable[[], Any]
    names: bool


def utc(at: object) -> datetime | None:
    """Convert a time to UTC; return None unless it is aware and between 1970 and 2100."""
    if not isinstance(at, datetime):
        return None
    try:
        if type(at) is not datetime or at.tzinfo is not UTC:
            if at.utcoffset() is None:
                return None
            moved = at.astimezone(UTC)
            at = datetime(
                moved.year, moved.month, moved.day, moved.hour, moved.minute, moved.second,
                moved.microsecond, UTC,
            )  # fmt: skip
    except Exception:  # years 1 and 9999 with an offset, or an error of the source's own tzinfo
        return None
    return at if FIRST_TIME <= at < LAST_TIME else None


def key(value: object) -> str:
    """Return an id or key if it is valid. Raises Wrong."""
    if type(value) is not str:
        raise Wrong(f"expected a text, got {type(value).__name__}", misuse=True)
    if len(value) > MOST_CHARS or not is_plain(value):
        raise Wrong(f"{told(value, 40)!r} has over {MOST_CHARS} or control characters")
    return value


def name(value: object) -> str:
    """Return a name without barred characters. Raises Wrong."""
    if type(value) is not str:
        raise Wrong(f"expected a text, got {type(value).__name__}", misuse=True)
    if len(value) > MOST_CHARS:
        raise Wrong(f"the name {told(value, 40)!r}… has over {MOST_CHARS} characters")
    return plain_name(value)


def counts(value: object) -> dict[str, int]:
    """Return counts by name, without invalid ones. Raises Wrong."""
    if not isinstance(value, Mapping):
        raise Wrong("counts are not a mapping", misuse=True)
    found: dict[str, int] = {}
    for each, times in dict(value).items():
        if type(times) is not int or not 0 <= times <= MOST_COUNT:
            raise Wrong(f"{told(times, 40)!r} is not a count", misuse=True)
        known = told(each, PROBLEM_CHARS)
        if known not in found and len(found) >= MOST_NAMES:
            known = OTHER
        found[known] = found.get(known, 0) + times
    return found


def checks_of(
    kind: type[Struct], *, names: frozenset[str] = frozenset(), walked: frozenset[str] = frozenset()
) -> tuple[FieldCheck, ...]:
    """Derive the checks of a struct's fields, in their order.

    Args:
        kind: the struct.
        names: fields that are shown to people; all other texts are ids or keys.
        walked: fields that are checked elsewhere.

    Raises:
        TypeError: at import, for an annotation without a known check, so that no field is
            unchecked.
    """
    hints = get_type_hints(kind)
    found = []
    for each in fields(kind):
        if each.name in walked:
            continue
        shown = each.name in names
        check, problem = _check_of(hints[each.name], shown)
        optional = each.default is not NODEFAULT or each.default_factory is not NODEFAULT
        found.append(
            FieldCheck(each.name, check, problem if optional else None, _default_of(each), shown)
        )
    return tuple(found)


def repaired(
    value: Struct, checks: tuple[FieldCheck, ...], problems: dict[str, int]
) -> dict[str, Any]:
    """Return replacements for the invalid fields of a struct.

    Args:
        value: the struct.
        checks: its checks, from checks_of().
        problems: incremented for every invalid field.

    Returns:
        Field name -> valid value; empty if nothing needs replacing.

    Raises:
        Wrong: the whole value is invalid.
    """
    changes: dict[str, Any] = {}
    for each in checks:
        given = getattr(value, each.name)
        try:
            kept = each.check(given)
        except Wrong:
            if each.problem is None:
                raise
            problems[each.problem] = problems.get(each.problem, 0) + 1
            kept = each.default()
        if kept is not given:
            if each.names and kept != given:
                problems["bad_character"] = problems.get("bad_character", 0) + 1
            changes[each.name] = kept
    return changes


def _default_of(each: Any) -> Callable[[], Any]:
    if each.default_factory is not NODEFAULT:
        factory: Callable[[], Any] = each.default_factory
        return factory
    return lambda: each.default


def _check_of(hint: Any, shown: bool) -> tuple[Check, str | None]:
    """Return the check of an annotation, and the problem's name if the field is optional."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        (inner,) = (part for part in parts if part is not NoneType)
        check, problem = _check_of(inner, shown)
        return lambda value: None if value is None else check(value), problem
    if hint is datetime:
        return _time, "bad_time"
    if hint is str:
        return (name if shown else key), None
    if hint in {int, float}:
        return (_whole if hint is int else _number), "bad_count"
    if origin in {dict, Mapping} and parts == (str, int):
        return counts, "bad_count"
    if origin in {dict, Mapping} and parts == (str, str):
        return _keys_to_keys, None
    if origin is frozenset and parts == (str,):
        return _keys, None
    if isinstance(hint, type) and (hint is bool or issubclass(hint, enum.Enum)):
        return _exactly(hint), None
    if isinstance(hint, type) and issubclass(hint, Struct):
        return _struct(hint), None
    raise TypeError(f"no check is known for fields of type {hint}")


def _time(value: object) -> datetime:
    at = utc(value)
    if at is None:
        raise Wrong(f"{told(value, 60)!r} is not an aware time between 1970 and 2100")
    return at


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MOST_COUNT:
        raise Wrong(f"{told(value, 40)!r} is not a count up to {MOST_COUNT}", misuse=True)
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Wrong(f"expected a number, got {type(value).__name__}", misuse=True)
    if not 0 <= value <= MOST_COUNT or not math.isfinite(value):
        raise Wrong(f"{value!r} is not a number from 0 to {MOST_COUNT}")
    return value if type(value) is float else float(value)


def _keys(value: object) -> frozenset[str]:
    if type(value) is not frozenset:
        raise Wrong(f"expected a frozenset, got {type(value).__name__}", misuse=True)
    for each in value:
        key(each)
    return value


def _keys_to_keys(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise Wrong(f"expected a mapping, got {type(value).__name__}", misuse=True)
    return {key(one): key(other) for one, other in dict(value).items()}


def _exactly(kind: type) -> Check:
    def check(value: object) -> object:
        if type(value) is not kind:
            raise Wrong(f"expected {kind.__name__}, got {type(value).__name__}", misuse=True)
        return value

    return check


def _struct(kind: type[Struct]) -> Check:
    checks = checks_of(kind)

    def check(value: object) -> object:
        if type(value) is not kind:
            raise Wrong(f"expected {kind.__name__}, got {type(value).__name__}", misuse=True)
        for each in checks:
            each.check(getattr(value, each.name))
        return value

    return check
