"""`odds-service bus` on real servers, with the users of deploy/nats-users.conf."""

import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from odds_service.bus.messages import Batch, Opened, encode
from tests.support.command_line import complaint, run
from tests.support.log_rigs import run as on_loop
from tests.support.nats_servers import NatsServer, nats_cluster, nats_server
from tests.support.ports import free_port

pytest.importorskip("nats", reason="needs the extra bus")

from odds_service.bus.connection import Connection, NatsOptions
from odds_service.bus.nats import NatsLog

USERS: Final = Path(__file__).resolve().parents[2] / "deploy" / "nats-users.conf"
ROLES: Final = ("admin", "ingest", "read")
EPOCH: Final = "0f0e0d0c-epoch"

Bus = Callable[..., subprocess.CompletedProcess[str]]


def password(user: str) -> str:
    return f"password-of-{user}"


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    """Yield one server that knows the users."""
    with pytest.MonkeyPatch.context() as environment:
        for role in ROLES:
            environment.setenv(f"ODDS_BUS_{role.upper()}_PASSWORD", password(role))
        with nats_server(USERS.read_text("utf-8")) as server:
            yield server


def settings(folder: Path, urls: list[str], user: str = "", **more: Any) -> Path:
    """Write the settings of a node, and return the file."""
    role = "ingest" if user == "ingest" else "read"
    given = {"servers": urls, "replicas": 1} | more
    if user:
        given |= {"user": user, "password": password(user)}
    lines = [f"{key} = {value!r}".replace("'", '"') for key, value in given.items()]
    path = folder / f"{user or 'nobody'}.toml"
    database = '[database]\nurl = "postgresql://nobody@127.0.0.1/odds"\n'
    path.write_text(f'role = "{role}"\n{database}[bus]\n' + "\n".join(lines))
    return path


def bus(*arguments: str, config: Path) -> subprocess.CompletedProcess[str]:
    return run("bus", *arguments, "--config", str(config))


def rows(ended: subprocess.CompletedProcess[str]) -> list[list[str]]:
    return [line.split("\t") for line in ended.stdout.splitlines() if "\t" in line][1:]


def api(url: str, verb: str, asked: dict[str, Any], user: str | None = None) -> dict[str, Any]:
    """Return JetStream's answer to a request, as the user of that name or without one."""
    answers: list[dict[str, Any]] = []

    async def ask() -> None:
        word = password(user) if user else None
        connection = Connection(NatsOptions(servers=[url], user=user, password=word))
        body = msgspec.json.encode(asked) if asked else b""
        answer = await connection.request(f"$JS.API.{verb}", body)
        answers.append(msgspec.json.decode(answer.data))
        await connection.aclose()

    on_loop(ask())
    return answers[0]


def delete_stream(server: NatsServer) -> None:
    """Delete the stream if there is one, and wait until its place is free."""
    if "error" not in api(server.url, "STREAM.INFO.ODDS", {}, "admin"):
        api(server.url, "STREAM.DELETE.ODDS", {}, "admin")


def make_other(url: str, **changes: Any) -> None:
    """Make a stream, or change it, that differs from the log's, on a server without users."""
    given = {
        "name": "ODDS", "subjects": ["odds.log"], "retention": "limits", "storage": "file",
        "discard": "old", "deny_delete": True, "deny_purge": True, "num_replicas": 1,
    } | changes  # fmt: skip
    there = "error" not in api(url, "STREAM.INFO.ODDS", {})
    answer = api(url, f"STREAM.{'UPDATE' if there else 'CREATE'}.ODDS", given)
    assert "error" not in answer, answer


def write(server: NatsServer, *messages: bytes) -> None:
    """Append messages to the log, as the ingest node does."""

    async def append() -> None:
        options = NatsOptions(
            servers=[server.url], replicas=1, user="ingest", password=password("ingest")
        )
        log = NatsLog(options)
        last = (await log.info()).last
        for message in messages:
            last = await log.append(message, last)
        await log.aclose()

    on_loop(append())


@pytest.fixture
def stream(server: NatsServer, tmp_path: Path) -> NatsServer:
    """Return a server with a new stream."""
    delete_stream(server)
    made = bus("init", config=settings(tmp_path, [server.url], "admin"))
    assert made.returncode == 0, made.stderr
    return server


