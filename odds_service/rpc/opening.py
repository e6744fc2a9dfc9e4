"""How a stream of changes begins: with changes or with an image, and why."""

from typing import NamedTuple

from odds_service.model.cursor import is_amid, is_incomplete
from odds_service.rpc.replay import gap_after
from odds_service.rpc.server_context import ServerContext
from odds_service.rpc.watch_options import WatchOptions
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb


class Start(NamedTuple):
    """How a stream opens, and after which revision."""

    intent: pb.Intent.ValueType
    reason: pb.IntentReason.ValueType
    revision: int


async def start_of(serving: ServerContext, terms: WatchOptions, resume: pb.Cursor | None) -> Start:
    """What a stream that wants to resume at a cursor, or at none, opens with."""
    head = serving.parts.feed.head_revision
    if resume is None:
        never = terms.image == pb.IMAGE_MODE_NEVER
        intent = pb.INTENT_UP_TO_DATE if never else pb.INTENT_IMAGE
        return Start(intent, pb.INTENT_REASON_NO_CURSOR, head)
    if terms.image == pb.IMAGE_MODE_ONLY:
        return Start(pb.INTENT_IMAGE, pb.INTENT_REASON_IMAGE_ASKED, head)
    reason = serving.verdict(resume)
    part = is_incomplete(resume.epoch) or (terms.conflate_s and is_amid(resume.epoch))
    if reason == pb.INTENT_REASON_RESUMED and part:
        reason = pb.INTENT_REASON_IMAGE_INCOMPLETE
    if reason == pb.INTENT_REASON_RESUMED:
        if resume.revision == head:
            return Start(pb.INTENT_UP_TO_DATE, reason, head)
        reason = await _reaches_back(serving, terms, resume.revision)
        if reason == pb.INTENT_REASON_RESUMED:
            return Start(pb.INTENT_CHANGES, reason, resume.revision)
    return Start(pb.INTENT_IMAGE, reason, serving.parts.feed.head_revision)


async def _reaches_back(
    serving: ServerContext, terms: WatchOptions, revision: int
) -> pb.IntentReason.ValueType:
    """Return whether all changes after a revision can be had, RESUMED, or why not."""
    oldest_in_memory = serving.parts.feed.oldest_revision
    if revision >= oldest_in_memory - 1:
        return pb.INTENT_REASON_RESUMED
    store = serving.parts.store
    if store is None or terms.policy == pb.SLOW_READER_POLICY_LATEST:
        return pb.INTENT_REASON_TOO_OLD
    gap = await gap_after(serving, store, revision, oldest_in_memory - 1)
    return pb.INTENT_REASON_RESUMED if gap is None else gap.reason
