"""The log on NATS beyond its contract: the stream's settings, silence, secrets, the library."""

import asyncio
import json
import logging
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from odds_service.bus.log import Gone, Log, LogError, Unavailable
from tests.bus.test_log import send, take, texts
from tests.support.certificates import make_certificates
from tests.support.log_rigs import NatsRig, run, until
from tests.support.nats_servers import NatsServer, nats_cluster, nats_server

nats = pytest.importorskip("nats", reason="needs the extra bus")

from nats.aio.client import Client  # noqa: E402  # after the skip
from nats.aio.msg import Msg  # noqa: E402

from odds_service.bus import nats as nats_log  # noqa: E402
from odds_service.bus.connection import ANSWER_S, Connection, NatsOptions  # noqa: E402
from odds_service.bus.inspecting import permissions, stream_seen  # noqa: E402
from odds_service.bus.nats import LOOK_S, PULL_MESSAGES, SILENT_S, NatsLog  # noqa: E402

PASSWORD = "correct-horse-battery"


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    with nats_server() as server:
        yield server


@pytest.fixture
def rig(server: NatsServer) -> NatsRig:
    return NatsRig([server])


async def ask(server: NatsServer, subject: str, body: object = None) -> Any:
    """Ask JetStream's API beside the log."""
    client = Client()
    await client.connect(server.url)
    try:
        answer = await client.request(
            f"$JS.API.{subject}", b"" if body is None else json.dumps(body).encode(), timeout=5
        )
        return json.loads(answer.data)
    finally:
        await client.close()


async def consumers(rig: NatsRig) -> list[str]:
    found = await ask(rig.servers[0], f"CONSUMER.NAMES.{rig.name}", {"offset": 0})
    return list(found["consumers"] or [])


async def _has_consumers(rig: NatsRig, count: int) -> bool:
    return len(await consumers(rig)) == count


async def _holds(log: Log, last: int) -> bool:
    return (await log.info()).last >= last


