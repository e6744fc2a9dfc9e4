"""Every change in a message counts once in its delays, and what a filter derives does not."""

import asyncio
import random
from collections.abc import Set as AbstractSet

import pytest
from msgspec.structs import replace

from odds_service.delays import CONFLATED_SENT, DETECTED_SENT, Delays
from odds_service.filters.filtering import ENTERED_FILTER
from odds_service.model.change import Reason
from odds_service.serving import reading
from odds_service.serving.reading import LogReader
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.filters.test_filtering import SELECTIONS
from tests.pipeline.test_detect import Stage
from tests.support.odds_builders import random_observations

DERIVED = {ENTERED_FILTER, Reason.LEFT_FILTER}


def counted(body: bytes, untimed: AbstractSet[int] = frozenset()) -> int:
    """Return the number of changes that the delays of a message must count."""
    return sum(
        change.HasField("after") and change.reason not in DERIVED and change.revision not in untimed
        for change in pb.Changes.FromString(body).changes
    )


def total(delays: Delays, stage: str) -> int:
    return sum(
        sum(each.buckets)
        for tier in ("soon", "later")
        for each in delays.report("toa", tier)
        if each.stage == stage
    )


@pytest.mark.parametrize("name", SELECTIONS)
@pytest.mark.parametrize("body_bytes", [300, 1_000_000])
async def test_a_message_counts_its_changes_by_the_tier_of_their_pull(
    name: str, body_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_BODY_BYTES", body_bytes)
    selection, rng = SELECTIONS[name], random.Random(5)
    stage = Stage(capacity=10**6)
    for observation in random_observations(rng, 30):
        # What judged sources or restarts change has no tier.
        tier = rng.choice(("soon", "later", ""))
        await stage.detector.observe(replace(observation, tier=tier))
    untimed = {
        change.revision
        for commit in stage.feed.read_after(0, 10**6) or []
        if commit.timing is None
        for change in commit.changes
    }
    delays = Delays()
    reader = LogReader(stage.cache, stage.feed, delays)
    expected = revision = 0
    while revision < stage.feed.head_revision:
        piece = reader.read(selection, revision)
        expected += sum(counted(body, untimed) for body in piece.bodies)
        if piece.parcel is not None:
            piece.parcel.begin(piece.parcel.begun_s + 1)
            piece.parcel.count()
        revision = piece.revision
    assert total(delays, DETECTED_SENT) == expected
    assert total(delays, CONFLATED_SENT) == 0
    assert expected or name in {"other sport", "events"}  # which select no event of this stage


def test_a_window_counts_apart_what_it_sends_and_not_what_it_folds() -> None:
    stage = Stage(capacity=10**6)
    for observation in random_observations(random.Random(5), 30):
        stage.detector.apply(replace(observation, tier="soon"))
    delays, head = Delays(), stage.feed.head_revision
    reader = LogReader(stage.cache, stage.feed, delays)
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        piece = runner.run(reader.window(SELECTIONS["everything"], 0, head))
    assert piece.parcel is not None
    piece.parcel.begin(piece.parcel.begun_s + 1)
    piece.parcel.count()
    sent = sum(counted(body) for body in piece.bodies)
    assert 0 < sent < head
    assert total(delays, CONFLATED_SENT) == sent
    assert total(delays, DETECTED_SENT) == 0