def test_init_makes_the_stream_once(server: NatsServer, tmp_path: Path) -> None:
    delete_stream(server)
    config = settings(tmp_path, [server.url], "admin")
    first, second = bus("init", config=config), bus("init", config=config)
    assert first.stdout == "made stream ODDS, 1 copy, which ends with its server\n"
    assert second.stdout.startswith("there is already a stream ODDS, 1 copy")
    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stderr == second.stderr == ""


def test_init_needs_the_right_to_make_streams(server: NatsServer, tmp_path: Path) -> None:
    delete_stream(server)
    said = complaint(bus("init", config=settings(tmp_path, [server.url], "read")))
    assert "the user read of the bus may not publish" in said


def test_init_refuses_a_stream_that_the_log_cannot_use(tmp_path: Path) -> None:
    with nats_server() as server:
        make_other(server.url, retention="workqueue")
        said = complaint(bus("init", config=settings(tmp_path, [server.url])))
        assert 'retention is "workqueue" instead of "limits"' in said
        assert "deny_delete" not in said
        assert "name another one in bus.stream" in said
        checked = bus("check", config=settings(tmp_path, [server.url]))
        assert checked.returncode == 1
        assert ["wrong", "stream ODDS", 'retention is "workqueue" instead of "limits"'] in rows(
            checked
        )


def test_other_bounds_are_told_and_left(tmp_path: Path) -> None:
    with nats_server() as server:
        make_other(server.url, max_bytes=5_000_000, max_msg_size=1_000)
        config = settings(tmp_path, [server.url])
        said = complaint(bus("init", config=config))
        assert "max_msg_size is 1000 instead of -1" in said
        make_other(server.url, max_bytes=5_000_000)
        made = bus("init", config=config)
        assert made.returncode == 0
        assert "it stays as it is: max_bytes is 5000000 instead of 2000000000" in made.stderr
        checked = bus("check", config=config)
        assert checked.returncode == 0, checked.stdout
        assert ["note", "stream ODDS", "max_bytes is 5000000 instead of 2000000000"] in rows(
            checked
        )


def test_init_on_one_server_says_how_many_copies_suit_it(
    server: NatsServer, tmp_path: Path
) -> None:
    delete_stream(server)
    config = settings(tmp_path, [server.url], "admin", replicas=3)
    assert "bus.replicas = 1 suits a single server" in complaint(bus("init", config=config))


