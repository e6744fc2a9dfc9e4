"""Faults of a cluster in random order: every client's odds are the log's, at every heartbeat.

Clients change nodes at random with their cursors meanwhile. Nothing that was told as durable may be
missing from the history, no revision may be there twice or leave a hole, and nobody may fall behind
silently: after each fault every client must reach what was stored.
"""

import json
import logging
import os
import random
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.cluster.checking import checked
from tests.cluster.faults import FAULTS, Fault
from tests.cluster.rig import Cluster, cluster

log = logging.getLogger(__name__)

LONG: Final = int(os.environ.get("ODDS_FAULT_TIMES", "100"))  # times each fault strikes


@pytest.mark.parametrize(
    ("times", "events"),
    [
        pytest.param(3, 10, id="thrice", marks=pytest.mark.timeout(1_800)),
        pytest.param(LONG, 50, id="long", marks=pytest.mark.long),
    ],
)
async def test_every_fault_of_a_cluster_in_random_order(
    times: int, events: int, tmp_path: Path
) -> None:
    rng = random.Random(times)
    order: list[Fault] = [fault for fault in FAULTS for _ in range(times)]
    rng.shuffle(order)
    async with cluster(tmp_path, events) as rig:
        await rig.recovered()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.wander, rng)
            await _struck(rig, order, rng)
            nursery.cancel_scope.cancel()
        counts = await checked(rig)
    log.info("%s", json.dumps(dict(rig.counts) | counts, indent=1))


async def _struck(rig: Cluster, order: list[Fault], rng: random.Random) -> None:
    for number, fault in enumerate(order, 1):
        await trio.sleep(rng.uniform(0.0, 0.3))  # so that faults come at different moments
        began = trio.current_time()
        await fault(rig, rng)
        await rig.recovered()
        rig.counts[fault.__name__] += 1
        took_s = trio.current_time() - began
        log.info("%d/%d %s %.1f s", number, len(order), fault.__name__, took_s)
