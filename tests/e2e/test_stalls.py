"""A Trio thread that stands is named, health follows, and SIGTERM still ends the process whole."""

import os
import signal
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from odds_service.watchdog import END_S
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc
from tests.support.blocker import LONG_S, Blocking, until
from tests.support.ports import free_port

SERVING = health_pb2.HealthCheckResponse.SERVING


def status(address: str) -> pb.GetStatusResponse:
    with grpc.insecure_channel(address) as channel:
        reply = pb_grpc.OddsServiceStub(channel).GetStatus(pb.GetStatusRequest(), timeout=30)
        assert isinstance(reply, pb.GetStatusResponse)
        return reply


def answers(address: str) -> bool:
    try:
        return bool(status(address).version)
    except grpc.RpcError:
        return False


def blamed(service: Blocking) -> list[dict[str, Any]]:
    """Return the stalls that were put down to the plug-in: a busy machine may see others too."""
    stalls = service.logged("trio_thread_stands")
    return [stall for stall in stalls if stall["task"] == "pull of blocker"]


@pytest.mark.parametrize("order", ["sleep 3", "hold 3"])
def test_a_plug_in_that_blocks_is_named_in_the_log_and_the_status(
    order: str, tmp_path: Path
) -> None:
    service = Blocking(tmp_path)
    with service.started() as process:
        address = service.wait_for("serving")["address"]
        service.order(order)
        if order.startswith("hold"):
            # The watchdog too gets the interpreter afterwards only; another task may run by then.
            service.wait_for("trio_thread_stands")
        else:
            until(lambda: bool(blamed(service)), "the plug-in is blamed")
            (stall,) = blamed(service)
            assert stall["where"].startswith("blocker:block:")
            assert "blocker:fetch:" in " ".join(stall["stack"])
        again = service.wait_for("trio_thread_runs_again")
        assert again["stood_s"] >= 1
        loop = status(address).loop
        assert loop.stalls >= 1
        assert loop.longest_s >= 1
        assert loop.last_task
        assert loop.HasField("last_at")
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG_S) == 0


@pytest.mark.long
def test_a_held_interpreter_is_named_where_the_thread_gets_a_small_share(tmp_path: Path) -> None:
    """A busy machine gives the thread little of a processor; the signals here stand for it."""
    service = Blocking(tmp_path)
    with service.started() as process:
        service.wait_for("serving")
        service.order("hold 8")
        end = monotonic() + LONG_S
        while not service.logged("trio_thread_runs_again"):
            assert monotonic() < end
            process.send_signal(signal.SIGSTOP)
            sleep(0.15)
            process.send_signal(signal.SIGCONT)
            sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG_S) == 0


def test_health_follows_a_long_stall(tmp_path: Path) -> None:
    service = Blocking(tmp_path)
    with service.started() as process:
        address = service.wait_for("serving")["address"]
        with grpc.insecure_channel(address) as channel:
            health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert next(health).status == SERVING
            service.order("sleep 13")
            assert next(health).status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert next(health).status == SERVING
            health.cancel()
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG_S) == 0


@pytest.mark.parametrize(("signals", "order"), [(1, "sleep 100000"), (2, "log 100000")])
def test_sigterm_ends_a_service_whose_thread_stands_for_ever_and_loses_nothing(
    signals: int, order: str, tmp_path: Path
) -> None:
    service = Blocking(tmp_path)
    with service.started() as process:
        address = service.wait_for("serving")["address"]
        until(lambda: status(address).durable_revision > 5, "some odds are stored")
        with closing(sqlite3.connect(tmp_path / "odds.db")) as database:
            database.execute("BEGIN IMMEDIATE")  # so that changes wait
            durable = status(address).durable_revision
            until(lambda: status(address).head_revision > durable + 50, "changes wait")
            service.order(order)
            service.wait_for("trio_thread_stands")
            with grpc.insecure_channel(address) as channel:
                stub = pb_grpc.OddsServiceStub(channel)
                cursor = stub.GetOdds(pb.GetOddsRequest(), timeout=LONG_S).cursor
            began = monotonic()
            for _ in range(signals):
                process.send_signal(signal.SIGTERM)
                service_ends = END_S if signals == 1 else 0
            assert process.wait(LONG_S) == 1
            assert monotonic() - began >= service_ends
    (end,) = service.logged("ended_by_watchdog")
    assert end["task"] == "pull of blocker"
    assert end["spill"].endswith("odds.db.spill")
    with service.started() as process:
        address = service.wait_for("serving")["address"]
        (stored,) = service.logged("spill_stored")
        assert stored["last"] == cursor.revision
        with grpc.insecure_channel(address) as channel:
            resumed = pb_grpc.OddsServiceStub(channel).WatchChanges(
                pb.WatchChangesRequest(resume=cursor)
            )
            assert next(iter(resumed)).opened.intent != pb.INTENT_IMAGE
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG_S) == 0
    with closing(sqlite3.connect(tmp_path / "odds.db")) as database:
        ((rows, last),) = database.execute("SELECT count(*), max(revision) FROM odds_history")
        assert rows == last >= cursor.revision
        assert database.execute("SELECT count(*) FROM dead_letters").fetchone() == (0,)


def test_a_stopped_process_is_paused_and_no_task_is_blamed(tmp_path: Path) -> None:
    service = Blocking(tmp_path)
    with service.started() as process:
        address = service.wait_for("serving")["address"]
        before = len(service.logged("trio_thread_stands"))
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        began = monotonic()
        until(lambda: monotonic() - began > 4, "four seconds")
        process.send_signal(signal.SIGCONT)
        paused = service.wait_for("process_paused")
        assert paused["seconds"] >= 3
        assert len(service.logged("trio_thread_stands")) == before
        assert status(address).loop.pauses >= 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG_S) == 0


def test_a_stalled_reader_of_the_log_stalls_nothing_else(tmp_path: Path) -> None:
    service = Blocking(tmp_path)
    address = f"127.0.0.1:{free_port()}"
    settings = tmp_path / "odds.toml"
    settings.write_text(settings.read_text().replace("127.0.0.1:0", address))
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writer, b"." * 512)
        os.set_blocking(writer, True)
        with service.started(writer) as process:
            until(lambda: answers(address), "it serves without a reader of its log")
            head = status(address).head_revision
            until(lambda: status(address).head_revision > head + 20, "it goes on")
            process.send_signal(signal.SIGTERM)
            assert process.wait(LONG_S) == 0
    finally:
        os.close(reader)
        os.close(writer)
