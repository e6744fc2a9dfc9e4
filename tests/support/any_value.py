"""Strategies for any value of a type, driven by its fields: a new field takes part at once."""

import enum
import types
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

_SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(0, 2**62),
    float: st.floats(allow_nan=False),
    str: st.text(max_size=8),
    bool: st.booleans(),
    datetime: st.datetimes(timezones=st.just(UTC)),
    type(None): st.none(),
}


def any_of(kind: Any, *, most: int = 3) -> st.SearchStrategy[Any]:
    """Return a strategy for values of a type with every field drawn, collections up to `most`.

    Args:
        kind: A struct, a named tuple, an enum, a plain type, or a union or collection of these.
        most: The greatest length of collections.
    """
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return any_of(inner[0], most=most)
    if origin in (Union, types.UnionType):
        return st.one_of([any_of(each, most=most) for each in inner])
    if origin is tuple and inner[-1] is not Ellipsis:
        return st.tuples(*[any_of(each, most=most) for each in inner])
    if origin in (tuple, Sequence):
        return st.lists(any_of(inner[0], most=most), max_size=most).map(tuple)
    if origin in (dict, Mapping):
        return st.dictionaries(*[any_of(each, most=most) for each in inner], max_size=most)
    if issubclass(kind, enum.Enum):
        return st.sampled_from(kind)
    if issubclass(kind, msgspec.Struct):
        fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    else:
        fields = get_type_hints(kind)  # a named tuple
    return st.deferred(
        lambda: st.builds(kind, **{name: any_of(each, most=most) for name, each in fields.items()})
    )
