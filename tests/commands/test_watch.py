"""`odds-service watch` as a process: its output, its end and its resumption."""

import signal
import subprocess

import trio
from google.protobuf.json_format import Parse

from odds_service.config import ServerSettings
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.commands.books import book_of, messages, see
from tests.contract.calling import eventful
from tests.support.command_line import COMMAND, ENVIRONMENT, WITHIN_S, ran
from tests.support.odds_builders import EPOCH, serving


class Watch:
    """A process of `odds-service watch`."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "watch", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )

    async def line(self) -> str:
        assert self.process.stdout is not None
        with trio.fail_after(WITHIN_S):
            return await trio.to_thread.run_sync(self.process.stdout.readline)

    async def message(self) -> pb.WatchChangesResponse:
        return Parse(await self.line(), pb.WatchChangesResponse())

    async def until(self, kind: str) -> pb.WatchChangesResponse:
        while True:
            message = await self.message()
            if message.WhichOneof("message") == kind:
                return message

    async def end(self, number: signal.Signals | None = None) -> tuple[int, str]:
        """Send a signal; return the exit code and stderr."""
        if number is not None:
            self.process.send_signal(number)
        _, complaints = await trio.to_thread.run_sync(self.process.communicate)
        return self.process.returncode, complaints


async def test_watch_prints_every_message_as_it_comes_and_ends_on_a_signal() -> None:
    book = book_of()
    async with serving(book) as server:
        watch = Watch("--json", "--server", server.address, "--event", "e1")
        opened = await watch.message()
        assert opened.opened.intent == pb.INTENT_IMAGE
        end = await watch.until("image_end")
        assert end.image_end.markets == 3
        see(book, 1.7, 1)
        changes = await watch.until("changes")
        (change,) = changes.changes.changes
        assert change.after.outcomes[0].price == 1.7
        code, complaints = await watch.end(signal.SIGINT)
    assert code == 130
    assert complaints == ""


async def test_watch_names_the_events_of_its_map() -> None:
    book = book_of()
    async with serving(book) as server:
        watch = Watch("--server", server.address, "--event", "e1")
        while "image: 1 event," not in await watch.line():
            pass
        see(book, 1.7, 1)
        assert "prices  Reds – Blues  b1  h2h  home 1.5" in await watch.line()
        assert (await watch.end(signal.SIGINT))[0] == 130


async def test_watch_resumes_at_a_cursor() -> None:
    book = book_of()
    cursor = book.feed.cursor
    see(book, 1.7, 1)
    async with serving(book) as server:
        watch = Watch(
            "--server", server.address, "--resume", f"{cursor.epoch}:{cursor.revision}", "--latest"
        )
        told = f"— changes (resumed) at revision {cursor.revision} · times in UTC\n"
        assert await watch.line() == told
        assert "prices  e1  b1  h2h  home 1.50 → 1.70  away 2.50" in await watch.line()
        assert (await watch.end(signal.SIGINT))[0] == 130


async def test_watch_goes_on_when_the_server_is_back() -> None:
    book = book_of()
    async with serving(book) as server:
        address = server.address
        watch = Watch("--json", "--server", address)
        await watch.until("image_end")
    book.feed.__dict__["_closed"] = False
    see(book, 1.7, 1)
    async with serving(book, settings=ServerSettings(listen=address)):
        again = await watch.until("opened")
        assert again.opened.reason == pb.INTENT_REASON_RESUMED
        assert len((await watch.until("changes")).changes.changes) == 2
        code, complaints = await watch.end(signal.SIGINT)
    assert code == 130
    assert "trying again in" in complaints
    assert "Traceback" not in complaints


async def test_watch_ends_by_itself_where_it_is_told_to() -> None:
    async with serving(book_of()) as server:
        image = await ran("watch", "--json", "--image-only", "--server", server.address)
        short = await ran("watch", "--seconds", "0.5", "--server", server.address)
    assert image.returncode == short.returncode == 0
    assert messages(image.stdout, pb.WatchChangesResponse)[-1].HasField("image_end")
    assert short.stdout.splitlines()[-1] == "— image: 2 events, 6 markets"


async def test_a_reader_that_leaves_ends_it_quietly() -> None:
    book = book_of()
    async with serving(book) as server:
        watch = Watch("--json", "--server", server.address)
        await watch.message()
        assert watch.process.stdout is not None
        watch.process.stdout.close()
        see(book, 1.7, 1)
        assert watch.process.stderr is not None
        complaints = await trio.to_thread.run_sync(watch.process.stderr.read)
        await trio.to_thread.run_sync(watch.process.wait)
        watch.process.stderr.close()
    assert complaints == ""


async def test_the_past_is_watched_like_the_present() -> None:
    book = eventful()
    async with serving(book) as server:
        start = f"{EPOCH}:20"
        told = await ran("watch", "--replay", start, "--server", server.address)
        lines = await ran("watch", "--replay", start, "--json", "--server", server.address)
        part = await ran(
            "watch", "--replay", start, "--until", f"{EPOCH}:30", "--speed", "10000",
            "--server", server.address,
        )  # fmt: skip
        slow = await ran(
            "watch", "--replay", f"{EPOCH}:0", "--speed", "1", "--seconds", "2",
            "--server", server.address,
        )  # fmt: skip
    assert told.returncode == part.returncode == slow.returncode == 0, told.stderr + slow.stderr
    head = book.feed.head_revision
    *shown, last = told.stdout.splitlines()
    changes = [line for line in shown if not line.startswith("—")]
    assert len(changes) == head - 20
    assert last == f"— the end, at revision {head}"
    messages = [Parse(line, pb.ReplayResponse()) for line in lines.stdout.splitlines()]
    assert messages[0].HasField("opened")
    assert messages[-1].end.cursor.revision == head
    assert len([line for line in part.stdout.splitlines() if line[0] != "—"]) == 10
    assert "— the end" not in slow.stdout


async def test_options_of_the_past_and_of_the_present_do_not_mix() -> None:
    for given in (
        ("--speed", "2"),
        ("--until", "now"),
        ("--replay", "-1h", "--latest"),
        ("--replay", "-1h", "--json", "--speed", "2"),
    ):
        told = await ran("watch", *given, "--server", "127.0.0.1:1")
        assert told.returncode == 2, given
