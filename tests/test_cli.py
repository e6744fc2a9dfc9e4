"""The command line: what its commands print, how they end, and that it starts fast."""

import json
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import trio
from google.protobuf.json_format import Parse
from google.protobuf.message import Message
from msgspec.structs import replace
from pydantic import SecretStr

from odds_service import cli
from odds_service.client import json_line
from odds_service.config import ServerSettings
from odds_service.model.market import MarketKey
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.support.command_line import COMMAND, ENVIRONMENT, WITHIN_S, complaint, ran, run
from tests.support.observations import NOON, Prices, observe, observed_event
from tests.support.odds_builders import Bookkeeping, serving


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
    book.see(observe([replace(event, sport="tennis") for event in events], minute))


def messages(text: str, kind: type[Message]) -> list[Message]:
    """Each line is one message of the contract; unknown fields would raise."""
    return [Parse(line, kind()) for line in text.splitlines()]


async def test_get_prints_odds_side_by_side_or_the_reply() -> None:
    async with serving(book_of()) as server:
        table = await ran("get", "e1", "--server", server.address, "--best")
        reply = await ran("get", "--server", server.address, "--bookmaker", "b1", "--json")
    assert table.returncode == 0, table.stderr
    lines = [line.split() for line in table.stdout.splitlines()]
    assert "Reds – Blues · soccer_epl" in table.stdout
    assert ["market", "outcome", "b1", "b2"] in lines
    assert ["h2h", "home", "1.50", "1.60"] in lines
    assert ["totals", "2.5", "over", "1.90"] in lines
    assert ["under", "(–)"] in lines
    assert ["h2h", "home", "1.60", "b2", "+2.50%"] in [line[:5] for line in lines]
    assert "1 event at revision" in table.stdout
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


async def test_watch_names_the_events_of_its_map() -> None:
    book = book_of()
    async with serving(book) as server:
        watch = Watch("--server", server.address, "--event", "e1")
        while "image: 1 events" not in await watch.line():
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


