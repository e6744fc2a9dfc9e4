"""The command line: what its commands print, how they end, and that it starts fast."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from google.protobuf.json_format import Parse
from google.protobuf.message import Message

from odds_service import cli
from odds_service.client import json_line
from odds_service.config import ServerSettings
from odds_service.model.market import MarketKey
from odds_service.rpc.pb.odds.v1 import odds_pb2 as pb
from tests.support.observations import Prices, observe, observed_event
from tests.support.odds_builders import Bookkeeping, serving

ROOT = Path(__file__).resolve().parent.parent
WITHIN_S = 60.0
COMMAND = [sys.executable, "-m", "odds_service"]
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("ODDS_")} | {
    "PYTHONPATH": str(ROOT),
    "COLUMNS": "200",
    "NO_COLOR": "1",
}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=WITHIN_S,
        env=ENVIRONMENT | environment,
    )


async def ran(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return await trio.to_thread.run_sync(lambda: run(*arguments, **environment))


def book_of(price: float = 1.5) -> Bookkeeping:
    book = Bookkeeping()
    see(book, price)
    return book


def see(book: Bookkeeping, price: float, minute: float = 0) -> None:
    offer: dict[str, dict[MarketKey, Prices]] = {
        "b1": {
            MarketKey("h2h"): {"home": price, "away": 2.5},
            MarketKey("totals", "2.5"): {"over": 1.9, "under": None},
        },
        "b2": {MarketKey("h2h"): {"home": 1.6, "away": 2.4}},
    }
    events = [observed_event("e1", offer, home="Reds", away="Blues"), observed_event("e2", offer)]
    book.see(observe(events, minute))


def messages(text: str, kind: type[Message]) -> list[Message]:
    """Each line is one message of the contract; unknown fields would raise."""
    return [Parse(line, kind()) for line in text.splitlines()]


async def test_get_prints_odds_side_by_side_or_the_reply() -> None:
    async with serving(book_of()) as server:
        table = await ran("get", "e1", "--server", server.address, "--best")
        reply = await ran("get", "--server", server.address, "--bookmaker", "b1", "--json")
    assert table.returncode == 0, table.stderr
    for text in ("Reds – Blues", "totals 2.5", "home 1.6  away 2.4", "under (–)", "best prices"):
        assert text in table.stdout, table.stdout
    assert "1 events at revision" in table.stdout
    (odds,) = messages(reply.stdout, pb.GetOddsResponse)
    assert isinstance(odds, pb.GetOddsResponse)
    assert {entry.event.id for entry in odds.events} == {"e1", "e2"}
    assert {b.bookmaker for entry in odds.events for b in entry.bookmakers} == {"b1"}


async def test_events_status_and_history() -> None:
    async with serving(book_of()) as server:
        address = {"ODDS_SERVER": server.address}
        table = await ran("events", **address)
        listed = await ran("events", "--json", **address)
        status = await ran("status", **address)
        told = await ran("status", "--json", **address)
        history = await ran("history", "--market", "h2h", **address)
        stored = await ran("history", "--json", "--event", "e1", **address)
    assert "Reds – Blues" in table.stdout
    assert [m.event.id for m in messages(listed.stdout, pb.ListedEvent)] == ["e1", "e2"]  # type: ignore[attr-defined]  # of that kind
    assert "head 8" in status.stdout
    (reply,) = messages(told.stdout, pb.GetStatusResponse)
    assert isinstance(reply, pb.GetStatusResponse)
    assert reply.head_revision == 8
    assert history.stdout.count("added") == 6  # 4 markets and the 2 events
    kinds = [m.kind for m in messages(stored.stdout, pb.Change)]  # type: ignore[attr-defined]  # of that kind
    assert kinds == [pb.CHANGE_KIND_EVENT_ADDED, *3 * [pb.CHANGE_KIND_ADDED]]


class Watch:
    """`odds-service watch` as a process of its own."""

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
        """Its exit code, after a signal, and what it complained of."""
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


async def test_watch_resumes_at_a_cursor() -> None:
    book = book_of()
    cursor = book.feed.cursor
    see(book, 1.7, 1)
    async with serving(book) as server:
        watch = Watch(
            "--server", server.address, "--resume", f"{cursor.epoch}:{cursor.revision}", "--latest"
        )
        assert await watch.line() == f"— changes (resumed) at revision {cursor.revision}\n"
        assert "prices  e1  b1  h2h  home 1.5  away 2.5 → home 1.7  away 2.5" in await watch.line()
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


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["get", "--server", "127.0.0.1:1"], 1, "error: no server answers at 127.0.0.1:1"),
        (["watch", "--server", "127.0.0.1:1"], 1, "error: no server answers at 127.0.0.1:1"),
        (["status", "--server", "nowhere"], 1, "error: 'nowhere' is not host:port"),
        (["get", "--server", "h:1", "--token", "t0ken"], 1, "in the clear: use TLS"),
        (["get", "--ca", "/no/such.pem"], 1, "error: /no/such.pem cannot be read"),
        (["get", "--token-file", "/no/such"], 1, "error: --token-file: /no/such cannot be read"),
        (["watch", "--resume", "12"], 2, "is not EPOCH:REVISION"),
        (["watch", "--conflate", "much"], 2, "--conflate"),
        (["get", "--start-from", "noon"], 2, "noon"),
        (["gett"], 2, "Did you mean 'get'"),
        (["refresh"], 2, "Missing argument"),
    ],
)
def test_an_error_is_one_clear_line(arguments: list[str], code: int, says: str) -> None:
    ended = run(*arguments)
    assert ended.returncode == code, ended
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "t0ken" not in ended.stderr
    assert ended.stdout == ""
    if code == 1:
        assert len(ended.stderr.splitlines()) == 1


async def test_the_servers_refusal_is_one_line_too() -> None:
    async with serving(Bookkeeping()) as server:
        ended = await ran("refresh", "e1", "--server", server.address)
        empty = await ran("get", "--sport", "", "--server", server.address)
    assert (ended.returncode, empty.returncode) == (1, 1)
    assert len(ended.stderr.splitlines()) == len(empty.stderr.splitlines()) == 1
    assert "holds an empty value" in empty.stderr


def test_the_overview_says_what_the_commands_say_and_loads_none_of_them() -> None:
    for name, line in cli.COMMANDS.items():
        own = " ".join((cli.load(name).help or "").split("\n\n")[0].split())
        assert own == line, name
    script = (
        "import sys\n"
        "from odds_service.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'grpc', 'trio', 'sqlalchemy', 'httpx', 'google'} & set(sys.modules)))\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=WITHIN_S,
        env=ENVIRONMENT,
    ).stdout
    assert shown.splitlines()[-1] == "[]"
    for name in cli.COMMANDS:
        assert f" {name} " in shown


def test_json_lines_name_their_fields_as_the_contract_does() -> None:
    """lowerCamelCase, 64-bit integers as text: what other languages' protobuf libraries read."""
    heartbeat = pb.Heartbeat(cursor=pb.Cursor(epoch="e1", revision=2**40), prev_revision=1)
    assert json.loads(json_line(pb.WatchChangesResponse(heartbeat=heartbeat))) == {
        "heartbeat": {"cursor": {"epoch": "e1", "revision": str(2**40)}, "prevRevision": "1"}
    }