def test_appends_keep_their_order_though_answers_do_not(
    rig: NatsRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first append looks at the stream, and servers may answer such looks in any order."""

    async def test() -> None:
        made = await rig.make()
        request = Connection.request
        looks = iter(range(10, 0, -1))

        async def later(self: Connection, subject: str, *arguments: Any, **named: Any) -> Msg:
            answer = await request(self, subject, *arguments, **named)
            if "STREAM.INFO" in subject:
                await asyncio.sleep(0.02 * next(looks, 0))  # the earlier, the longer
            return answer

        monkeypatch.setattr(Connection, "request", later)
        log = rig.log()
        appended = [log.append(message, place) for place, message in enumerate(texts(9))]
        assert await asyncio.gather(*appended) == list(range(1, 10))
        await log.aclose()
        await made.aclose()

    run(test())


def test_a_question_that_a_server_drops_is_asked_again_and_a_message_is_not(
    rig: NatsRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers that elect a leader drop questions; a message sent twice could be stored twice."""
    publish = Client.publish
    sent: list[str] = []
    dropped = {"STREAM.INFO", "CONSUMER.CREATE", "STREAM.MSG.GET", f"{rig.name.lower()}.log"}

    async def lossy(self: Client, subject: str, *arguments: Any, **named: Any) -> None:
        sent.append(subject)
        lost = next((part for part in dropped if part in subject), None)
        if lost is None:
            await publish(self, subject, *arguments, **named)
        else:
            dropped.remove(lost)

    async def test() -> None:
        log = await rig.make()
        await send(log, texts(3))
        monkeypatch.setattr(Client, "publish", lossy)
        async with asyncio.timeout(ANSWER_S - 1):
            last = await log.last()
            assert last is not None
            assert last.message == texts(3)[-1]
            assert [stored.message for stored in await take(log, 1, 3)] == texts(3)
        assert dropped == {f"{rig.name.lower()}.log"}
        with pytest.raises(Unavailable):
            await log.append(texts(4)[-1], 3)
        assert sent.count(f"{rig.name.lower()}.log") == 1
        await log.aclose()

    run(test())


def test_the_stream_is_made_as_designed(rig: NatsRig) -> None:
    async def test() -> None:
        log = await rig.make()
        again = rig.log()
        assert await again.make() == await log.info()  # it exists: nothing changes
        config = (await ask(rig.servers[0], f"STREAM.INFO.{rig.name}"))["config"]
        expected = {
            "subjects": [f"{rig.name.lower()}.log"],
            "retention": "limits",
            "storage": "file",
            "num_replicas": 1,
            "max_bytes": 2 * 10**9,
            "max_age": 24 * 3600 * 10**9,
            "discard": "old",
            "deny_delete": True,
            "deny_purge": True,
            "allow_direct": True,
            "duplicate_window": 120 * 10**9,
            "compression": "none",
        }
        assert {name: config[name] for name in expected} == expected
        await log.aclose()
        await again.aclose()

    run(test())


def test_a_stream_with_other_settings_is_refused_by_name(rig: NatsRig) -> None:
    async def test() -> None:
        subjects = [f"{rig.name.lower()}.log", "more"]
        made = {"name": rig.name, "subjects": subjects, "storage": "file", "retention": "limits"}
        await ask(rig.servers[0], f"STREAM.CREATE.{rig.name}", made)
        log = rig.log()
        with pytest.raises(LogError, match=f"stream {rig.name} has subjects .*'more'"):
            await log.make()
        await log.aclose()

    run(test())


def test_bounds_of_an_existing_stream_stay(rig: NatsRig) -> None:
    async def test() -> None:
        log = await rig.make(small=True)
        other = rig.log()
        assert await other.make() == await log.info()
        await log.aclose()
        await other.aclose()

    run(test())


def test_a_lost_reply_is_recognised_at_the_repeat(rig: NatsRig) -> None:
    async def test() -> None:
        log = await rig.make()
        deaf = NatsLog(rig.options(answer_s=0.0))
        deaf._made = (await log.info()).made  # it cannot hear this answer either
        with pytest.raises(Unavailable, match="no answer"):
            await deaf.append(b"message 1", 0)
        await until(lambda: _holds(log, 1))
        assert await log.append(b"message 1", 0) == 1
        await log.aclose()
        await deaf.aclose()

    run(test())


def test_a_stream_of_this_name_elsewhere_gets_no_append(rig: NatsRig) -> None:
    async def test() -> None:
        log = await rig.make()
        wrong = NatsLog(rig.options(stream="OTHER"))
        with pytest.raises(Gone):
            await wrong.append(b"x", 0)
        assert (await log.info()).last == 0
        await log.aclose()
        await wrong.aclose()

    run(test())


def test_a_reader_leaves_no_consumer_behind(rig: NatsRig) -> None:
    async def test() -> None:
        log = await rig.make()
        await send(log, texts(3 * PULL_MESSAGES))
        async with aclosing(log.read_from(1)) as reader:
            await anext(reader)
            assert len(await consumers(rig)) == 1
        await until(lambda: _has_consumers(rig, 0))
        await log.aclose()

    run(test())


def test_a_reader_whose_consumer_was_deleted_reads_on(rig: NatsRig) -> None:
    async def test() -> None:
        log = await rig.make()
        reading = asyncio.create_task(take(log, 1, 2))
        await log.append(b"message 1", 0)
        await until(lambda: _has_consumers(rig, 1))
        (name,) = await consumers(rig)
        await ask(rig.servers[0], f"CONSUMER.DELETE.{rig.name}.{name}")
        await log.append(b"message 2", 1)
        async with asyncio.timeout(10):
            assert [stored.message for stored in await reading] == texts(2)
        await log.aclose()

    run(test())


def test_a_reader_outlives_silence(rig: NatsRig) -> None:
    """Heartbeats, a look at the stream and the end of a pull leave it as it is."""

    async def test() -> None:
        log = await rig.make()
        reading = asyncio.create_task(take(log, 1, 1))
        await asyncio.sleep(LOOK_S + SILENT_S)
        (name,) = await consumers(rig)
        await asyncio.sleep(1.0)
        assert await consumers(rig) == [name]
        await log.append(b"message 1", 0)
        assert (await reading)[0].message == b"message 1"
        await log.aclose()

    run(test())


def test_a_message_beyond_what_the_server_accepts_is_an_error_of_its_own(rig: NatsRig) -> None:
    async def test() -> None:
        log = await rig.make()
        with pytest.raises(LogError, match="this size") as refused:
            await log.append(bytes(2 * 2**20), 0)
        assert not isinstance(refused.value, Unavailable)
        assert await log.append(b"x", 0) == 1
        await log.aclose()

    run(test())


def test_a_closed_log_is_unavailable(rig: NatsRig) -> None:
    async def test() -> None:
        log = await rig.make()
        reading = asyncio.create_task(take(log, 1, 1))
        await asyncio.sleep(0.1)
        await log.aclose()
        assert await reading == []
        with pytest.raises(Unavailable, match="closed"):
            await log.info()

    run(test())


def test_a_bus_that_is_not_there_is_unavailable() -> None:
    async def test() -> None:
        log = NatsLog(NatsOptions(servers=["nats://127.0.0.1:9"]))
        with pytest.raises(Unavailable, match="cannot connect to the bus"):
            await log.info()
        await log.aclose()

    run(test())


@pytest.mark.parametrize(
    "answer", [b'{"config": "\xff"}', rb'{"config": "\ud800"}', b'{"\xff": 1}', b'{"config": ']
)
def test_an_answer_that_cannot_be_decoded_is_unavailable(answer: bytes) -> None:
    class Garbled(Connection):
        async def request(self, *_: object, **__: object) -> Msg:
            return Msg(_client=cast(Client, None), data=answer)

    async def test() -> None:
        connection = Garbled(NatsOptions(servers=["nats://127.0.0.1:9"]))
        for ask in (NatsLog(connection).info(), stream_seen(connection)):
            with pytest.raises(Unavailable, match="the bus answers without sense"):
                await ask
        assert await permissions(connection) is None

    run(test())


def test_a_wrong_password_is_told_without_it(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = 'authorization { user: "odds", password: "another-one-entirely" }'

    async def test(server: NatsServer, how: dict[str, Any]) -> None:
        log = NatsLog(NatsOptions(replicas=1, **how))
        with structlog.testing.capture_logs() as logs:
            with pytest.raises(Unavailable) as refused:
                await log.make()
        await log.aclose()
        told = f"{refused.value!r} {logs}"
        assert "uthorization" in told
        assert PASSWORD not in told

    with caplog.at_level(logging.DEBUG), nats_server(secret) as server:
        run(test(server, {"servers": [server.url], "user": "odds", "password": PASSWORD}))
        with_password = server.url.replace("://", f"://odds:{PASSWORD}@")
        run(test(server, {"servers": [with_password]}))
    assert "encountered error" not in caplog.text
    out, err = capfd.readouterr()
    assert PASSWORD not in caplog.text + out + err
    assert "Traceback" not in out + err


def test_a_log_over_tls_comes_back_over_tls(tmp_path: Path) -> None:
    make_certificates(tmp_path)
    extra = (
        f'tls {{ cert_file: "{tmp_path}/server.pem", key_file: "{tmp_path}/server.key",'
        f' ca_file: "{tmp_path}/ca.pem", verify: true }}'
    )

    async def test(server: NatsServer) -> None:
        trusted = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        unknown = NatsLog(NatsOptions(servers=[server.url], replicas=1, tls=trusted))
        with pytest.raises(Unavailable):
            await unknown.make()
        await unknown.aclose()
        trusted.load_cert_chain(tmp_path / "client.pem", tmp_path / "client.key")
        log = NatsLog(NatsOptions(servers=[server.url], replicas=1, tls=trusted))
        await log.make()
        await send(log, texts(2))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await send(log, texts(1, 2), 2)
        assert [stored.message for stored in await take(log, 1, 3)] == texts(3)
        await log.aclose()

    with nats_server(extra) as server:
        run(test(server))


def test_an_interruption_prints_no_traceback(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    async def test(server: NatsServer) -> None:
        log = NatsLog(NatsOptions(servers=[server.url], replicas=1))
        await log.make()
        reading = asyncio.create_task(take(log, 1, 1))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(server.start)
        await send(log, texts(1))
        await reading
        await log.aclose()

    with caplog.at_level(logging.DEBUG), nats_server() as server:
        run(test(server))
    assert not [each for each in caplog.records if each.name.startswith("nats")]
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err


def test_a_reader_that_waits_for_the_bus_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_log, "TELL_S", 0.5)

    async def test(server: NatsServer) -> None:
        log = NatsLog(NatsOptions(servers=[server.url], replicas=1))
        await log.make()
        await send(log, texts(1))
        reading = asyncio.create_task(take(log, 1, 2))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(server.kill)
        with structlog.testing.capture_logs() as logs:
            await until(lambda: _is_told(logs))
            await asyncio.to_thread(server.start)
            await send(log, texts(1, 1), 1)
            assert len(await reading) == 2
        (goes_on,) = (entry for entry in logs if entry["event"] == "bus_reader_goes_on")
        assert goes_on["log_level"] == "info"
        assert goes_on["for_s"] >= 0.5
        await log.aclose()

    async def _is_told(logs: list[Any]) -> bool:
        await asyncio.sleep(0)
        waits = [entry for entry in logs if entry["event"] == "bus_reader_waits"]
        return any(
            entry["log_level"] == "warning" and entry["sequence"] == 2 and entry["reason"]
            for entry in waits
        )

    with nats_server() as server:
        run(test(server))


@pytest.mark.long
def test_a_cluster_without_a_majority_is_unavailable_and_comes_back() -> None:
    async def test(rig: NatsRig) -> None:
        log = await rig.make()
        await send(log, texts(3))
        reading = asyncio.create_task(take(rig_reader, 1, 4))
        for server in rig.servers[:2]:
            await asyncio.to_thread(server.kill)
        await asyncio.sleep(0.5)
        with pytest.raises(Unavailable):  # a look may be answered still, by the leader of before
            await log.append(b"message 4", 3)
        assert not reading.done()
        await asyncio.to_thread(rig.resume)
        await send(log, texts(1, 3), 3)
        assert [stored.message for stored in await reading] == texts(4)
        await log.aclose()
        await rig_reader.aclose()

    with nats_cluster() as servers:
        rig = NatsRig(servers)
        rig_reader = rig.log()
        run(test(rig), 120)


WITHOUT_BUS = """
import importlib, pkgutil, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "nats":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
import odds_service
for found in pkgutil.walk_packages(odds_service.__path__, "odds_service."):
    of_bus = found.name.removeprefix("odds_service.") in (
        "bus.connection", "bus.inspecting", "bus.nats", "bus.nats_bus", "bus.needs", "commands.bus"
    )
    if not of_bus and not found.name.endswith(("__main__", ".env")):
        importlib.import_module(found.name)
print([name for name in sys.modules if name.partition(".")[0] == "nats"])
"""


def test_nothing_but_its_module_needs_the_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WITHOUT_BUS],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
