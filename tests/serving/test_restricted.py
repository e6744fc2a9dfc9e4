"""A restricted token gets the allowed part of what an unrestricted one gets, by every call."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest
import trio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from msgspec.structs import replace
from pydantic import SecretStr

from odds_service.config import AccessSettings, Right, ServerSettings
from odds_service.errors import NotFetchedYet
from odds_service.model.market import MarketKey
from odds_service.model.refresh import FetchOutcome, RefreshOutcome
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.contract.literal import Held, LiteralWatcher, held_in
from tests.support.observations import observe, offered
from tests.support.odds_builders import (
    Bookkeeping,
    Client,
    connected,
    random_observations,
    refusal,
    serving,
)
from tests.support.refusals import details

ALL = "token-of-the-owner"
TOKENS = {
    "ours": (["ours"], None),
    "b1": (None, ["b1"]),
    "ours-b1": (["ours"], ["b1"]),
    "nobody": (["elsewhere"], None),
}
NAMES = {"sources": {"ours", "hidden"}, "bookmakers": {"b1", "b2"}}


def settings() -> ServerSettings:
    narrow = [
        AccessSettings(
            name=name,
            token=SecretStr(f"token-of-{name}"),
            rights=[Right.READ],
            sources=sources,
            bookmakers=bookmakers,
        )
        for name, (sources, bookmakers) in TOKENS.items()
    ]
    owner = AccessSettings(name="owner", token=SecretStr(ALL), rights=list(Right))
    return ServerSettings(listen="127.0.0.1:0", access=[owner, *narrow])


@contextmanager
def client_of(address: str, token: str) -> Iterator[Client]:
    with connected(address, authorization=f"Bearer {token}") as client:
        yield client


def two_sources(seed: int, polls: int) -> Bookkeeping:
    """Return a book in which two sources, which share events and bookmakers, come and go."""
    rng = random.Random(seed)
    book = Bookkeeping(keeps_past=True, sources=("ours", "hidden"))
    for observation in random_observations(rng, polls):
        seen = replace(observation, source=rng.choice(["ours", "hidden"]))
        book.see(seen)
    return book


def allowed(entries: list[pb.EventOdds], name: str) -> Held:
    """Return the part of an unrestricted reply that a token may see."""
    sources, bookmakers = TOKENS[name]
    shown = []
    for entry in entries:
        if sources is not None and not set(sources) & set(entry.event.source_ids):
            continue
        part = pb.EventOdds()
        part.CopyFrom(entry)
        del part.bookmakers[:]
        part.bookmakers.extend(
            each
            for each in entry.bookmakers
            if (sources is None or each.source in sources)
            and (bookmakers is None or each.bookmaker in bookmakers)
        )
        event = part.event
        for told in (event.source_ids, event.told):
            for source in [source for source in told if sources and source not in sources]:
                del told[source]
        lost = [
            each
            for each in event.draws_lost
            if (sources is None or each.source in sources)
            and (bookmakers is None or each.bookmaker in bookmakers)
        ]
        del event.draws_lost[:]
        event.draws_lost.extend(lost)
        shown.append(part)
    return held_in(shown)


def assert_hides(message: Message, name: str) -> None:
    """Check that no name that a token may not see stands anywhere in a message."""
    sources, bookmakers = TOKENS[name]
    text = str(message)
    for hidden in NAMES["sources"] - set(sources or NAMES["sources"]):
        assert f'"{hidden}"' not in text
    for hidden in NAMES["bookmakers"] - set(bookmakers or NAMES["bookmakers"]):
        assert f'"{hidden}"' not in text


async def follow(
    client: Client, name: str, watcher: LiteralWatcher, head: int
) -> list[pb.WatchChangesResponse]:
    """Read a stream up to the head, and check that it hides what it must."""
    messages: list[pb.WatchChangesResponse] = []
    with client.stream("WatchChanges", watcher.request()) as stream:
        while not (watcher.acts and watcher.cursor and watcher.cursor.revision >= head):
            messages.append(await stream.next())
            assert_hides(messages[-1], name)
            watcher.take(messages[-1])
    return messages


HALF = Duration(nanos=500_000_000)


@pytest.mark.parametrize("capacity", [100_000, 8], ids=["memory", "database"])
@pytest.mark.parametrize("seed", range(3))
async def test_every_call_gives_the_allowed_part(seed: int, capacity: int) -> None:
    book = two_sources(seed, 80)
    if capacity == 8:
        short = Bookkeeping(keeps_past=True, capacity=capacity, sources=("ours", "hidden"))
        for batch in book.batches:
            short.feed.append_locked(batch, batch.changes[-1].detected_at)
            short.feed.advance_durable(short.feed.head_revision)
        short.log, short.noted, short.replaced = book.log, book.noted, book.replaced
        short.cache.swap(dict(book.cache.events), {}, None, book.now)
        short.now = book.now
        book = short
    head = book.feed.head_revision
    async with serving(book, settings=settings()) as server:
        with ExitStack() as stack:
            owner = stack.enter_context(client_of(server.address, ALL))
            whole = list((await owner.call("GetOdds", pb.GetOddsRequest())).events)
            for name in TOKENS:
                client = stack.enter_context(client_of(server.address, f"token-of-{name}"))
                now = allowed(whole, name)

                # What is latest, also when it is asked for twice and best prices are.
                for best in (False, False, True):
                    reply = await client.call("GetOdds", pb.GetOddsRequest(include_best=best))
                    assert_hides(reply, name)
                    assert held_in(list(reply.events)) == now
                mark = reply.cursor.epoch.removeprefix("e1")
                assert mark

                # As of the past.
                for revision in range(1, head, head // 7):
                    at = pb.Cursor(epoch="e1", revision=revision)
                    request = pb.GetOddsRequest(as_of_cursor=at, include_best=True)
                    then = await client.call("GetOdds", request)
                    assert_hides(then, name)
                    theirs = (await owner.call("GetOdds", request)).events
                    assert held_in(list(then.events)) == allowed(list(theirs), name)

                # An image.
                watcher = LiteralWatcher(heartbeat=HALF)
                await follow(client, name, watcher, head)
                assert watcher.held == now

                # All changes from the beginning, and resumed in their midst.
                watcher = LiteralWatcher(heartbeat=HALF)
                watcher.acts, watcher.cursor = True, pb.Cursor(epoch=f"e1{mark}")
                messages = await follow(client, name, watcher, head)
                assert watcher.opened.intent == pb.INTENT_CHANGES
                assert watcher.held == now
                cuts = [
                    message.changes.cursor
                    for message in messages
                    if message.WhichOneof("message") == "changes"
                ]
                for cut in cuts[:: max(1, len(cuts) // 3)]:
                    again = LiteralWatcher(heartbeat=HALF)
                    at = pb.Cursor(epoch="e1", revision=cut.revision)
                    then = await client.call("GetOdds", pb.GetOddsRequest(as_of_cursor=at))
                    again.held, again.acts, again.cursor = held_in(list(then.events)), True, cut
                    await follow(client, name, again, head)
                    assert again.held == now

                # Conflated.
                folded = LiteralWatcher(heartbeat=HALF, conflate=Duration(nanos=50_000_000))
                folded.acts, folded.cursor = True, pb.Cursor(epoch=f"e1{mark}")
                await follow(client, name, folded, head)
                assert folded.held == now

                # History: the same changes as the stream.
                history: list[pb.Change] = []
                with client.stream("GetHistory", pb.GetHistoryRequest()) as pages:
                    try:
                        while True:
                            page = await pages.next()
                            assert_hides(page, name)
                            history += page.changes
                    except EOFError:
                        pass
                assert history == watcher.changes

                # Lists, and a filter that names what the token may not see.
                listed = await client.call("ListEvents", pb.ListEventsRequest(page_size=1_000))
                assert_hides(listed, name)
                assert {row.event.id for row in listed.events} == set(now.events)
                hidden = pb.Filter(sources=["hidden"], bookmakers=["b2"])
                unknown = pb.Filter(sources=["no such source"], bookmakers=["no such bookmaker"])
                replies = [
                    await client.call("GetOdds", pb.GetOddsRequest(filter=each))
                    for each in (hidden, unknown)
                ]
                if name != "b1":  # it may see the source
                    assert replies[0] == replies[1]
                assert not any(entry.bookmakers for entry in replies[0].events)
                status = await client.call("GetStatus", pb.GetStatusRequest())
                assert_hides(status, name)
                assert not status.usage
                assert status.events == len(now.events)


async def test_a_cursor_of_another_token_begins_an_image() -> None:
    """Else its client would keep odds that it may not see, or lack odds that it may."""
    book = two_sources(1, 30)
    head = book.feed.head_revision
    async with serving(book, settings=settings()) as server:
        with (
            client_of(server.address, ALL) as owner,
            client_of(server.address, "token-of-ours") as narrow,
        ):
            whole = (await owner.call("GetOdds", pb.GetOddsRequest())).cursor
            part = (await narrow.call("GetOdds", pb.GetOddsRequest())).cursor
            for client, cursor, resumes in (
                (owner, whole, True),
                (narrow, part, True),
                (owner, part, False),
                (narrow, whole, False),
            ):
                with client.watch(resume=cursor) as stream:
                    opened = (await stream.next()).opened
                assert (opened.intent == pb.INTENT_UP_TO_DATE) is resumes
                assert (opened.reason == pb.INTENT_REASON_EPOCH_CHANGED) is not resumes
            read = await narrow.call("GetOdds", pb.GetOddsRequest(min_cursor=whole))
            assert read.cursor.revision == head


async def test_a_missing_right_is_named_and_the_owner_sees_the_usage() -> None:
    book = two_sources(1, 30)
    async with serving(book, settings=settings()) as server:
        with (
            client_of(server.address, ALL) as owner,
            client_of(server.address, "token-of-ours") as narrow,
        ):
            error = await refusal(narrow, "RefreshEvent", pb.RefreshEventRequest(event_id="e1"))
            assert error.code() is grpc.StatusCode.PERMISSION_DENIED
            info = details(error)["ErrorInfo"]
            assert (info.reason, dict(info.metadata)) == ("PERMISSION_DENIED", {"right": "refresh"})
            assert "token-of" not in str(error)
            with owner.watch(resume=pb.Cursor(epoch="e1")) as stream:
                got = 0
                while got < book.feed.head_revision:
                    got += len((await stream.next()).changes.changes)
                status = await owner.call("GetStatus", pb.GetStatusRequest())
                assert all(each.peer for each in status.subscribers)
                theirs = await narrow.call("GetStatus", pb.GetStatusRequest())
                assert not any(each.peer for each in theirs.subscribers)
                assert theirs.subscriber_count == status.subscriber_count == 1
            used = {each.name: each for each in status.usage}
            assert used["owner"].changes == book.feed.head_revision
            assert used["owner"].calls == 2
            assert "ours" not in used or used["ours"].calls == 0  # it was refused


async def test_a_stream_of_a_revoked_token_ends_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tokens"
    file.write_text("kept-token\nrevoked-token\n")
    monkeypatch.setattr("odds_service.access.REREAD_S", 0.1)
    book = two_sources(1, 10)
    served = ServerSettings(listen="127.0.0.1:0", tokens_file=file)
    async with serving(book, settings=served) as server:
        with (
            client_of(server.address, "kept-token") as kept,
            client_of(server.address, "revoked-token") as gone,
        ):
            heartbeat = Duration(nanos=500_000_000)
            with kept.watch(heartbeat=heartbeat) as stays, gone.watch(heartbeat=heartbeat) as ends:
                await stays.until("image_end")
                await ends.until("image_end")
                file.write_text("kept-token\n")
                with trio.fail_after(60):
                    error = await ends.error()
                assert error.code() is grpc.StatusCode.UNAUTHENTICATED
                assert "no longer accepted" in str(error.details())
                assert (await stays.next()).WhichOneof("message") == "heartbeat"


async def test_a_stream_whose_access_changes_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that moves to an entry with other access is known, but its stream must end."""
    monkeypatch.setattr("odds_service.access.REREAD_S", 0.1)
    narrow, wide = tmp_path / "narrow", tmp_path / "wide"
    narrow.write_text("the-token\n")
    wide.write_text("another\n")
    entries = [
        AccessSettings(name="narrow", token_file=narrow, sources=["ours"]),
        AccessSettings(name="wide", token_file=wide),
    ]
    served = ServerSettings(listen="127.0.0.1:0", access=entries)
    book = two_sources(1, 10)
    async with serving(book, settings=served) as server:
        with client_of(server.address, "the-token") as client:
            with client.watch(heartbeat=HALF) as stream:
                cursor = (await stream.until("image_end"))[-1].image_end.cursor
                narrow.write_text("nobody-s\n")  # read together with the other or before it
                wide.write_text("the-token\n")
                error = await stream.error()
            assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED)
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                assert details(error)["ErrorInfo"].reason == "ACCESS_CHANGED"
            with client.watch(resume=cursor) as stream:
                messages = await stream.until("image_end")
            assert messages[0].opened.reason == pb.INTENT_REASON_EPOCH_CHANGED
            assert '"hidden"' in str(messages)


