"""Options of a subscription, already checked and bounded."""

import enum

from msgspec import Struct

from odds_service.filters.selection import Selection


class ImageMode(enum.IntEnum):
    """The conditions for sending an image first, as numbered on the wire."""

    AUTO = 1
    NEVER = 2
    ONLY = 3


class SlowReaderPolicy(enum.IntEnum):
    """The treatment of a reader that has fallen behind memory, as numbered on the wire."""

    LOSSLESS = 1  # every change, read from the database
    LATEST = 2  # a notice of the loss, then an image


class WatchOptions(Struct, frozen=True):
    """The effective options of one stream.

    Attributes:
        heartbeat_s: The longest silence before a heartbeat, in seconds.
        conflate_s: The shortest time between two windows of changes, in seconds; 0 turns
            conflation off.
        freshness: Whether the stream also carries confirmation times.
    """

    selection: Selection
    image: ImageMode
    policy: SlowReaderPolicy
    heartbeat_s: float
    conflate_s: float
    freshness: bool = False
