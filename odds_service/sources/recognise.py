"""Detection of the provider of an event's body, by its shape."""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from odds_service.decoding import JsonDecoder
from odds_service.errors import SourceError
from odds_service.model.observation import ObservedEvent
from odds_service.sources import bet9ja_body, betpawa_body, sportybet_body
from odds_service.sources.markets.coverage import Coverage

Reader = Callable[[bytes | msgspec.Raw, Counter[str], Coverage | None], ObservedEvent]

READERS: Final[dict[str, Reader]] = {
    sportybet_body.BOOKMAKER: sportybet_body.read_event,
    betpawa_body.BOOKMAKER: betpawa_body.read_event,
    bet9ja_body.BOOKMAKER: bet9ja_body.read_event,
}


class _Shape(Struct):
    """Fields that only one provider has."""

    bizCode: Any = msgspec.UNSET
    R: Any = msgspec.UNSET
    markets: Any = msgspec.UNSET


_shape = JsonDecoder(_Shape)


def recognise(body: bytes) -> str:
    """Return the provider of a body.

    Raises:
        SourceError: of kind `truncated` (not JSON) or `unknown_provider`.
    """
    try:
        shape = _shape.decode(body)
    except msgspec.ValidationError:
        shape = _Shape()
    except msgspec.DecodeError as error:
        raise SourceError("truncated", f"broken JSON: {error}") from None
    if shape.bizCode is not msgspec.UNSET:
        return sportybet_body.BOOKMAKER
    if shape.R is not msgspec.UNSET:
        return bet9ja_body.BOOKMAKER
    if shape.markets is not msgspec.UNSET:
        return betpawa_body.BOOKMAKER
    raise SourceError("unknown_provider", f"not an event of {', '.join(READERS)}")
