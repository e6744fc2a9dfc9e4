"""The outbox over a real server that is killed, or that loses the end of its log.

The rules are those of test_outbox.py.
"""

import asyncio
from functools import partial

from tests.support.log_rigs import NatsRig, rig_makers, run, until
from tests.support.outbox_runs import (
    Ingest,
    Replica,
    acked,
    commits_of,
    content,
    is_at,
    opened_run,
)


def test_a_server_killed_amid_appends_gets_everything_once() -> None:
    async def test(rig: NatsRig) -> None:
        ingest, replica = Ingest(), Replica()
        bus, reading = await rig.make(), rig.log()
        following = asyncio.create_task(replica.follow(reading))
        running = asyncio.create_task(opened_run(ingest, bus))
        commits = iter(commits_of(5, 600))
        ends = asyncio.Event()

        async def publish() -> None:
            for commit in commits:
                ingest.publish(commit)
                await asyncio.sleep(0.002)
                if ends.is_set():
                    return

        publishing = asyncio.create_task(publish())
        for _ in range(3):
            await asyncio.sleep(0.2)
            await asyncio.to_thread(rig.interrupt)
            await asyncio.sleep(0.1)
            await asyncio.to_thread(rig.resume)
        ends.set()
        await publishing
        ingest.outbox.close()
        await running
        await until(partial(is_at, replica, ingest))
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        assert replica.commits == ingest.put
        assert len(ingest.put) > 10  # a loaded machine lets few through
        assert (await content(reading)).commits == ingest.put
        await bus.aclose()
        await reading.aclose()

    with rig_makers("single") as make:
        rig = make()
        assert isinstance(rig, NatsRig)
        run(test(rig), 120)


def test_a_tail_lost_by_a_server_is_written_again() -> None:
    async def test(rig: NatsRig) -> None:
        ingest, replica = Ingest(), Replica()
        bus, reading = await rig.make(), rig.log()
        following = asyncio.create_task(replica.follow(reading))
        running = asyncio.create_task(opened_run(ingest, bus))
        commits = commits_of(6, 60)
        for commit in commits[:20]:
            ingest.publish(commit)
            await asyncio.sleep(0.006)
        await until(partial(acked, ingest, commits[19].last_revision))
        await asyncio.to_thread(rig.keep)
        for commit in commits[20:40]:
            ingest.publish(commit)
            await asyncio.sleep(0.006)
        await until(partial(acked, ingest, commits[39].last_revision))
        await until(partial(is_at, replica, ingest))
        await asyncio.to_thread(rig.lose_tail)
        for commit in commits[40:]:
            ingest.publish(commit)
            await asyncio.sleep(0.006)
        ingest.outbox.close()
        await running
        assert (await content(reading)).commits == ingest.put
        await until(partial(is_at, replica, ingest))
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        assert replica.commits == ingest.put
        await bus.aclose()
        await reading.aclose()

    with rig_makers("single") as make:
        rig = make()
        assert isinstance(rig, NatsRig)
        run(test(rig), 120)
