"""Clients of several servers: one log behind all of them, and nothing is lost between them.

The servers share a cache and a feed, as the nodes of a cluster share a log. A gate in front of each
cuts connections, shuts new ones out, or falls silent; the servers behind it stop in order, too.
"""

import random
from collections.abc import Callable
from typing import Any

import pytest
import trio

from odds_service.client import (
    Address,
    AsyncClient,
    AsyncWatch,
    Changes,
    Disconnected,
    Heartbeat,
    ImageLoaded,
    Odds,
    Opened,
    ServiceError,
    Step,
    SyncClient,
    open_sync_client,
)
from odds_service.serving.server import Server
from tests.client.books import Shown, flat, flat_book, one_event, steps_until
from tests.client.faces import Face, faces, under_asyncio, under_trio
from tests.client.servers import at_home, pair, several
from tests.support.gate import Gate, gates
from tests.support.odds_builders import Bookkeeping, random_observations, serving
from tests.support.serving import wait_until

COUNT = 15  # disturbances of one client


class Kept:
    """A book with the odds that it had at each revision."""

    def __init__(self) -> None:
        self.book = Bookkeeping()
        self.states: dict[int, Shown] = {}
        self._observations = random_observations(random.Random(3), 100_000)
        self.see()

    def see(self) -> None:
        self.book.see(next(self._observations))
        self.states[self.head] = flat_book(self.book)

    @property
    def head(self) -> int:
        return self.book.feed.head_revision


class Behind:
    """The server behind a gate, stopped in order and started anew now and then."""

    def __init__(self, kept: Kept, gate: Gate) -> None:
        self.gate = gate
        self._kept = kept
        self._stop = trio.Event()
        self._stopped = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until cancelled, one server after another."""
        while True:
            async with serving(self._kept.book) as server:
                self.gate.target = server.address
                self.gate.open()
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED
                await self._stop.wait()
                self.gate.refuse_new()
            self._stop = trio.Event()
            self._stopped.set()

    async def stop(self) -> None:
        """Stop the server in order; another one is started at once."""
        self._stopped = trio.Event()
        self._stop.set()
        await self._stopped.wait()


async def disturb(rng: random.Random, nodes: list[Behind]) -> None:
    """Kill or stop one server, or one after the other."""
    await trio.sleep(rng.uniform(0.0, 0.1))
    for node in rng.choice([nodes[:1], nodes[1:], nodes]):
        if rng.random() < 0.3:
            await node.stop()
        else:
            node.gate.kill()
            await trio.sleep(rng.uniform(0.0, 0.1))
            node.gate.open()


class Checked:
    """The steps that a client was shown; each state is compared as it comes."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.seen: list[int] = []
        self.images = self.compared = self.beats = self.ends = self.elsewhere = 0

    def take(self, step: Step, odds: Odds) -> None:
        if isinstance(step, Changes):
            self.seen += [change.revision for change in step.changes]
        self.images += isinstance(step, ImageLoaded) or (isinstance(step, Opened) and step.image)
        self.beats += isinstance(step, Heartbeat)
        self.ends += isinstance(step, Disconnected)
        self.elsewhere += isinstance(step, Disconnected) and step.changed_to is not None
        if isinstance(step, Heartbeat):
            assert flat(odds) == self.kept.states[step.cursor.revision]
        if isinstance(step, Changes) and step.cursor.revision in self.kept.states:
            assert flat(odds) == self.kept.states[step.cursor.revision]
            self.compared += 1

    @property
    def enough(self) -> bool:
        return self.ends >= COUNT


async def follow(checked: Checked, client: AsyncClient, begun: Callable[[], object]) -> None:
    start = await client.get_odds()
    watch = client.watch(start=start, heartbeat_s=0.5)
    begun()
    async for step in watch.steps():
        checked.take(step, watch.odds.cut())
        if checked.enough and isinstance(step, Heartbeat):
            break
    assert start.cursor is not None
    first = start.cursor.revision + 1
    assert checked.seen == list(range(first, first + len(checked.seen)))


def follow_in_a_thread(checked: Checked, client: SyncClient, begun: Callable[[], object]) -> None:
    start = client.get_odds()
    watch = client.watch(start=start, heartbeat_s=0.5)
    begun()
    for step in watch.steps():
        checked.take(step, watch.odds.cut())
        if checked.enough and isinstance(step, Heartbeat):
            break
    first = start.cursor.revision + 1
    assert checked.seen == list(range(first, first + len(checked.seen)))


async def under_threads(address: Address | str, work: Any) -> Any:
    def run() -> Any:
        with open_sync_client(address) as client:
            return work(client)

    return await trio.to_thread.run_sync(run)


