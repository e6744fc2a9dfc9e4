"""Recorded matches with hidden ids are joined by their names, and nothing else is.

`pytest -rP tests/reconcile/test_recorded.py` prints the figures.
"""

import json
import time
import zipfile
from datetime import datetime, timedelta

import pytest

from odds_service.model.match import SourceRef
from odds_service.reconcile import Reconciler
from odds_service.reconcile.pairs import NEAR
from odds_service.reconcile.words import SAME_SIDES_H
from tests.reconcile.crowd import MATCHES, Crowd, crowd, variants
from tests.reconcile.showing import Verdict, judge, observed, partition
from tests.support.recorded import ODDS_API, RECORDED, needs_recorded

pytestmark = [
    needs_recorded,
    pytest.mark.skipif(not (RECORDED / "betpawa").is_dir(), reason="no recorded matches"),
]


def reconciled(day: Crowd) -> tuple[set[frozenset[SourceRef]], float]:
    """Return the groups of everything that the sources show, and the seconds that it took."""
    reconciler = Reconciler()
    began = time.perf_counter()
    for source, events in day.sources.items():
        reconciler.place(observed(source, events), {})
    took = time.perf_counter() - began
    refs = [(source, event.source_event_id) for source, events in day.sources.items()
            for event in events]  # fmt: skip
    return partition(reconciler, refs), took


def tell(what: str, verdict: Verdict) -> None:
    print(f"{what}: precision {verdict.precision:.4f}, recall {verdict.recall:.4f}"  # noqa: T201
          f" ({verdict.right} pairs right, {len(verdict.wrong)} wrong,"
          f" {len(verdict.missed)} missed)")  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_recorded_matches_meet_by_name_among_the_leagues(seed: int) -> None:
    day = crowd(seed)
    assert sum(map(len, day.sources.values())) > 500
    found, took = reconciled(day)
    verdict = judge(found, day.truth)
    tell(
        f"day {seed}, {sum(map(len, day.sources.values()))} source events in {took:.2f} s", verdict
    )
    assert verdict.wrong == []
    assert verdict.recall >= 0.9
    of_recorded = judge(found, [group for group in day.truth if ("betpawa", MATCHES[0]) in group])
    assert of_recorded.missed == []


def test_each_recorded_match_is_one_event_at_all_three() -> None:
    found, _ = reconciled(crowd(0))
    for name in MATCHES:
        assert frozenset({("sportybet", name), ("betpawa", name), ("bet9ja", name)}) in found


def test_every_kind_of_variant_is_found_and_none_is_taken_for_another() -> None:
    verdicts = {kind: judge(reconciled(day)[0], day.truth) for kind, day in variants()}
    for kind, verdict in verdicts.items():
        tell(kind, verdict)
    assert {kind: verdict.wrong for kind, verdict in verdicts.items() if verdict.wrong} == {}
    assert all(verdict.recall >= 0.9 for verdict in verdicts.values())


def test_the_windows_hold_what_the_recorded_starts_moved_by() -> None:
    """Sources learn of a moved start at different times; until then they differ by the move."""
    moves: list[timedelta] = []
    for path in sorted(ODDS_API.glob("*.zip")):
        starts: dict[str, datetime] = {}
        with zipfile.ZipFile(path) as series:
            for name in sorted(series.namelist()):
                body = json.loads(series.read(name)) if name.endswith(".json") else []
                for event in body if isinstance(body, list) else []:
                    if "commence_time" in event:
                        start = datetime.fromisoformat(event["commence_time"])
                        before = starts.setdefault(event["id"], start)
                        if before != start:
                            moves.append(abs(start - before))
                        starts[event["id"]] = start
    within = {
        limit: sum(move <= limit for move in moves) / len(moves)
        for limit in (NEAR, timedelta(hours=1), timedelta(hours=SAME_SIDES_H["soccer"]))
    }
    shares = [round(100 * share) for share in within.values()]
    print(f"{len(moves)} moved starts: {shares} % within {[*map(str, within)]}")  # noqa: T201
    assert (len(moves), shares) == (213, [59, 88, 95])
