"""Faults in random order on the whole service: nothing lost, nothing twice, nothing out of order.

Every change announced as durable must be in the history (or as a placeholder), each revision once
and without a hole. odds_current must equal the fold of odds_history, and the dead letters must be
exactly the refused rows. After a clean stop every cursor resumes; after a crash only cursors beyond
the stored log get an image.
"""

import json
import logging
import os
import random
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeVar

import pytest
import trio

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.faults.faults import FAULTS, Fault
from tests.faults.rig import REFUSED_EVERY, Run, rigged
from tests.faults.sqlite_faults import OF_DISKS, SQLITE_FAULTS
from tests.faults.sqlite_rig import rigged_sqlite
from tests.faults.stored import HISTORY, told_by, verified
from tests.support.disks import no_disks
from tests.support.watching import odds_in

log = logging.getLogger(__name__)

R = TypeVar("R", bound=Run)

LONG: Final = int(os.environ.get("ODDS_FAULT_TIMES", "100"))  # times each fault strikes


@pytest.mark.parametrize(
    "times",
    [
        pytest.param(1, id="short", marks=pytest.mark.timeout(900)),  # time-outs take their time
        pytest.param(LONG, id="long", marks=pytest.mark.long),
    ],
)
async def test_every_fault_in_random_order(times: int, tmp_path: Path) -> None:
    rng = random.Random(times)
    order: list[Fault] = [fault for fault in FAULTS for _ in range(times)]
    async with rigged(tmp_path) as rig:
        await _struck(rig, order, rng)
        checked = await _stopped_and_checked(rig)
    assert rig.counts["open transactions struck"] >= times
    # A busy machine may spill in place of draining.
    assert rig.counts["stops that drained"] + rig.counts["stops that spilled"] > times
    assert rig.counts["stops that drained"] > 0 or times == 1
    assert rig.served.retries > 0
    log.info("%s", json.dumps(dict(rig.counts) | checked, indent=1))


@pytest.mark.parametrize(
    "times", [pytest.param(1, id="short"), pytest.param(LONG, id="long", marks=pytest.mark.long)]
)
async def test_every_fault_of_files_in_random_order(times: int, tmp_path: Path) -> None:
    rng = random.Random(times)
    async with rigged_sqlite(tmp_path) as rig:
        faults = [f for f in SQLITE_FAULTS if rig.disk is not None or f not in OF_DISKS]
        order = [fault for fault in faults for _ in range(times)]
        await _struck(rig, order, rng)
        checked = await _stopped_and_checked(rig)
    assert rig.counts["stops that spilled"] >= times
    log.info("%s", json.dumps(dict(rig.counts) | checked, indent=1))
    if rig.disk is None:
        pytest.skip(f"{no_disks()}: all faults but those of a full disk were struck")


async def _struck(
    rig: R, faults: list[Callable[[R, random.Random], Awaitable[None]]], rng: random.Random
) -> None:
    """Strike with faults in random order; after each the service must catch up."""
    rng.shuffle(faults)
    await rig.recovered()
    for number, fault in enumerate(faults, 1):
        await trio.sleep(rng.uniform(0.0, 0.3))  # so that faults come at different moments
        log.info("%s", fault.__name__)
        began = trio.current_time()
        await fault(rig, rng)
        await rig.recovered()
        rig.counts[fault.__name__] += 1
        took_s = trio.current_time() - began
        log.info("%d/%d %s %.1f s", number, len(faults), fault.__name__, took_s)


async def _stopped_and_checked(rig: Run) -> dict[str, int]:
    """Stop the service and check everything; return what was counted."""
    await _equal_at_rest(rig)
    await rig.served.stop()
    rig.ends.append("stopped")
    rig.witness.close()
    checked = _check(rig)
    assert rig.served.retries > 0
    return checked


async def _equal_at_rest(rig: Run) -> None:
    """Stop the bookmaker; then the witness's map must equal the reply of GetOdds."""
    rig.bookmaker.stop()
    await trio.sleep(1.0)  # pending changes are applied
    await rig.recovered()
    served = await rig.served.odds()
    with trio.fail_after(60):
        while rig.witness.cursor != served.cursor:
            served = await rig.served.odds()  # a source went down in between
            await trio.sleep(0.1)
    assert rig.witness.odds == odds_in(iter(served.events))


def _check(rig: Run) -> dict[str, int]:
    """Check the stored rows against the witness's record."""
    (state,) = rig.rows("SELECT durable_revision FROM feed_state")
    durable = int(state[0])
    verified(rig.url)
    history: dict[int, int] = {}
    unstored: set[int] = set()
    for row in rig.rows(HISTORY):
        revision = int(row[0])
        assert revision == len(history) + len(unstored) + 1, "a hole, or one twice"
        if row[1] == "0":
            unstored.add(revision)
        else:
            history[revision] = told_by(row)
    assert len(history) + len(unstored) == durable
    expected = {r for r in range(1, durable + 1) if r % REFUSED_EVERY == 0}
    assert unstored == expected
    letters = rig.rows("SELECT revision, reason FROM dead_letters")
    assert sorted(int(revision) for revision, _ in letters) == sorted(expected)
    assert all("refused_by_the_test" in reason for _, reason in letters)
    checked = 0
    for epoch, revision, what in rig.witness.told_durable():
        assert revision in unstored or history[revision] == what, (epoch, revision)
        checked += 1
    assert checked > 0
    _check_cursors(rig)
    return {
        "changes": durable,
        "changes told durable and found": checked,
        "refused": len(letters),
        "service starts": rig.served.starts,
        "streams reopened": len(rig.witness.reopened),
        "writer retries seen": rig.served.retries,
    } | rig.struck()


def _check_cursors(rig: Run) -> None:
    """Check that each cursor resumed as the rule of epochs demands."""
    epochs = [
        (epoch, int(first))
        for epoch, first in rig.rows("SELECT epoch, first_revision FROM epochs ORDER BY place")
    ]
    first_after = {epoch: later[1] for (epoch, _), later in pairwise(epochs)}
    assert len(epochs) == rig.served.starts == len(rig.ends)
    ended = {epoch: how for (epoch, _), how in zip(epochs, rig.ends, strict=True)}
    for (epoch, revision), now, intent, reason in rig.witness.reopened:
        lost = epoch != now and revision >= first_after[epoch]
        if lost:
            assert ended[epoch] == "killed", "a clean stop lost a cursor"
            assert (intent, reason) == (pb.INTENT_IMAGE, pb.INTENT_REASON_EPOCH_CHANGED)
        elif intent == pb.INTENT_IMAGE:
            assert reason == pb.INTENT_REASON_HISTORY_GAP, reason