async def test_tokens_without_a_name_are_counted_together() -> None:
    plain = [SecretStr("plain-token-1"), SecretStr("plain-token-2")]
    owner = AccessSettings(name="owner", token=SecretStr(ALL), rights=[Right.READ, Right.ADMIN])
    served = ServerSettings(listen="127.0.0.1:0", tokens=plain, access=[owner])
    async with serving(two_sources(1, 5), settings=served) as server:
        for token in plain:
            with client_of(server.address, token.get_secret_value()) as client:
                assert not (await client.call("GetStatus", pb.GetStatusRequest())).usage
        with client_of(server.address, ALL) as client:
            usage = (await client.call("GetStatus", pb.GetStatusRequest())).usage
    assert {each.name: each.calls for each in usage if each.calls} == {"plain": 2, "owner": 1}
    async with serving(two_sources(1, 5)) as server:
        with connected(server.address) as client:
            usage = (await client.call("GetStatus", pb.GetStatusRequest())).usage
    assert [(each.name, each.calls) for each in usage] == [("anonymous", 1)]


async def test_freshness_of_hidden_odds_is_not_sent() -> None:
    key = MarketKey("h2h")
    offer = {"e": {"b1": {key: {"home": 1.5}}, "b2": {key: {"home": 1.6}}}}
    for name in ("ours", "b1", "ours-b1"):
        book = Bookkeeping(sources=("ours", "hidden"))
        for source in ("ours", "hidden"):
            book.see(observe(offered(offer), source=source))
        async with serving(book, settings=settings()) as server:
            with client_of(server.address, f"token-of-{name}") as client:
                with client.watch(freshness=True) as stream:
                    await stream.until("image_end")
                    for source in ("ours", "hidden"):
                        book.see(observe(offered(offer), 1, source=source))
                    sources, bookmakers = TOKENS[name]
                    expected = {
                        (source, bookmaker)
                        for source in sources or ["ours", "hidden"]
                        for bookmaker in bookmakers or ["b1", "b2"]
                    }
                    told: set[tuple[str, str]] = set()
                    while told != expected:
                        message = (await stream.until("freshness"))[-1]
                        assert_hides(message, name)
                        told |= {(each.source, each.bookmaker) for each in message.freshness.odds}


