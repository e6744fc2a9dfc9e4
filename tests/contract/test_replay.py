"""Replay by the proto: an image of the past, the changes after it, gaps, cuts and refusals."""

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
import trio
from google.protobuf.duration_pb2 import Duration

from odds_service.model.cursor import is_amid
from odds_service.serving import past_image, replay, row_frames, stored
from odds_service.serving.errors import Refused
from odds_service.serving.server import Server
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.contract.calling import eventful, everything, history, refused
from tests.serving.test_restricted import TOKENS, client_of, settings, two_sources
from tests.support.observations import NOON
from tests.support.odds_builders import EPOCH, Bookkeeping, Client, connected, serving
from tests.support.watching import Fold, Odds, odds_in

HALF_SECOND = Duration(nanos=500_000_000)


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make small logs take several pages, and their images several groups."""
    monkeypatch.setattr(stored, "PAGE_CHANGES", 7)
    monkeypatch.setattr(past_image, "_GROUP_EVENTS", 2)


def at(revision: int) -> pb.Cursor:
    return pb.Cursor(epoch=EPOCH, revision=revision)


async def replayed(client: Client, **fields: Any) -> list[pb.ReplayResponse]:
    messages = await everything(client, "Replay", pb.ReplayRequest(**fields))
    assert messages[0].WhichOneof("message") == "opened"
    assert messages[-1].WhichOneof("message") == "end"
    return messages


def inner(message: pb.ReplayResponse) -> Any:
    """Return the message inside."""
    kind = message.WhichOneof("message")
    assert kind is not None
    return getattr(message, kind)


def folded(messages: Sequence[pb.ReplayResponse], fold: Fold | None = None) -> Fold:
    """Fold messages, which checks that each follows the one before it."""
    fold = fold or Fold()
    for message in messages:
        assert message.ByteSize() <= 2**20
        if message.HasField("end"):
            assert fold.cursor is not None
            assert message.end.prev_revision == fold.cursor.revision
            break
        fold.take(pb.WatchChangesResponse.FromString(message.SerializeToString()))
    return fold


def changes_in(messages: Sequence[pb.ReplayResponse]) -> list[pb.Change]:
    return [change for message in messages for change in message.changes.changes]


async def odds_as_of(client: Client, revision: int, **where: Any) -> Odds:
    request = pb.GetOddsRequest(as_of_cursor=at(revision), filter=pb.Filter(**where))
    reply = await client.call("GetOdds", request)
    return odds_in(iter(reply.events))


@pytest.mark.parametrize(
    "where", [{}, {"bookmakers": ["b1"]}, {"sports": ["soccer"], "markets": ["h2h"]}]
)
async def test_the_image_and_the_changes_are_those_of_the_log(where: dict[str, Any]) -> None:
    book = eventful()
    head, rng = book.feed.head_revision, random.Random(1)
    async with serving(book) as server:
        with connected(server.address) as client:
            for _ in range(8):
                start, end = sorted(rng.sample(range(head + 1), 2))
                span = {"from_cursor": at(start), "to_cursor": at(end), "filter": where}
                messages = await replayed(client, **span)
                kinds = [message.WhichOneof("message") for message in messages]
                image = kinds.index("image_end") + 1
                assert folded(messages[:image]).odds == await odds_as_of(client, start, **where)
                fold = folded(messages)
                assert fold.odds == await odds_as_of(client, end, **where)
                assert fold.changes == await history(client, **span)
                assert messages[-1].end.cursor.revision == end


async def test_times_bound_the_span_as_those_of_history() -> None:
    book = eventful()
    request: dict[str, Any] = {
        "from_time": NOON + timedelta(minutes=5), "to_time": NOON + timedelta(minutes=20)
    }  # fmt: skip
    async with serving(book) as server:
        with connected(server.address) as client:
            expected = await history(client, **request)
            messages = await replayed(client, **request)
            assert folded(messages).changes == expected != []
            everything_kept = await replayed(client)
            assert folded(everything_kept).changes == await history(client)


async def test_the_states_of_sources_are_those_of_the_start() -> None:
    book = eventful()
    async with serving(book) as server:
        with connected(server.address) as client:
            past = pb.GetOddsRequest(as_of_cursor=at(9))
            expected = list((await client.call("GetOdds", past)).sources)
            opened, begin, *_ = await replayed(client, from_cursor=at(9))
            assert list(opened.opened.sources) == expected
            assert list(begin.image_begin.sources) == expected


async def test_cut_after_any_message_it_is_resumed_without_loss() -> None:
    book = eventful()
    async with serving(book) as server:
        with connected(server.address) as client:
            where = {"bookmakers": ["b2"]}
            span: dict[str, Any] = {"from_cursor": at(5), "to_cursor": at(60), "filter": where}
            messages = await replayed(client, **span)
            whole = folded(messages)
            for cut, message in enumerate(messages[:-1], 1):
                last = inner(message)
                rest = await replayed(client, **span, resume=last.cursor)
                inside = last.cursor.epoch != EPOCH
                assert (rest[0].opened.intent == pb.INTENT_IMAGE) is inside
                begun = folded(messages[:cut])
                resumed = folded(rest, Fold() if inside else Fold(begun.odds, begun.cursor))
                assert resumed.odds == whole.odds
                known = [] if inside else begun.changes
                assert known + resumed.changes == whole.changes
            wrong = pb.ReplayRequest(**span, resume=at(61))
            assert (await refused(client, "Replay", wrong)).field == "resume"


async def test_changes_that_were_not_stored_are_told_and_an_image_follows() -> None:
    book = eventful()
    book.refused = {12, 13, 30}
    async with serving(book) as server:
        with connected(server.address) as client:
            messages = await replayed(client, from_cursor=at(3), to_cursor=at(40))
            lagged = [m.lagged for m in messages if m.HasField("lagged")]
            assert [(each.lost_from, each.lost_to) for each in lagged] == [(12, 13), (30, 30)]
            assert {each.reason for each in lagged} == {pb.INTENT_REASON_HISTORY_GAP}
            told = [c.revision for m in messages for c in m.changes.changes]
            assert told == [r for r in range(4, 41) if r not in book.refused]
            assert sum(m.HasField("image_end") for m in messages) == 3


async def test_what_is_not_kept_or_of_another_log_is_refused() -> None:
    book = eventful()
    book.stored_from = 20
    async with serving(book) as server:
        with connected(server.address) as client:
            found = await refused(client, "Replay", pb.ReplayRequest(from_cursor=at(3)))
            assert (found.code, found.reason) == ("OUT_OF_RANGE", "NOT_KEPT")
            assert found.metadata["floor"] == "20"
            another = pb.ReplayRequest(from_cursor=pb.Cursor(epoch="another", revision=3))
            assert (await refused(client, "Replay", another)).reason == "EPOCH_CHANGED"
            ahead = pb.ReplayRequest(to_cursor=at(10**6))
            assert (await refused(client, "Replay", ahead)).reason == "AHEAD_OF_SERVER"


async def test_what_retention_overtakes_is_told() -> None:
    book = eventful()
    async with serving(book) as server:
        with connected(server.address) as client:
            with client.stream("Replay", pb.ReplayRequest(from_cursor=at(2))) as stream:
                await stream.next()
                book.stored_from = book.feed.head_revision
                error = await stream.error()
            assert error.code().name == "OUT_OF_RANGE"


async def test_a_silent_search_sends_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    book = eventful()
    monkeypatch.setattr("odds_service.serving.replay.HEARTBEAT_S", 0.0)
    async with serving(book) as server:
        with connected(server.address) as client:
            nothing = {"event_ids": ["nobody"], "sources": ["x"]}
            messages = await replayed(client, filter=nothing)
            beats = [m.heartbeat for m in messages if m.HasField("heartbeat")]
            assert beats[-1].cursor.revision == book.feed.head_revision
            assert all(beat.sent_at.ToDatetime() >= NOON.replace(tzinfo=None) for beat in beats)
            folded(messages)


async def live_changes(client: Client, start: int, head: int, where: Any) -> list[pb.Change]:
    found: list[pb.Change] = []
    with client.watch(resume=at(start), filter=where, heartbeat=HALF_SECOND) as stream:
        while True:
            message = await stream.next()
            found += message.changes.changes
            if getattr(message, message.WhichOneof("message")).cursor.revision == head:
                return found


@pytest.mark.parametrize("where", [{"in_play": False}, {"start_to": NOON + timedelta(minutes=60)}])
async def test_events_enter_and_leave_a_filter_as_in_the_live_stream(where: Any) -> None:
    book = eventful()
    async with serving(book) as server:
        with connected(server.address) as client:
            expected = await live_changes(client, 5, book.feed.head_revision, where)
            messages = await replayed(client, from_cursor=at(5), filter=where)
            assert changes_in(messages) == expected != []


async def test_what_one_message_cannot_hold_is_resumed_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    book = eventful()
    async with serving(book) as server:
        with connected(server.address) as client:
            span: dict[str, Any] = {"from_cursor": at(5), "filter": {"in_play": False}}
            whole = changes_in(await replayed(client, **span))
            monkeypatch.setattr(row_frames, "_BODY_BYTES", 400)
            messages = await replayed(client, **span)
            assert changes_in(messages) == whole
            parts = [place for place, message in enumerate(messages, 1)
                     if is_amid(inner(message).cursor.epoch)]  # fmt: skip
            assert parts
            for cut in parts:
                cursor = inner(messages[cut - 1]).cursor
                rest = await replayed(client, **span, resume=cursor)
                assert rest[0].opened.intent == pb.INTENT_CHANGES
                before = [each for each in whole if each.revision <= cursor.revision]
                assert before + changes_in(rest) == whole


@pytest.mark.parametrize("token", sorted(TOKENS))
async def test_a_restricted_token_sees_its_part_only(token: str) -> None:
    book = two_sources(3, 40)
    async with serving(book, settings=settings()) as server:
        with client_of(server.address, f"token-of-{token}") as client:
            with client.watch(image=pb.IMAGE_MODE_ONLY) as stream:
                epoch = (await stream.next()).opened.cursor.epoch.removeprefix("part-")
            head = book.feed.head_revision
            start = pb.Cursor(epoch=epoch, revision=10)
            found: list[pb.Change] = []
            with client.watch(resume=start, heartbeat=HALF_SECOND) as stream:
                while True:
                    message = await stream.next()
                    found += message.changes.changes
                    if getattr(message, message.WhichOneof("message")).cursor.revision == head:
                        break
            messages = await replayed(client, from_cursor=start)
            assert [c for m in messages for c in m.changes.changes] == found
            reply = await client.call("GetOdds", pb.GetOddsRequest(as_of_cursor=start))
            pieces = [entry for m in messages for entry in m.image.events]
            assert odds_in(iter(pieces)) == odds_in(iter(reply.events))
            sources = {state.source for m in messages for state in m.opened.sources}
            assert sources == {state.source for state in reply.sources}


class Taker:
    """The context of a call whose client takes each message slowly."""

    def __init__(self, server: Server, book: Bookkeeping, stops_at: int = 0) -> None:
        self.room = server._running.room
        self.messages: list[pb.ReplayResponse] = []
        self.reads: list[int] = []
        self._book = book
        self._stops_at = stops_at

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def time_remaining(self) -> float | None:
        return None

    async def write(self, message: bytes) -> None:
        await asyncio.sleep(0.002)  # room for a server that would read on
        self.messages.append(pb.ReplayResponse.FromString(message))
        self.reads.append(self._book.reads)
        if len(self.messages) == self._stops_at:
            self.room.context.hub.end()

    async def take(self, request: pb.ReplayRequest) -> None:
        """Run the call on the server's loop to its end."""
        work = replay.replay(self.room.context, request, self)
        loop = self.room.context.loop
        await trio.to_thread.run_sync(asyncio.run_coroutine_threadsafe(work, loop).result, 60)


