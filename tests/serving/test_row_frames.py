"""Frames become messages: groups stay together where they fit, and each place is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odds_service.serving import row_frames
from odds_service.serving.row_frames import Frame, bodies

LIMIT = 100

groups = st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=4), max_size=8)


@given(groups, st.booleans())
def test_bodies_hold_all_frames_and_split_only_groups_that_do_not_fit(
    sizes: list[list[int]], joined: bool
) -> None:
    """A group has one revision, or is the two halves of a move with one each."""
    frames: list[Frame] = []
    revision = 0
    for group in sizes:
        first = revision = revision + 2  # a filter leaves some out
        for place, size in enumerate(group):
            revision += bool(place) and not joined
            frames.append(Frame(revision, first, bytes([len(frames)]) * size))
    reached = revision + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_frames, "_BODY_BYTES", LIMIT)
        found = list(bodies(frames, reached))
    assert b"".join(body.wire for body in found) == b"".join(frame.wire for frame in frames)
    assert found[-1].revision == reached
    assert not found[-1].amid
    sent = 0
    for body in found:
        assert len(body.wire) <= LIMIT
        assert body.changes == len(set(body.wire))
        sent += body.changes
        if sent == len(frames):
            continue
        following = frames[sent]
        assert body.amid is (frames[sent - 1].group == following.group)
        assert body.revision == following.group - 1
        if body.amid:
            parts = [len(frame.wire) for frame in frames if frame.group == following.group]
            assert sum(parts) > LIMIT