async def test_a_refresh_shows_the_allowed_part() -> None:
    key = MarketKey("h2h")
    book = Bookkeeping(sources=("ours", "hidden"))
    for source in ("ours", "hidden"):
        book.see(observe(offered({"e": {"b1": {key: {"home": 1.5}}}}), source=source))
    book.see(observe(offered({"theirs": {"b1": {key: {"home": 1.5}}}}), 1, source="hidden"))
    late = False

    async def refresh(event_id: str, _: float) -> RefreshOutcome:
        await trio.lowlevel.checkpoint()
        assert event_id == "e", "what a token may not see is not fetched for it"
        if late:
            raise NotFetchedYet("e1", 1, ["hidden", "ours"])
        before = book.feed.head_revision
        for source in ("ours", "hidden"):
            book.see(observe(offered({"e": {"b1": {key: {"home": 1.7}}}}), 2, source=source))
        changes = book.log[before:]
        ids = {("ours", "b1"): before + 1, ("hidden", "b1"): before + 2}
        fetched = [FetchOutcome(source, "", "") for source in ("ours", "hidden")]
        return RefreshOutcome(book.feed.head_revision, changes, ids, fetched)

    entry = AccessSettings(
        name="ours", token=SecretStr("token-of-ours"), rights=list(Right), sources=["ours"]
    )
    served = ServerSettings(listen="127.0.0.1:0", access=[entry])
    async with serving(book, settings=served, refresh=refresh) as server:
        with client_of(server.address, "token-of-ours") as client:
            reply = await client.call("RefreshEvent", pb.RefreshEventRequest(event_id="e"))
            assert_hides(reply, "ours")
            assert [change.source for change in reply.changes] == ["ours"]
            assert [each.source for each in reply.snapshots] == ["ours"]
            assert [each.source for each in reply.sources] == ["ours"]
            for unseen in ("theirs", "no such event"):
                error = await refusal(
                    client, "RefreshEvent", pb.RefreshEventRequest(event_id=unseen)
                )
                assert error.code() is grpc.StatusCode.NOT_FOUND
            late = True
            error = await refusal(client, "RefreshEvent", pb.RefreshEventRequest(event_id="e"))
            assert details(error)["ErrorInfo"].metadata["sources"] == "ours"
            usage = (await client.call("GetStatus", pb.GetStatusRequest())).usage
    assert {each.name: each.refreshes for each in usage if each.refreshes} == {"ours": 2}
