"""The users of deploy/nats-users.conf on a real server: each role can do its work, and no more."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import pytest
import structlog
from pydantic import SecretStr

from odds_service.bus.finding import find
from odds_service.bus.log import Log, Unavailable, WrongSequence
from odds_service.bus.messages import Opened, encode
from odds_service.config import BusSettings
from tests.bus.test_bus import answering, ended, has_no_answer, hearing, twice
from tests.bus.test_log import take
from tests.support.log_rigs import run, until
from tests.support.nats_servers import NatsServer, nats_server

pytest.importorskip("nats", reason="needs the extra bus")

from odds_service.bus.inspecting import permissions
from odds_service.bus.nats_bus import NatsBus
from odds_service.bus.opening import open_bus

USERS: Final = Path(__file__).resolve().parents[2] / "deploy" / "nats-users.conf"
REFRESH: Final = "odds.refresh"
STATUS: Final = "odds.status"
OPENED: Final = encode(Opened((("e", 1),), 1, 0))[0]
ROLES: Final = ("admin", "ingest", "read")


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    """Yield a server with the users, which logs what they send."""
    with pytest.MonkeyPatch.context() as environment:
        for role in ROLES:
            environment.setenv(f"ODDS_BUS_{role.upper()}_PASSWORD", f"password-of-{role}")
        with nats_server(f"{USERS.read_text('utf-8')}\ntrace: true") as server:
            yield server


def bus_of(server: NatsServer, role: str) -> NatsBus:
    password = SecretStr(f"password-of-{role}")
    return open_bus(BusSettings(servers=[server.url], replicas=1, user=role, password=password))


@asynccontextmanager
async def buses(server: NatsServer) -> AsyncIterator[tuple[NatsBus, NatsBus, NatsBus]]:
    """Yield a bus for each role, with an empty stream; nothing may lack a permission."""
    opened = [bus_of(server, role) for role in ROLES]
    admin, ingest, read = opened
    try:
        with suppress(Unavailable):  # there may be none yet
            await admin._connection.request("$JS.API.STREAM.DELETE.ODDS", b"")
        await admin.log.make()
        yield admin, ingest, read
    finally:
        for bus in opened:
            await bus.aclose()


async def work_of_all(admin: NatsBus, ingest: NatsBus, read: NatsBus) -> None:
    """Do everything that nodes do with the bus."""
    for bus in (admin, ingest, read):  # as `odds-service bus check` does
        await bus._connection.request("$SYS.REQ.USER.INFO", b"")
    assert (await admin.log.make()).last == 0
    heard: list[bytes] = []
    status_of_admin: list[bytes] = []
    async with (
        answering(ingest, REFRESH, twice, read),
        hearing(read, STATUS, heard.append, ingest),
        hearing(admin, STATUS, status_of_admin.append, ingest),
    ):
        assert await ingest.log.append(OPENED, 0) == 1
        assert await ingest.log.append(OPENED, 0) == 1  # a repeat
        with pytest.raises(WrongSequence):
            await ingest.log.append(b"other", 0)
        for log in (ingest.log, read.log):
            await use(log)
        for bus in (admin, ingest, read):
            assert await permissions(bus._connection)
        assert await read.ask(REFRESH, b"x", 10) == b"xx"
        await ingest.tell(STATUS, b"fine")

        async def is_heard() -> bool:
            return heard == status_of_admin == [b"fine"]

        await until(is_heard)


async def use(log: Log) -> None:
    """Use a log as readers do."""
    assert (await log.info()).last == 1
    stored = await log.last()
    assert stored is not None
    assert await log.at(1) == stored
    assert await find(log, 0) == 1
    assert await take(log, 1, 1) == [stored]


def test_each_role_can_do_its_work(server: NatsServer) -> None:
    async def test() -> None:
        with structlog.testing.capture_logs() as logs:
            async with buses(server) as (admin, ingest, read):
                await work_of_all(admin, ingest, read)
        assert [entry for entry in logs if entry["event"] == "bus_permission_missing"] == []

    run(test())


@pytest.mark.parametrize(
    ("role", "subject"),
    [
        ("ingest", "$JS.API.STREAM.DELETE.ODDS"),
        ("ingest", "$JS.API.STREAM.PURGE.ODDS"),
        ("ingest", "$JS.API.STREAM.UPDATE.ODDS"),
        ("ingest", "$JS.API.STREAM.CREATE.ODDS"),
        ("ingest", "$JS.API.STREAM.CREATE.OTHER"),
        ("ingest", "$JS.API.STREAM.INFO.OTHER"),
        ("ingest", "$JS.API.STREAM.MSG.DELETE.ODDS"),
        ("ingest", "odds.refresh"),
        ("ingest", "_INBOX.read.x"),
        ("ingest", "other"),
        ("read", "odds.log"),
        ("read", "$JS.API.STREAM.DELETE.ODDS"),
        ("read", "$JS.API.STREAM.PURGE.ODDS"),
        ("read", "$JS.API.STREAM.CREATE.OTHER"),
        ("read", "_INBOX.read.x"),
        ("read", "odds.status"),
        ("admin", "odds.log"),
        ("admin", "odds.refresh"),
    ],
)
def test_a_role_may_send_nothing_else(server: NatsServer, role: str, subject: str) -> None:
    async def test() -> None:
        async with buses(server) as opened:
            bus = opened[ROLES.index(role)]
            said = re.escape(f"the user {role} of the bus may not publish {subject}")
            async with asyncio.timeout(3):  # at once, and not by the time limit of an answer
                with pytest.raises(Unavailable, match=said):
                    await bus._connection.request(subject, b"{}", within_s=10)
            assert (await opened[0].log.info()).last == 0

    run(test())


def test_a_reader_cannot_append(server: NatsServer) -> None:
    async def test() -> None:
        async with buses(server) as (_, ingest, read):
            with pytest.raises(Unavailable, match=r"the user read .* may not publish odds\.log"):
                await read.log.append(OPENED, 0)
            with pytest.raises(Unavailable, match=r"may not publish \$JS\.API\.STREAM\.CREATE"):
                await read.log.make()
            assert (await ingest.log.info()).last == 0

    run(test())


@pytest.mark.parametrize(
    ("role", "subject"),
    [
        ("read", "odds.log"),
        ("read", REFRESH),
        ("read", "_INBOX.ingest.>"),
        ("read", ">"),
        ("ingest", "_INBOX.read.>"),
        ("ingest", "odds.log"),
        ("ingest", STATUS),
        ("admin", REFRESH),
        ("admin", "_INBOX.>"),
    ],
)
def test_a_role_may_hear_nothing_else(server: NatsServer, role: str, subject: str) -> None:
    async def test() -> None:
        async with buses(server) as opened:
            with structlog.testing.capture_logs() as logs:
                bus = opened[ROLES.index(role)]
                heard: list[bytes] = []
                hears = asyncio.create_task(bus.hear(subject, heard.append))

                async def is_told() -> bool:
                    return "bus_permission_missing" in [entry["event"] for entry in logs]

                await until(is_told)
                await ended(hears)
            told = next(entry for entry in logs if entry["event"] == "bus_permission_missing")
            assert told["log_level"] == "warning"
            wanted = f"the user {role} of the bus may not subscribe to {subject.lower()}"
            assert told["reason"] == wanted

    run(test())


def test_a_reader_cannot_answer_in_place_of_the_ingest_node(server: NatsServer) -> None:
    async def test() -> None:
        async with buses(server) as (_, _ingest, read):
            answers = asyncio.create_task(read.answer(REFRESH, twice))
            other = bus_of(server, "read")
            for _ in range(3):
                assert await has_no_answer(other, REFRESH)
            await other.aclose()
            await ended(answers)

    run(test())


def test_a_state_that_may_not_be_told_is_warned_of_once(server: NatsServer) -> None:
    async def test() -> None:
        async with buses(server) as (_, _ingest, read):
            with structlog.testing.capture_logs() as logs:
                for _ in range(3):
                    await read.tell(STATUS, b"forged")
                await read.log.info()
            told = [entry["reason"] for entry in logs if entry["event"] == "bus_permission_missing"]
            assert told == ["the user read of the bus may not publish odds.status"]

    run(test())


def test_silence_names_the_subject_and_the_permission_that_may_be_missing() -> None:
    """Without the permission to read its replies, a node gets none, and no error with its name."""
    users = USERS.read_text("utf-8").replace("_INBOX.read.>", "_INBOX.other.>")

    async def test(server: NatsServer) -> None:
        bus = bus_of(server, "read")
        with pytest.raises(Unavailable) as refused:
            await bus._connection.request("$JS.API.STREAM.INFO.ODDS", b"", within_s=0.3)
        said = str(refused.value)
        assert said.startswith("no answer of the bus to $JS.API.STREAM.INFO.ODDS in 0.3 s: ")
        assert "the user read of the bus may not subscribe to _inbox.read." in said
        await bus.aclose()

    with pytest.MonkeyPatch.context() as environment:
        for role in ROLES:
            environment.setenv(f"ODDS_BUS_{role.upper()}_PASSWORD", f"password-of-{role}")
        with nats_server(users) as server:
            run(test(server))


def test_no_role_has_a_right_that_its_work_does_not_need(server: NatsServer) -> None:
    test_each_role_can_do_its_work(server)
    sent = used_subjects(server.log_text())
    unused = [
        (role, action, pattern)
        for role, action, pattern in rights()
        if not any(matches(pattern, subject) for subject in sent[role, action])
    ]
    assert unused == []


def used_subjects(trace: str) -> dict[tuple[str, str], set[str]]:
    """Return the subjects that each user has published and subscribed to."""
    found: dict[tuple[str, str], set[str]] = {
        (role, action): set() for role in ROLES for action in ("publish", "subscribe")
    }
    verbs = {"PUB": "publish", "HPUB": "publish", "SUB": "subscribe"}
    for role, verb, subject in re.findall(r'user:(\w+)" - <<- \[(\w+) ([^\s\]]+)', trace):
        if verb in verbs:
            found[role, verbs[verb]].add(subject)
    return found


def rights() -> list[tuple[str, str, str]]:
    """Return role, action and subject of each right in the file."""
    found = []
    text = re.sub(r"#.*", "", USERS.read_text("utf-8"))
    for role, block in re.findall(r"user: (\w+)(.*?)(?=user:|\Z)", text, re.DOTALL):
        for action, listed in re.findall(r"(publish|subscribe): \[(.*?)\]", block, re.DOTALL):
            found += [(role, action, subject) for subject in re.findall(r'"([^"]+)"', listed)]
    assert len(found) > 15
    return found


def matches(pattern: str, subject: str) -> bool:
    words = [{"*": r"[^.]+", ">": r".+"}.get(word, re.escape(word)) for word in pattern.split(".")]
    return re.fullmatch(r"\.".join(words), subject) is not None


def test_wildcards_are_whole_words() -> None:
    for role, _, pattern in rights():
        assert not re.search(r"[^.][*>]|[*>][^.]", pattern), (role, pattern)