async def test_the_servers_refusal_is_one_line_too(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    book = book_of()
    book.stored_from = 5
    async with serving(book) as server:
        address = server.address
        for arguments, says in (
            (["refresh", "e1"], "nothing to fetch from"),
            (["get", "--sport", ""], "holds an empty value"),
            (["get", "nowhere"], "no such event: nowhere"),
            (["get", "--ca", str(garbage)], "TLS"),
            (["get", "--tls"], "TLS"),
            (["get", "--as-of", "e1:1"], "odds can be told from revision 4 on"),
            (["history", "--since", "e1:1"], "history is kept from revision 5 on"),
            (["history", "--since", "another:1"], "not of this log"),
            (["watch", "--resume", "e1:x"], ""),
        ):
            ended = await ran(*arguments, "--server", address)
            if says:
                assert says in complaint(ended), arguments
            else:
                assert ended.returncode == 2


async def test_a_refused_token_is_one_line() -> None:
    guarded = ServerSettings(listen="127.0.0.1:0", tokens=[SecretStr("open-sesame")])
    async with serving(book_of(), settings=guarded) as server:
        for command in ("get", "watch", "status", "history"):
            without = await ran(command, "--server", server.address)
            wrong = await ran(command, "--server", server.address, ODDS_TOKEN="t0ken")
            assert "token" in complaint(without) or "authenticat" in complaint(without)
            assert "t0ken" not in complaint(wrong)
        right = await ran("get", "--server", server.address, ODDS_TOKEN="open-sesame")
        assert right.returncode == 0, right.stderr


async def test_the_odds_of_the_past() -> None:
    book = Bookkeeping(keeps_past=True)
    see(book, 1.5)
    cursor, then = book.feed.cursor, NOON + timedelta(seconds=30)
    see(book, 1.9, 1)
    async with serving(book) as server:
        address = {"ODDS_SERVER": server.address}
        now = await ran("get", "e1", **address)
        by_cursor = await ran("get", "e1", "--as-of", f"e1:{cursor.revision}", **address)
        by_time = await ran("get", "e1", "--as-of", then.isoformat(), **address)
    assert "1.90" in now.stdout.split("home")[1].splitlines()[0]
    for past in (by_cursor, by_time):
        assert "1.50" in past.stdout.split("home")[1].splitlines()[0], past
        assert f"revision {cursor.revision}," in past.stdout


async def test_arbitrage_is_told_with_the_age_of_its_oldest_leg() -> None:
    shown = await best_of(over=2.04, under=2.0)
    assert [line for line in shown.splitlines() if line.startswith(("arbitrage", "suspect"))] == [
        "arbitrage -0.98%  Home – Away  totals 2.5: over 2.04 b2, under 2 b1; oldest leg 42.0 s"
    ]


async def test_what_is_too_good_to_be_true_is_shown_as_suspect_and_as_no_arbitrage() -> None:
    shown = await best_of(over=2.5, under=1.5)
    lines = shown.splitlines()
    assert not [line for line in lines if line.startswith("arbitrage")]
    assert lines[-2] == (
        "suspect -4.75%  Home – Away  totals 2.5: over 2.5 b2, under 1.81 b1; oldest leg 42.0 s"
        " (below_limit)"
    )
    (marked,) = [line for line in lines if "-4.75%" in line and not line.startswith("suspect")]
    assert "suspect" in lines[lines.index(marked) + 1]  # in the table, below the figure


async def best_of(over: float, under: float) -> str:
    """What `get --best` prints 42 s after b1 showed 1.8 and 1.81 or more, and b2 other prices."""
    book = Bookkeeping()
    totals = MarketKey("totals", "2.5")
    offer = {
        "b1": {totals: {"over": 1.8, "under": max(1.81, under)}},
        "b2": {totals: {"over": over, "under": 1.5}},
    }
    book.see(observe([observed_event("e1", offer)]))
    book.now = NOON + timedelta(seconds=42)
    async with serving(book) as server:
        return (await ran("get", "e1", "--best", "--server", server.address)).stdout


async def test_an_outright_is_shown_under_its_title() -> None:
    book = Bookkeeping()
    winner: dict[str, dict[MarketKey, Prices]] = {
        name: {MarketKey("outrights"): prices}
        for name, prices in (("b1", {"Ann": 5.0, "Bob": 9.0}), ("b2", {"Ann": 6.0}))
    }
    event = replace(observed_event("e1", winner, home="", away=""), title="Masters Winner")
    book.see(observe([event]))
    async with serving(book) as server:
        listed = await ran("events", "--server", server.address)
        shown = await ran("get", "--best", "--server", server.address)
    assert "Masters Winner" in listed.stdout
    assert "Masters Winner" in shown.stdout
    table = shown.stdout[shown.stdout.index("oldest leg") :]
    assert [line.split()[:3] for line in table.splitlines() if " b1" in line or " b2" in line] == [
        ["outrights", "Ann", "6.00"],
        ["Bob", "9.00", "b1"],
    ]


@pytest.mark.parametrize("columns", [80, 160])
async def test_many_markets_and_bookmakers_stay_readable(columns: int) -> None:
    """No line is wider than the terminal, and every price stands under its bookmaker."""
    book = Bookkeeping()
    offer: dict[str, dict[MarketKey, Prices]] = {
        f"bookmaker{n:02}": {
            MarketKey("totals", str(line)): {"over": n + 1 + line / 100, "under": None}
            for line in range(30)
        }
        for n in range(12)
    }
    book.see(observe([observed_event("e", offer)]))
    async with serving(book) as server:
        shown = await ran("get", "--server", server.address, COLUMNS=str(columns))
    lines = shown.stdout.splitlines()
    assert max(map(len, lines)) <= columns
    assert len([line for line in lines if "over" in line]) == 30 * (3 if columns == 80 else 1)
    for n in range(12):
        assert f"{n + 1:.2f}" in shown.stdout
        assert f"{n + 1 + 29 / 100:.2f}" in shown.stdout


async def test_names_stay_whole_where_there_is_room() -> None:
    """A bookmaker with a long name costs the others nothing, and is not broken in two."""
    book = Bookkeeping()
    names = ["a_long_bookmaker_name", *(f"b{n}" for n in range(7))]
    odds: Prices = {"home": 2.0, "away": 1.9}
    book.see(observe([observed_event("e", {name: {MarketKey("h2h"): odds} for name in names})]))
    async with serving(book) as server:
        shown = await ran("get", "--server", server.address, COLUMNS="160")
    assert any(all(name in line for name in names) for line in shown.stdout.splitlines())


@pytest.mark.parametrize("columns", [80, 120, 160])
async def test_an_event_is_a_line_with_its_whole_id(columns: int) -> None:
    book, id_ = Bookkeeping(), "e" * 32
    book.see(observe([observed_event(id_, {"b1": {MarketKey("h2h"): {"home": 2.0}}})]))
    async with serving(book) as server:
        address = {"ODDS_SERVER": server.address, "COLUMNS": str(columns)}
        shown = await ran("events", **address)
        none = await ran("events", "--sport", "none", **address)
    (line,) = (line for line in shown.stdout.splitlines() if id_ in line)
    assert line.split()[-2:] == ["1", "1"]
    assert max(map(len, shown.stdout.splitlines())) <= columns
    assert shown.stdout.splitlines()[-1] == "1 event"
    assert none.stdout == "0 events\n"


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
