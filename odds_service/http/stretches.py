"""Long encodings in stretches, so that no call waits for the whole of another's."""

from collections.abc import Iterable

from odds_service.serving.stretches import Stretches


async def joined(pieces: Iterable[bytes]) -> bytes:
    """Return pieces as one text, with a pause for other tasks every few milliseconds."""
    found = []
    stretches = Stretches()
    for piece in pieces:
        found.append(piece)
        await stretches.pause()
    return b"".join(found)
