"""Server-Sent Events: ids and kinds, resuming, sharing, pauses, and readers that leave."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import trio
from google.protobuf.json_format import ParseDict
from starlette.types import Message

from odds_service.config import HttpSettings
from odds_service.http.streaming import Events, StreamContext, StreamResponse
from odds_service.model.market import MarketKey
from odds_service.serving import odds
from odds_service.serving.errors import bad_request
from odds_service.serving.server import Server
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.http.sse import Event, events_in
from tests.support.observations import observe, offered
from tests.support.odds_builders import EPOCH, Bookkeeping, connected, serving
from tests.support.refusals import small_book
from tests.support.serving import wait_until

LOCAL = HttpSettings(listen="127.0.0.1:0")


def wide_book(events: int = 30) -> Bookkeeping:
    book = Bookkeeping()
    offer = {
        f"e{number}": {"b": {MarketKey("h2h"): {"home": 1.5 + number, "away": 2.5}}}
        for number in range(events)
    }
    book.see(observe(offered(offer)))
    return book


def move(book: Bookkeeping, price: float) -> None:
    book.see(observe(offered({"e": {"b": {MarketKey("h2h"): {"home": price, "away": 2.5}}}})))


@asynccontextmanager
async def asking(book: Bookkeeping) -> AsyncIterator[tuple[Server, httpx.AsyncClient]]:
    async with (
        serving(book, http=LOCAL) as server,
        httpx.AsyncClient(base_url=f"http://{server.addresses[1]}", timeout=30) as http,
    ):
        yield server, http


async def read_until(
    http: httpx.AsyncClient,
    kind: str,
    last_id: str = "",
    came: Callable[[Event], object] = lambda _: None,
    **given: str,
) -> list[Event]:
    """Return the events of a new stream up to the first of a kind; `came` is called with each."""
    headers = {"last-event-id": last_id} if last_id else {}

    def read() -> list[Event]:
        found = []
        with (
            httpx.Client(base_url=http.base_url, timeout=30) as client,
            client.stream("GET", "/v1/changes", params=given, headers=headers) as answer,
        ):
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"].startswith("text/event-stream")
            for event in events_in(answer.iter_lines()):
                found.append(event)
                came(event)
                if event.kind == kind:
                    return found
        raise AssertionError(f"the stream has ended without {kind}")

    return await trio.to_thread.run_sync(read, limiter=trio.CapacityLimiter(1))


def message_of(event: Event) -> Any:
    return getattr(
        ParseDict({event.kind: json.loads(event.text)}, pb.WatchChangesResponse()), event.kind
    )


async def test_each_event_is_the_message_of_the_other_door_with_its_cursor_as_id() -> None:
    async with asking(wide_book()) as (server, http):
        events = await read_until(http, "image_end")
        with connected(server.address) as client, client.watch() as stream:
            messages = await stream.until("image_end")
    assert [event.kind for event in events] == [each.WhichOneof("message") for each in messages]
    for event, message in zip(events, messages, strict=True):
        inner = getattr(message, event.kind)
        assert event.last_id == f"{inner.cursor.epoch}:{inner.cursor.revision}"
        if event.kind == "image":
            assert [e.event.id for e in message_of(event).events] == [
                e.event.id for e in inner.events
            ]


async def test_the_header_is_the_later_place_and_wins() -> None:
    book = small_book()
    async with asking(book) as (_, http):
        for price in (1.6, 1.7, 1.8):
            move(book, price)
        head = book.feed.head_revision
        events = await read_until(
            http, "changes", last_id=f"{EPOCH}:{head - 1}", resume=f"{EPOCH}:{head - 3}"
        )
        assert [change.revision for change in message_of(events[-1]).changes] == [head]
        events = await read_until(http, "changes", resume=f"{EPOCH}:{head - 3}")
        changes = message_of(events[-1]).changes
        assert [change.revision for change in changes] == [head - 2, head - 1, head]
        assert events[-1].last_id == f"{EPOCH}:{head}"


@pytest.mark.parametrize(
    "last", ["7", ":7", "e:", "e:x", "e:-1", "e:1_0", "e:99999999999999999999"]
)
async def test_a_malformed_id_is_refused_by_name(last: str) -> None:
    async with asking(small_book()) as (_, http):
        answer = await http.get("/v1/changes", headers={"last-event-id": last})
        assert (answer.status_code, answer.json()["code"]) == (400, 3)
        assert "Last-Event-ID" in answer.json()["message"]
        answer = await http.get("/v1/changes", params={"resume": last})
        assert answer.status_code == 400
        assert "resume" in answer.json()["message"]


async def test_a_stream_cut_inside_an_image_begins_it_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(odds.image_pieces, "__defaults__", (2_048,))
    async with asking(wide_book(100)) as (_, http):
        first = await read_until(http, "image")
        assert first[-1].last_id.startswith("part-")
        again = await read_until(http, "image_end", last_id=first[-1].last_id)
        assert message_of(again[0]).reason == pb.INTENT_REASON_IMAGE_INCOMPLETE
        pieces = [message_of(event) for event in again if event.kind == "image"]
        assert len({entry.event.id for piece in pieces for entry in piece.events}) == 100
        assert not again[-1].last_id.startswith("part-")
        resumed = await read_until(http, "opened", last_id=again[-1].last_id)
        assert message_of(resumed[0]).reason == pb.INTENT_REASON_RESUMED


async def test_a_refusal_before_the_first_event_is_a_status() -> None:
    async with asking(small_book()) as (_, http):
        answer = await http.get("/v1/changes", params={"conflate": "-1s"})
        assert (answer.status_code, answer.json()["code"]) == (400, 3)


@pytest.mark.parametrize("conflate", [{}, {"conflate": "0.1s"}], ids=["raw", "conflated"])
async def test_equal_streams_share_their_encodings(
    conflate: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bytes] = []
    encoded = Events._encoded

    async def counting(self: Events, response: pb.WatchChangesResponse, kind: str) -> bytes:
        text = await encoded(self, response, kind)
        if kind == "changes":
            made.append(text)
        return text

    monkeypatch.setattr(Events, "_encoded", counting)
    book = small_book()
    async with asking(book) as (server, http):
        received: list[list[Event]] = []
        loaded: list[Event] = []

        def came(event: Event) -> None:
            if event.kind == "image_end":
                loaded.append(event)

        async def follow() -> None:
            received.append(await read_until(http, "changes", came=came, **conflate))

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(follow)
            await wait_until(lambda: len(loaded) == server.subscribers == 50, "all images")
            move(book, 7.5)
    texts = {events[-1].text for events in received}
    assert len(received) == 50
    assert len(made) == len(texts) == 1


async def test_a_reader_that_leaves_ends_its_call_at_once() -> None:
    async with asking(small_book()) as (server, http):
        open_then: list[int] = []
        await read_until(http, "image_end", came=lambda _: open_then.append(server.subscribers))
        assert open_then[-1] == 1
        with trio.fail_after(10):
            await wait_until(lambda: server.subscribers == 0, "the call's end")


def heavy_message() -> bytes:
    """Return a message of about 1 MiB."""
    response = pb.WatchChangesResponse()
    while response.ByteSize() < 2**20 - 50_000:
        for number in range(400):
            change = response.changes.changes.add(revision=number, event_id="e1", source="s")
            change.after.key.market = "h2h"
            for key in ("home", "draw", "away"):
                change.after.outcomes.add(key=key, name=key, price=2.5)
    return response.SerializeToString()


def test_a_large_message_lets_others_run_and_is_encoded_once() -> None:
    events, turns = Events(), 0

    async def encode() -> list[bytes]:
        nonlocal turns
        message = heavy_message()

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(turn())
        first = asyncio.create_task(events.event(message))
        await asyncio.sleep(0)
        first.cancel()  # its reader leaves; the next one encodes
        texts = await asyncio.gather(*(events.event(message) for _ in range(10)))
        other.cancel()
        return list(texts)

    texts = asyncio.run(encode())
    assert len(set(texts)) == 1
    assert events.made == 2
    assert turns > 5


def test_pieces_of_images_share_their_odds_whatever_their_cursors() -> None:
    events = Events()

    async def piece(revision: int, *names: str) -> tuple[str, str, pb.Image]:
        image = pb.Image(
            cursor=pb.Cursor(epoch="e", revision=revision), prev_revision=revision, piece=1
        )
        for name in names:
            image.events.add().event.id = name
        made = await events.event(pb.WatchChangesResponse(image=image).SerializeToString())
        (event,) = events_in(made.decode().splitlines())
        assert message_of(event) == image
        return event.kind, event.last_id, image

    async def main() -> None:
        assert (await piece(7, "a", "b"))[:2] == ("image", "e:7")
        assert (await piece(8, "a", "b"))[:2] == ("image", "e:8")
        assert events.made == 1
        await piece(8, "a", "c")
        assert events.made == 2
        await piece(8)
        await piece(0, "a", "b")

    asyncio.run(main())


async def test_a_reader_of_http_1_0_gets_the_events_without_the_frames_of_chunks() -> None:
    book = small_book()
    async with serving(book, http=LOCAL) as server:
        host, _, port = server.addresses[1].rpartition(":")
        with trio.fail_after(30), trio.socket.socket() as reader:
            await reader.connect((host, int(port)))
            await reader.send(b"GET /v1/changes?image=never HTTP/1.0\r\nhost: localhost\r\n\r\n")
            text = b""
            while b"event: opened" not in text:
                text += await reader.recv(4_096)
            move(book, 7.5)
            while not text.endswith(b"}\n\n") or b"event: changes" not in text:
                text += await reader.recv(4_096)
    head, _, body = text.decode().partition("\r\n\r\n")
    assert "chunked" not in head
    assert "\r" not in body
    assert [event.kind for event in events_in(body.splitlines())] == ["opened", "changes"]


Script = Callable[[StreamContext], Awaitable[None]]


async def answered(script: Script, pause: asyncio.Event | None = None) -> list[Message]:
    """Run a stream whose reader stays; with `pause`, it reads nothing until that is set."""
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)
        if pause is not None:
            await pause.wait()

    events = Events()
    response = StreamResponse(script, "text/event-stream", events.event, lambda s: b"failed " + s)
    await response({"type": "http", "client": ("127.0.0.1", 1)}, receive, send)
    return sent


def test_an_error_midway_is_the_last_event() -> None:
    async def fail(context: StreamContext) -> None:
        await context.write(pb.WatchChangesResponse(opened=pb.Opened()).SerializeToString())
        raise bad_request("filter", "is wrong")

    sent = asyncio.run(answered(fail))
    assert [message["type"] for message in sent[:2]] == [
        "http.response.start",
        "http.response.body",
    ]
    assert sent[-2]["body"].startswith(b"failed {")
    assert sent[-1]["more_body"] is False


def test_a_reader_that_stalls_holds_the_call_back() -> None:
    async def main() -> None:
        written, go_on = 0, asyncio.Event()

        async def write(context: StreamContext) -> None:
            nonlocal written
            for _ in range(5):
                await context.write(pb.WatchChangesResponse(opened=pb.Opened()).SerializeToString())
                written += 1

        task = asyncio.create_task(answered(write, go_on))
        for _ in range(100):
            await asyncio.sleep(0)
        assert written == 0
        go_on.set()
        await task
        assert written == 5

    asyncio.run(main())


async def test_a_replay_is_events_of_the_past_and_is_resumed_at_an_id() -> None:
    book = Bookkeeping(keeps_past=True)
    for price in (2.0, 2.1, 2.2, 2.3):
        move(book, price)
    async with asking(book) as (_, http):
        answer = await http.get("/v1/replay", params={"fromCursor": f"{EPOCH}:3"})
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = list(events_in(answer.text.split("\n")))
        kinds = [event.kind for event in events]
        assert kinds == ["opened", "image_begin", "image", "image_end", "changes", "end"]
        (changes,) = [json.loads(each.text) for each in events if each.kind == "changes"]
        assert [each["revision"] for each in changes["changes"]] == ["4", "5"]
        for event in events[3:5]:
            rest = await http.get(
                "/v1/replay",
                params={"fromCursor": f"{EPOCH}:3"},
                headers={"last-event-id": event.last_id},
            )
            assert [each.kind for each in events_in(rest.text.split("\n"))] == (
                ["opened", *kinds[kinds.index(event.kind) + 1 :]]
            )
