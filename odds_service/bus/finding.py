"""The place in the log from which a node that knows a revision has to read.

Nodes remember revisions, since a sequence means nothing once the bus has lost a tail. The end
revisions of messages never fall along the log, if a piece of a batch counts as the revision before
the batch until its last piece; so a binary search finds the place in about 20 reads.
"""

from typing import Final

from odds_service.bus.log import Hole, Log, Unavailable
from odds_service.bus.messages import Decoded, Part, decode, end_revision

_TRIES: Final = 10  # searches in a log that changes meanwhile


class _Moved(Exception):
    """A message left the log during the search."""


async def find(log: Log, revision: int) -> int:
    """Return the sequence of the first message after which the log is at `revision` or later.

    For a batch in pieces that is its first piece. A reader who knows `revision` and begins there
    misses nothing, unless the log begins too late: then the first message's `prev_revision` is
    beyond what the reader knows.

    Args:
        log: The log.
        revision: The revision that the reader knows.

    Returns:
        The sequence; that after the last message if the log ends before `revision`.

    Raises:
        Hole: The first pieces of the batch in question have left the log.
        BadMessage: A message of another version.
        Unavailable, Gone, MadeAnew: See Log.append.
    """
    for _ in range(_TRIES):
        try:
            return await _find(log, revision)
        except _Moved:
            continue
    raise Unavailable("the log on the bus discards its messages faster than they can be searched")


async def _find(log: Log, revision: int) -> int:
    info = await log.info()
    low, high = info.first, info.last + 1  # the answer lies between, both ends included
    found: Decoded | None = None  # the message at `high`, if it was read
    while low < high:
        middle = (low + high) // 2
        message = await _read(log, middle)
        if end_revision(message) >= revision:
            high, found = middle, message
        else:
            low = middle + 1
    if found is None and high > info.first:
        # The log may end in pieces of a batch that is still being written.
        last = await _read(log, info.last)
        if isinstance(last, Part) and last.number < last.count and last.revision >= revision:
            high, found = info.last, last
    if isinstance(found, Part):
        begin = high - found.number + 1
        if begin < info.first:
            raise Hole(begin, info.first)
        return begin
    return high


async def _read(log: Log, sequence: int) -> Decoded:
    stored = await log.at(sequence)
    if stored is None:
        raise _Moved
    return decode(stored.message)