@pytest.mark.parametrize("role", ["ingest", "read"])
def test_check_finds_nothing_wrong_with_the_users_of_the_file(
    role: str, stream: NatsServer, tmp_path: Path
) -> None:
    write(stream, encode(Opened(((EPOCH, 1),), 1, 0))[0])
    monitor = f"http://127.0.0.1:{stream.monitor_port}"
    checked = bus(
        "check", "--monitor", monitor, config=settings(tmp_path, [stream.url], role)
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr
    found = {about: (result, text) for result, about, text in rows(checked)}
    assert {result for result, _ in found.values()} == {"ok"}
    place = stream.url.removeprefix("nats://")
    assert found[f"server {place}"][1].startswith("version 2.")
    assert found[f"rights of {role}"][1] == f'has all that role = "{role}" needs'
    assert found["sync_interval of n1"][1] == "always"
    assert "the newest message came in" in found["reader"][1]


def test_check_names_rights_that_are_missing(stream: NatsServer, tmp_path: Path) -> None:
    text = (
        settings(tmp_path, [stream.url], "read").read_text().replace('"read"\n[', '"ingest"\n[', 1)
    )
    config = tmp_path / "mixed.toml"
    config.write_text(text)
    checked = bus("check", config=config)
    assert checked.returncode == 1
    wrong = [found for result, _, found in rows(checked) if result == "wrong"]
    assert "may not publish odds.log, to write the log" in wrong
    assert "may not subscribe to odds.refresh, to hear requests of read nodes" in wrong


def test_check_notes_rights_that_do_harm(tmp_path: Path) -> None:
    with nats_server() as server:
        config = settings(tmp_path, [server.url])
        assert bus("init", config=config).returncode == 0
        checked = bus("check", config=config)
        assert checked.returncode == 0
        (note,) = [text for result, about, text in rows(checked) if about == "rights" and
                   result == "note"]  # fmt: skip
        assert "delete the log" in note
        assert "publish odds.log, to write the log" in note


def test_check_tells_of_servers_that_are_away_and_of_a_slow_disk_setting(
    stream: NatsServer, tmp_path: Path
) -> None:
    nowhere = f"nats://127.0.0.1:{free_port()}"
    config = settings(tmp_path, [stream.url, nowhere], "read")
    checked = bus("check", "--monitor", nowhere, config=config)
    assert checked.returncode == 1
    found = {about: (result, text) for result, about, text in rows(checked)}
    result, text = found[f"server {nowhere.removeprefix('nats://')}"]
    assert result == "wrong"
    assert "cannot connect" in text
    assert found[f"monitor {nowhere}"] == ("wrong", "not like http://127.0.0.1:8222")
    assert found["stream ODDS"][0] == "ok"  # the other server answers


def test_check_says_that_a_server_does_not_flush(tmp_path: Path) -> None:
    with nats_server() as server:
        server.stop()
        conf = server.folder / "nats.conf"
        conf.write_text(conf.read_text().replace("sync_interval: always", "sync_interval: 2m"))
        server.start()
        config = settings(tmp_path, [server.url])
        monitor = f"http://127.0.0.1:{server.monitor_port}"
        checked = bus("check", "--monitor", monitor, config=config)
        assert checked.returncode == 1
        text = "not always: a power loss takes acknowledged messages away"
        assert ["wrong", "sync_interval of n1", text] in rows(checked)


def test_a_bus_that_is_away_is_one_line(tmp_path: Path) -> None:
    config = settings(tmp_path, [f"nats://127.0.0.1:{free_port()}"], "read")
    for command in ("init", "status"):
        assert "cannot connect to the bus" in complaint(bus(command, config=config))


def test_without_a_stream_it_says_how_to_make_one(server: NatsServer, tmp_path: Path) -> None:
    delete_stream(server)
    config = settings(tmp_path, [server.url], "read")
    said = "there is no stream ODDS on the bus; odds-service bus init makes it"
    assert said in complaint(bus("status", config=config))
    checked = bus("check", config=config)
    assert checked.returncode == 1
    assert ["wrong", "stream ODDS", said] in rows(checked)


def test_status_shows_the_newest_messages(stream: NatsServer, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    beats = [encode(Batch(EPOCH, 0, 0, sent_at=now))[0] for _ in range(3)]
    write(stream, encode(Opened(((EPOCH, 1),), 1, 0))[0], *beats, b"\x7f")
    shown = bus("status", "--messages", "3", config=settings(tmp_path, [stream.url], "read"))
    assert shown.returncode == 0, shown.stderr
    first, second, *_ = shown.stdout.splitlines()
    assert first.startswith("stream ODDS, 1 copy")
    assert second.startswith("messages 1 to 5, ")
    assert second.endswith(", 0 readers")
    assert ["n1", "leader", "0"] in rows(shown)
    last = [row for row in rows(shown) if len(row) == 7][-3:]
    assert [row[0] for row in last] == ["3", "4", "5"]
    assert last[0][1:5] == ["a beat", EPOCH, "0", "0"]
    assert "version 127" in last[2][1]
    assert all(row[6].endswith(" s") for row in last)


def test_a_cluster_shows_its_copies_and_who_is_offline(tmp_path: Path) -> None:
    with nats_cluster() as servers:
        config = settings(tmp_path, [each.url for each in servers], replicas=3)
        made = bus("init", config=config)
        assert made.stdout == "made stream ODDS, 3 copies\n", made.stderr
        shown = bus("status", config=config)
        copies = {row[0]: row[1] for row in rows(shown) if len(row) == 3 and row[0] != "server"}
        assert set(copies) == {"n1", "n2", "n3"}
        assert sorted(copies.values()) == ["current", "current", "leader"]
        lost = next(each for each in servers if copies[each.name] != "leader")
        lost.kill()
        checked = bus("check", config=config)
        assert checked.returncode == 1
        wrong = [text for result, _, text in rows(checked) if result == "wrong"]
        assert any("cannot connect" in text for text in wrong)


def test_a_single_process_has_no_bus_to_look_at() -> None:
    assert 'role = "all" uses no bus' in complaint(run("bus", "check"))


def test_without_its_extra_it_says_which(tmp_path: Path) -> None:
    hidden = tmp_path / "sitecustomize.py"
    hidden.write_text(
        "import importlib.util as util\nfound = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'nats' else found(name, *more)\n"
    )
    ended = run("bus", "check", PYTHONPATH=f"{tmp_path}:{Path(__file__).resolve().parents[2]}")
    assert "pip install 'odds-service[server,bus]'" in complaint(ended)
