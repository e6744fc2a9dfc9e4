"""Stored changes of sources as columns of OUTAGES."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from odds_service.columns.arrow import batch_of
from odds_service.columns.decoding import AT, Row
from odds_service.columns.schema import OUTAGES
from odds_service.filters.selection import EVERYTHING, Selection
from odds_service.model.change import ChangeKind
from odds_service.model.source import SourceState, SourceStatus

_STATES: Final = {
    int(ChangeKind.SOURCE_UP): "up",
    int(ChangeKind.SOURCE_STALE): "stale",
    int(ChangeKind.SOURCE_DOWN): "down",
}
_decode = msgspec.json.Decoder(SourceState | None).decode


def outages_batch(rows: Sequence[Row], selection: Selection = EVERYTHING) -> Any:
    """Return a RecordBatch of OUTAGES for rows of source_rows(); malformed ones are left out."""
    found: dict[str, list[Any]] = {name: [] for name in OUTAGES.names}
    for row in rows:
        if not selection.takes_source(row[AT["source"]]):
            continue
        try:
            before, after = _decode(row[AT["before"]] or "null"), _decode(row[AT["after"]])
        except msgspec.MsgspecError:
            continue
        if after is None:
            continue
        announced = None if before is None else before.announced
        cells = {
            "revision": row[AT["revision"]],
            "observed_at": row[AT["observed_at"]],
            "detected_at": row[AT["detected_at"]],
            "source": row[AT["source"]],
            "status_before": None if announced is None else SourceStatus(announced).name.lower(),
            "status_after": _STATES[row[AT["kind"]]],
            "reason": after.reason or None,
            "detail": after.detail or None,
            "failures": after.consecutive_failures,
            "last_success_at": after.last_success_at,
        }
        for name, value in cells.items():
            found[name].append(value)
    return batch_of(OUTAGES, found)
