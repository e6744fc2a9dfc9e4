"""States of sources, and records of pulls, as rows."""

import msgspec

from odds_service.model.change import SourceChange
from odds_service.model.scrape_run import ScrapeRun
from odds_service.model.source import SourceState, told_by_word
from odds_service.storage.rows import Unreadable, Values
from odds_service.storage.rows.odds import aware

_encode = msgspec.json.Encoder().encode
_decode_state = msgspec.json.Decoder(SourceState).decode


def state_from(state: str) -> SourceState:
    """Decode a source's state. Raises Unreadable."""
    try:
        found = _decode_state(state)
    except msgspec.MsgspecError as error:
        raise Unreadable(str(error)) from None
    success = found.last_success_at
    if success is not None and success.tzinfo is None:
        found = msgspec.structs.replace(found, last_success_at=aware(success))
    return told_by_word(found)


def state_row(change: SourceChange) -> Values:
    return {
        "source": change.source,
        "state": _encode(change.after).decode(),
        "revision": change.revision,
    }


def run_row(run: ScrapeRun) -> Values:
    return msgspec.structs.asdict(run) | {"problems": _encode(run.problems).decode()}
