"""The one column of snapshots that is no plain value: market types that lag behind."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from odds_service.model.snapshot import Seen

_LAGGING: Final = msgspec.json.Decoder(dict[str, datetime])


def packed_lagging(lagging: Mapping[str, Seen]) -> str | None:
    """The column of market types that the last look did not show; None where there are none."""
    if not lagging:
        return None
    return msgspec.json.encode({name: seen.at for name, seen in lagging.items()}).decode()


def lagging_from(text: str | None) -> dict[str, Seen]:
    """Read the column back. The boot clock at those looks is that of an earlier start: none."""
    if not text:
        return {}
    return {name: Seen(at, 0.0) for name, at in _LAGGING.decode(text).items()}
