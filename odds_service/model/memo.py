"""A slot in which a value keeps its encoded bytes."""


class Memo:
    """A base class with a slot for a value's encoded bytes, which only `wire/` fills and reads.

    The slot is not a field. It takes no part in equality, hashing, repr and copies, so a value
    copied from another never inherits its bytes. The bytes live exactly as long as the value. The
    slot takes eight bytes, as a field would.
    """

    __slots__ = ("encoded",)

    encoded: bytes
