"""The stream's promise over Server-Sent Events, and over both doors in turn.

The bodies, cuts, restarts, filters and the oracle are those of test_stream. Here each connection
is made at a drawn door with the cursor of the last one, wherever that was. At the HTTP door an
independent reader of events takes the place of the gRPC client. Changes are compared as bytes, so
the JSON must hold all that the protobuf message holds.
"""

import http.client
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from odds_service.config import HttpSettings, Settings
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.e2e import test_stream
from tests.http.sse import events_in
from tests.support import stream_rig
from tests.support.serving import settings_for
from tests.support.stream_rig import WAIT_S, Rig, StreamClient

PLACED = ("conflate", "heartbeat", "policy")
ENDED = 14  # UNAVAILABLE: the service stops

doors: Counter[str] = Counter()


class EventCall:
    """One stream of events, as an iterator of messages."""

    def __init__(self, address: str, request: pb.WatchChangesRequest) -> None:
        values = MessageToDict(request)
        given = values.get("filter", {}) | {n: values[n] for n in PLACED if n in values}
        query = urlencode(
            {n: str(v).lower() if isinstance(v, bool) else v for n, v in given.items()}, doseq=True
        )
        headers = {}
        if request.HasField("resume"):
            headers["Last-Event-ID"] = f"{request.resume.epoch}:{request.resume.revision}"
        self._connection = http.client.HTTPConnection(address, timeout=WAIT_S)
        self._connection.connect()
        self._socket = self._connection.sock
        self._connection.request("GET", f"/v1/changes?{query}", headers=headers)
        self._messages = self._read()

    def __next__(self) -> pb.WatchChangesResponse:
        return next(self._messages)

    def _read(self) -> Iterator[pb.WatchChangesResponse]:
        with suppress(OSError, http.client.HTTPException):  # cut
            answer = self._connection.getresponse()
            assert answer.status == 200, answer.read()
            for event in events_in(line.decode().rstrip("\n") for line in answer):
                value = json.loads(event.text)
                if event.kind == "error":
                    assert value["code"] == ENDED, value
                    return
                message = ParseDict({event.kind: value}, pb.WatchChangesResponse())
                cursor = getattr(message, event.kind).cursor
                assert event.last_id == f"{cursor.epoch}:{cursor.revision}"
                doors["events"] += 1
                yield message

    def cancel(self) -> None:
        with suppress(OSError):  # ended by the server already
            self._socket.shutdown(2)

    def close(self) -> None:
        self._connection.close()
        self._socket.close()


class MixedClient(StreamClient):
    """A client whose every connection is made at a drawn door."""

    rig: Rig
    share = 0.5  # of connections at the HTTP door
    rng = random.Random(0)

    def _connect(self, address: str, request: pb.WatchChangesRequest) -> Any:
        if self.rng.random() >= self.share:
            doors["connections by gRPC"] += 1
            return super()._connect(address, request)
        doors["connections by HTTP"] += 1
        return EventCall(self.rig.running.server.addresses[1], request)

    def _disconnect(self) -> None:
        if isinstance(self._call, EventCall):
            self._call.close()
        else:
            super()._disconnect()


class TwoDoorRig(Rig):
    """The service with both doors."""

    def start(self) -> None:
        MixedClient.rig = self
        super().start()


@pytest.fixture
def _mixed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    plain = settings_for

    def with_http(*args: Any, **table: Any) -> Settings:
        opened = HttpSettings(listen="127.0.0.1:0")
        return plain(*args, **table).model_copy(update={"http": opened})

    monkeypatch.setattr(stream_rig, "settings_for", with_http)
    monkeypatch.setattr(test_stream, "Rig", TwoDoorRig)
    monkeypatch.setattr(test_stream, "StreamClient", MixedClient)
    monkeypatch.setattr(MixedClient, "rng", random.Random(7))
    doors.clear()
    test_stream.totals.clear()
    yield
    test_stream.totals.clear()


def run(runs: int, steps: int, *, repeatable: bool) -> None:
    run_state_machine_as_test(
        test_stream.Streams,
        settings=settings(
            max_examples=runs, stateful_step_count=steps, deadline=None,
            suppress_health_check=test_stream.QUIET, phases=test_stream.PHASES, print_blob=True,
            database=None, derandomize=repeatable,
        ),
    )  # fmt: skip


@pytest.mark.usefixtures("_mixed")
@pytest.mark.parametrize("share", [1.0, 0.5], ids=["events", "mixed"])
def test_a_client_holds_what_the_bookmaker_showed_at_any_door(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MixedClient, "share", share)
    run(4, 30, repeatable=True)
    assert doors["events"] > 100
    assert (doors["connections by gRPC"] > 0) is (share < 1.0)
    assert test_stream.totals["heartbeats compared"] > 20
    assert test_stream.totals["changes compared"] > 20


@pytest.mark.long
@pytest.mark.usefixtures("_mixed")
def test_the_same_for_many_cuts(capsys: pytest.CaptureFixture[str]) -> None:
    """STREAM_CUTS sets the least number of cuts, 1,000 unless given."""
    while test_stream.totals["cuts"] < int(os.environ.get("STREAM_CUTS", "1000")):
        run(10, 60, repeatable=False)
    with capsys.disabled():
        for name, count in sorted((test_stream.totals + doors).items()):
            sys.stdout.write(f"{name}: {count}\n")
