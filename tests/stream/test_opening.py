"""Openings of a stream, and the wire numbers of their intents and reasons."""

import enum

import pytest
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from odds_service.model.cursor import Cursor
from odds_service.model.market import MarketKey
from odds_service.stream.opening import (
    CheckStored,
    Intent,
    IntentReason,
    Resume,
    Start,
    start_of,
)
from odds_service.stream.options import ImageMode, SlowReaderPolicy
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.loopless import options_of
from tests.support.observations import observe, offered
from tests.support.odds_builders import EPOCH, Bookkeeping


@pytest.mark.parametrize(
    ("ours", "wire", "prefix"),
    [
        (Intent, pb.Intent, "INTENT_"),
        (IntentReason, pb.IntentReason, "INTENT_REASON_"),
        (ImageMode, pb.ImageMode, "IMAGE_MODE_"),
        (SlowReaderPolicy, pb.SlowReaderPolicy, "SLOW_READER_POLICY_"),
    ],
)
def test_the_names_and_numbers_are_those_of_the_wire(
    ours: type[enum.IntEnum], wire: EnumTypeWrapper, prefix: str
) -> None:
    told = {name.removeprefix(prefix): number for name, number in wire.items()}
    del told["UNSPECIFIED"]
    assert {each.name: each.value for each in ours} == told


def book_of(minutes: int, capacity: int) -> Bookkeeping:
    book = Bookkeeping(capacity=capacity)
    for minute in range(minutes):
        offer = {"e": {"b": {MarketKey("h2h"): {"home": 1.5 + minute / 100}}}}
        book.see(observe(offered(offer), minute))
    return book


def test_the_database_is_asked_only_for_what_memory_lacks() -> None:
    book = book_of(20, 4)
    oldest = book.feed.oldest_revision
    good = IntentReason.RESUMED
    for revision in range(book.feed.head_revision):
        resume = Resume(Cursor(EPOCH, revision), good)
        found = start_of(options_of(), resume, book.feed, reads_stored=True)
        if revision >= oldest - 1:
            assert found == Start(Intent.CHANGES, good, revision)
        else:
            assert found == CheckStored(revision, oldest - 1)
            alone = start_of(options_of(), resume, book.feed, reads_stored=False)
            assert alone == Start(Intent.IMAGE, IntentReason.TOO_OLD, book.feed.head_revision)


@pytest.mark.parametrize("image", ImageMode)
def test_without_a_cursor_it_begins_at_the_head(image: ImageMode) -> None:
    book = book_of(3, 100)
    found = start_of(options_of(image=image), None, book.feed, reads_stored=True)
    intent = Intent.UP_TO_DATE if image is ImageMode.NEVER else Intent.IMAGE
    assert found == Start(intent, IntentReason.NO_CURSOR, book.feed.head_revision)