async def test_a_slow_client_is_waited_for() -> None:
    book = eventful()
    async with serving(book) as server:
        taker = Taker(server, book)
        await taker.take(pb.ReplayRequest())
        assert taker.messages[-1].HasField("end")
        pages = [
            reads
            for message, reads in zip(taker.messages, taker.reads, strict=True)
            if message.HasField("changes")
        ]
        assert len(pages) > 10
        assert all(later - earlier <= 2 for earlier, later in pairwise(pages))


@pytest.mark.parametrize("messages", [2, 9])
async def test_a_server_that_stops_says_where_to_resume(messages: int) -> None:
    book = eventful()
    async with serving(book) as server:
        taker = Taker(server, book, stops_at=messages)
        with pytest.raises(Refused) as refusal:
            await taker.take(pb.ReplayRequest(from_cursor=at(30)))
        assert refusal.value.code.name == "UNAVAILABLE"
        *before, last = taker.messages
        assert len(before) == messages
        assert last.closing.reason == "server_stopping"
        told = inner(before[-1]).cursor
        assert last.closing.cursor == told
        assert last.closing.prev_revision == told.revision


async def test_an_image_says_how_many_later_changes_are_unknown() -> None:
    book = eventful()
    async with serving(book) as server:
        with connected(server.address) as client:
            (end,) = [m.image_end for m in await replayed(client) if m.HasField("image_end")]
            assert end.unknown == 0
            book.unknown = 3
            span = {"from_cursor": at(30), "to_cursor": at(31)}
            (end,) = [
                m.image_end for m in await replayed(client, **span) if m.HasField("image_end")
            ]
            assert end.unknown >= 3


async def test_a_server_that_keeps_no_past_says_so() -> None:
    async with serving(Bookkeeping(), stored=False) as server:
        with connected(server.address) as client:
            found = await refused(client, "Replay", pb.ReplayRequest())
            assert (found.code, found.reason) == ("UNIMPLEMENTED", "NO_STORE")