@pytest.mark.parametrize("face", [under_trio, under_asyncio, under_threads])
async def test_servers_that_die_at_random_cost_no_change_and_no_image(face: Any) -> None:
    kept = Kept()
    checked = Checked(kept)
    rng = random.Random(5)
    async with trio.open_nursery() as nursery, gates("", "") as doors:
        nodes = [Behind(kept, door) for door in doors]
        for node in nodes:
            await nursery.start(node.run)
        token = trio.lowlevel.current_trio_token()
        begun = trio.Event()

        async def publish() -> None:
            for _ in range(rng.randint(1, 60)):
                kept.see()
                await trio.sleep(0.002)

        async def trouble() -> None:
            await begun.wait()
            while not checked.enough:
                async with trio.open_nursery() as both:
                    both.start_soon(publish)
                    both.start_soon(disturb, rng, nodes)
                if rng.random() < 0.25:
                    beats = checked.beats
                    await wait_until(lambda: checked.beats > beats, "a heartbeat")  # noqa: B023  # awaited here

        def work(client: Any) -> Any:
            follows: Any = follow_in_a_thread if face is under_threads else follow
            return follows(checked, client, lambda: token.run_sync_soon(begun.set))

        nursery.start_soon(trouble)
        with trio.fail_after(90):
            await face(several(doors), work)
        nursery.cancel_scope.cancel()
    assert checked.images == 0
    assert checked.beats > 2
    assert checked.compared > COUNT
    assert checked.elsewhere > COUNT // 3


async def disconnected(watch: AsyncWatch) -> Disconnected:
    """Return the next step of a watch, which is a disconnect."""
    step = await anext(aiter(watch.steps()))
    assert isinstance(step, Disconnected)
    return step


@faces
async def test_a_stream_resumes_at_once_and_waits_only_after_a_whole_round(face: Face) -> None:
    book = Bookkeeping()
    book.see(one_event(1.5))

    async def work(client: AsyncClient) -> None:
        watch = client.watch(start=await client.get_odds(), heartbeat_s=0.5)
        await steps_until(watch.steps(), Heartbeat)
        at_home(doors[0].kill)
        ended, opened = await steps_until(watch.steps(), Opened)
        assert (ended.retry_in_s, ended.changed_to) == (0.0, doors[1].address)
        assert not opened.image
        at_home(doors[1].kill)
        ended = await disconnected(watch)
        # That stream was a short one, so both are of one round.
        assert ended.changed_to is None
        assert 0 < ended.retry_in_s < 1
        assert f"none of 2 servers serves: {doors[0].address}: " in str(ended.error)
        assert f"; {doors[1].address}: " in str(ended.error)
        for _ in range(2):  # whole rounds
            again, ended = await disconnected(watch), await disconnected(watch)
            assert again.changed_to is not None
            assert again.retry_in_s == 0
            assert ended.changed_to is None
        at_home(doors[0].open)
        *_, opened = await steps_until(watch.steps(), Opened)
        assert not opened.image

    async with pair(book) as (doors, _):
        await face(several(doors), work)


@faces
async def test_a_watch_of_servers_that_are_all_away_names_them_and_may_wait(face: Face) -> None:
    book = Bookkeeping()
    book.see(one_event(1.5))

    async def work(client: AsyncClient) -> None:
        for stream in (client.watch(), client.history(), client.replay()):
            with pytest.raises(ServiceError, match="none of 2 servers serves") as refused:
                await anext(stream)
            assert all(door.address in str(refused.value) for door in doors)
        watch = client.watch(wait_for_server=True)
        ends = [await disconnected(watch) for _ in range(4)]
        assert [end.changed_to is None for end in ends] == [False, True, False, True]
        at_home(doors[1].open)
        *_, opened = await steps_until(watch.steps(), Opened)
        assert opened.image

    async with pair(book) as (doors, _):
        for door in doors:
            door.kill()
        await face(several(doors), work)


@faces
async def test_a_server_that_refuses_streams_is_left_for_one_that_takes_them(face: Face) -> None:
    book = Bookkeeping()
    book.see(one_event(1.5))

    async def work(client: AsyncClient) -> None:
        odds = await client.get_odds()
        assert doors[1].taken == 0
        watch = client.watch(start=odds)
        *_, ended = await steps_until(watch.steps(), Disconnected)
        assert ended.changed_to == doors[1].address
        (opened,) = await steps_until(watch.steps(), Opened)
        assert not opened.image

    async with pair(book) as (doors, servers):
        await refuse_streams(servers[0])
        await face(several(doors), work)


async def refuse_streams(server: Server) -> None:
    """Refuse streams with UNAVAILABLE, as in the first moment of a stop; other calls work."""
    ended = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def end() -> None:
        server._running.room.context.hub.end()
        token.run_sync_soon(ended.set)

    assert server.loop is not None
    server.loop.call_soon_threadsafe(end)
    await ended.wait()
