"""The check of a run: what the clients saw against the rows of the database."""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import trio

from odds_service.model.change import ChangeKind
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.cluster.rig import WAIT_S, Cluster
from tests.faults.stored import HISTORY, place_in, prices_in, told_by, verified
from tests.faults.witness import Mark, Reopened, number_of
from tests.support.watching import Odds, odds_in

Epochs = list[tuple[str, int]]


async def checked(rig: Cluster) -> dict[str, int]:
    """Let the cluster come to rest, and check everything; return what was counted."""
    await _equal_at_rest(rig)
    for watcher in rig.watchers:
        watcher.close()
    return await trio.to_thread.run_sync(_check, rig)


async def _equal_at_rest(rig: Cluster) -> None:
    """Stop the bookmaker; then all nodes and watchers must hold the same odds."""
    rig.bookmaker.stop()
    deadline = trio.current_time() + WAIT_S
    while True:
        await trio.sleep(1.0)  # sources go down in between
        durable = await trio.to_thread.run_sync(rig.durable)
        served = [await trio.to_thread.run_sync(node.odds) for node in rig.read]
        reached = [each.cursor.revision for each in served]
        reached += [w.cursor.revision for w in rig.watchers if w.cursor is not None]
        if all(revision == durable for revision in reached):
            break
        assert trio.current_time() < deadline, (durable, reached)
    for each in served:
        for watcher in rig.watchers:
            assert watcher.odds == odds_in(iter(each.events))


def _check(rig: Cluster) -> dict[str, int]:
    verified(rig.postgres.url())
    stored = rig.durable()  # before the rows: a source may go down in between
    rows = rig.postgres.rows(HISTORY)
    revisions = [int(row[0]) for row in rows]
    assert not (amiss := _amiss(revisions)), f"a hole, or twice: {amiss}"
    assert revisions[-1] >= stored
    # An owner that was fenced may have detected more before it knew; nobody was sent that.
    letters = rig.postgres.rows("SELECT epoch, count(*) FROM dead_letters GROUP BY epoch")
    assert len(letters) <= rig.counts["owners paused"], letters
    epochs = [
        (epoch, int(first))
        for epoch, first in rig.postgres.rows(
            "SELECT epoch, first_revision FROM epochs ORDER BY place"
        )
    ]
    lost = Lost(epochs)
    history = {int(row[0]): told_by(row) for row in rows}
    durable = 0
    for watcher in rig.watchers:
        for epoch, revision, what in watcher.told_durable():
            assert history[revision] == what, (epoch, revision)
            durable += 1
    marks = [mark for watcher in rig.watchers for mark in watcher.marks]
    images = Counter(_image(each, lost) for watcher in rig.watchers for each in watcher.reopened)
    return {
        "changes": len(rows),
        "changes told durable and found": durable,
        "heartbeats compared": _compared(rows, marks, lost),
        "epochs": len(epochs),
        "changes of fenced owners that nobody was sent": sum(int(n) for _, n in letters),
        "streams resumed": sum(len(watcher.reopened) for watcher in rig.watchers),
        "images": sum(watcher.images for watcher in rig.watchers),
        **{f"resumed with {what}": count for what, count in sorted(images.items())},
    }


def _amiss(revisions: list[int]) -> list[tuple[int, int]]:
    """Return the first pairs of neighbours that do not follow each other."""
    return [pair for pair in pairwise([0, *revisions]) if pair[1] != pair[0] + 1][:5]


class Lost:
    """The rule of cursors: those beyond the end of their epoch name what no longer exists."""

    def __init__(self, epochs: Epochs) -> None:
        self._first_after = {epoch: later[1] for (epoch, _), later in pairwise(epochs)}
        self._known = {epoch for epoch, _ in epochs}

    def __call__(self, epoch: str, revision: int) -> bool:
        assert epoch in self._known, f"clients were told of {epoch}, which the database lacks"
        after = self._first_after.get(epoch)
        return after is not None and revision >= after


def _image(each: Reopened, lost: Lost) -> str:
    """Return the outcome of a resume, which must be an image if its odds were lost."""
    reason = pb.IntentReason.Name(pb.IntentReason.ValueType(each.reason))
    if each.intent != pb.INTENT_IMAGE:
        assert not lost(*each.cursor) or each.epoch == each.cursor[0], each
        return "changes"
    return f"an image: {reason}, {'lost' if lost(*each.cursor) else 'not lost'}"


def _compared(rows: Iterable[list[str]], marks: Iterable[Mark], lost: Lost) -> int:
    """Compare the sums of the watchers' odds with those of the fold of the history."""
    wanted: dict[int, set[int]] = {}
    compared = 0
    for mark in marks:
        if not lost(mark.epoch, mark.revision):
            wanted.setdefault(mark.revision, set()).add(mark.sum)
            compared += 1
    odds: Odds = {}
    total = 0
    for row in rows:
        revision, kind = int(row[0]), int(row[1])
        if kind <= ChangeKind.REMOVED:
            place = place_in(row)
            if (before := odds.pop(place, None)) is not None:
                total -= number_of(place, before)
            after = prices_in(row[9])
            if after is not None and after[0] != pb.MARKET_STATUS_REMOVED:
                odds[place] = after
                total += number_of(place, after)
        elif kind == ChangeKind.EVENT_ENDED:
            for place in [place for place in odds if place[0] == row[2]]:
                total -= number_of(place, odds.pop(place))
        if revision in wanted:
            assert wanted[revision] == {total}, f"other odds at revision {revision}"
    return compared
