"""A place beside a value for the bytes that it is encoded to."""


class Memo:
    """Give a value a slot for its encoded bytes, which only `wire/` fills and reads.

    The slot is no field. It takes no part in equality, hash, repr and copies, so a value made from
    another one starts without bytes and never shows those of the other. The bytes live exactly as
    long as the value. The slot costs the eight bytes that a field would.
    """

    __slots__ = ("encoded",)

    encoded: bytes
