"""Frames: whole messages in order, bounded, and an end that leaves nobody waiting."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from odds_service.workers import frames as module
from odds_service.workers.frames import FrameError, Frames, TooLarge
from odds_service.workers.messages import Cancel, Ping, Start, ToWorker, to_worker


def pair() -> tuple[Frames[ToWorker], Frames[ToWorker]]:
    one, other = trio.testing.memory_stream_pair()
    return Frames(one, to_worker), Frames(other, to_worker)


@contextmanager
def sockets() -> Iterator[tuple[Frames[ToWorker], Frames[ToWorker]]]:
    """Connect frames by sockets, whose buffers take some messages at once."""
    ends = socket.socketpair()
    with ends[0] as one, ends[1] as other:
        yield tuple(
            Frames(trio.SocketStream(trio.socket.from_stdlib_socket(each)), to_worker)
            for each in (one, other)
        )  # type: ignore[misc]  # two of them


@given(st.lists(st.integers(0, 2**40), max_size=30))
def test_messages_arrive_whole_and_in_order(numbers: list[int]) -> None:
    async def work() -> None:
        one, other = pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.pump)

            async def send() -> None:
                for number in numbers:
                    await one.send(Cancel(number))

            nursery.start_soon(send)
            for number in numbers:
                assert await other.receive() == Cancel(number)
            nursery.cancel_scope.cancel()

    trio.run(work)


@given(st.lists(st.sampled_from([1, 1_000, 150_000, 700_000]), max_size=12), st.integers(0, 12))
def test_messages_of_all_sizes_keep_their_order_in_a_socket(sizes: list[int], first: int) -> None:
    """The kernel takes some at once, some in part, and the rest later, beside many senders."""
    messages = [Start(number, "x" * size, "json") for number, size in enumerate(sizes)]
    made: list[Start] = []

    def make(message: Start) -> Start:
        made.append(message)
        return message

    async def work() -> None:
        with sockets() as (one, other):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.pump)
                for message in messages:
                    nursery.start_soon(one.send_made, partial(make, message))
                for _ in range(first):  # turns before somebody reads
                    await trio.lowlevel.checkpoint()
                got = [await other.receive() for _ in messages]
                nursery.cancel_scope.cancel()
        assert got == made
        assert sorted(each.worker for each in made) == list(range(len(messages)))

    trio.run(work)


async def test_a_message_that_the_kernel_takes_needs_no_pump() -> None:
    with sockets() as (one, other):
        for number in range(20):  # more than may wait
            with trio.fail_after(60):
                await one.send(Cancel(number))
        for number in range(20):
            assert await other.receive() == Cancel(number)


async def test_a_message_beyond_the_bound_is_refused_and_the_next_one_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    one, other = pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.pump)
        for _ in range(10):  # each would keep its place
            with pytest.raises(TooLarge, match="a message of 2"):
                await one.send(Start(1, "x" * 200, "json"))
        await one.send(Ping())
        assert await other.receive() == Ping()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "sent",
    [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1\xc1", b"\0\0\0\2\x91\1", b"\0\0\0\3\x91\xa1\xff"],
    ids=["empty", "large", "no msgpack", "no message", "no text"],
)
async def test_what_is_no_message_is_an_error(sent: bytes) -> None:
    one, other = trio.testing.memory_stream_pair()
    await one.send_all(sent)
    with pytest.raises(FrameError):
        await Frames(other, to_worker).receive()


async def test_half_a_message_at_the_end_is_the_end() -> None:
    one, other = trio.testing.memory_stream_pair()
    await one.send_all(b"\0\0\0\5\x91")
    await one.aclose()
    assert await Frames(other, to_worker).receive() is None


async def test_whoever_waits_for_room_goes_on_when_the_other_end_is_gone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    one, other = trio.testing.lockstep_stream_pair()
    frames = Frames(one, to_worker)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(frames.pump)
            for number in range(20):
                nursery.start_soon(frames.send, Cancel(number))
            await trio.testing.wait_all_tasks_blocked()
            await other.aclose()
        await frames.send(Ping())
