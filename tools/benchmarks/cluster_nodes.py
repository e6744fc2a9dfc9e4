"""The servers and nodes of the benchmark `cluster`, each a process that ends with the run.

Nodes are the real `odds-service serve`, with settings of their own in a file.
"""

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import grpc
import msgspec
import psutil

from odds_service.health import METHOD, REQUEST, SERVING
from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from odds_service.wire.pb.odds.v1 import odds_pb2_grpc as pb_grpc
from tests.support.nats_servers import leaders, monitored
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer, postgres_server
from tools.cluster.programs import Program, Spec

START_S: Final = 300.0  # with many markets, on a loaded machine
END_S: Final = 30.0
LOOK_S: Final = 0.01
HOST: Final = "127.0.0.1"

Table = Mapping[str, object]
_NO_RETRY: Final = [("grpc.use_local_subchannel_pool", 1)]


class Node:
    """A node in a process of its own.

    Attributes:
        address: Where it takes calls, once it serves.
        started_at: The monotonic clock when the process was started.
    """

    def __init__(self, folder: Path, name: str, tables: Mapping[str, Table], role: str) -> None:
        self.address = f"{HOST}:{free_port()}"
        path = folder / f"{name}.toml"
        server = {
            "listen": self.address,
            "max_requests_per_s": 1e6,
            "max_streams": 5_000,
            "max_streams_per_client": 5_000,
        }
        path.write_text(
            f'role = "{role}"\n'
            + _toml({"[log]": {"format": "json"}, "[server]": server, **tables}),
            "utf-8",
        )
        self._channel: grpc.Channel | None = None
        command = [sys.executable, "-m", "odds_service", "serve", "--config", str(path)]
        self.started_at = time.monotonic()
        self._program = Program(
            Spec(name=name, about=role, command=command), folder / f"{name}.log"
        )
        self._process = psutil.Process(self._program.pid)

    def wait_serving(self) -> float:
        """Wait for the health status SERVING; return the seconds since the start.

        Raises:
            RuntimeError: It ended, or takes too long.
        """
        self._wait(self._serves)
        return time.monotonic() - self.started_at

    def wait_logged(self, event: str) -> None:
        """Wait until it has logged an event. Raises RuntimeError like wait_serving."""
        text = f'"event":"{event}"'.encode()
        self._wait(lambda: text in self._program.log.read_bytes().replace(b'": "', b'":"'))

    def status(self) -> pb.GetStatusResponse:
        """Return what it tells of itself."""
        stub = pb_grpc.OddsServiceStub(self.channel)
        return stub.GetStatus(pb.GetStatusRequest(), timeout=END_S)

    @property
    def channel(self) -> grpc.Channel:
        """A channel to it, closed when it ends."""
        if self._channel is None:
            self._channel = grpc.insecure_channel(self.address, _NO_RETRY)
        return self._channel

    def cpu_s(self) -> float:
        """Return the CPU time that it has used, in seconds."""
        used = self._process.cpu_times()
        return float(used.user + used.system)

    def rss_bytes(self) -> int:
        """Return its resident memory."""
        return int(self._process.memory_info().rss)

    def kill(self) -> float:
        """End it with SIGKILL; return the monotonic clock just before."""
        at = time.monotonic()
        self._program.kill()
        self._program.wait(time.monotonic() + END_S)
        return at

    def end(self) -> None:
        """End it in order, or kill it if it does not end."""
        if self._channel is not None:
            self._channel.close()
        self._program.send(signal.SIGTERM)
        if not self._program.wait(time.monotonic() + END_S):
            self.kill()

    def _serves(self) -> bool:
        if self._channel is None and not listens(self.address):
            return False  # before it listens, a channel would wait longer and longer
        unread: Any = None  # requests and answers are bytes
        ask = self.channel.unary_unary(METHOD, unread, unread)
        with suppress(grpc.RpcError):
            return bool(ask(REQUEST, timeout=END_S) == SERVING)
        return False

    def _wait(self, holds: Any) -> None:
        until = time.monotonic() + START_S
        while not holds():
            if self._program.code is not None or time.monotonic() > until:
                raise RuntimeError(f"{self._program.spec.name}: {self._program.last_line()}")
            time.sleep(LOOK_S)


class Servers:
    """NATS and PostgreSQL, and what nodes need to use them.

    Args:
        folder: A folder of the run.
        postgres: The database server.
        replicas: The number of NATS servers, 1 or 3, each with a copy of every stream.
    """

    def __init__(self, folder: Path, postgres: PostgresServer, replicas: int) -> None:
        found = shutil.which("nats-server", path=str(Path(sys.executable).parent))
        if found is None:
            raise RuntimeError("nats-server is missing; the extra dev has it")
        self.folder = folder
        self._postgres = postgres
        self._replicas = replicas
        self._places = 0
        self._nodes = 0
        self._ports = [free_port() for _ in range(replicas)]
        self._monitors = [free_port() for _ in range(replicas)]
        self._specs = list(self._write(found))
        self._nats: list[Program] = []

    def start_nats(self) -> None:
        """Start the servers of the bus, and wait until they and all their streams are ready."""
        self._nats = [Program(spec, self.folder / f"{spec.name}.log") for spec in self._specs]
        until = time.monotonic() + START_S
        while not (all(map(_healthy, self._monitors)) and self._are_led()):
            ended = [each for each in self._nats if each.code is not None]
            if ended or time.monotonic() > until:
                raise RuntimeError(f"no NATS: {(ended or self._nats)[0].last_line()}")
            time.sleep(LOOK_S)

    def _are_led(self) -> bool:
        """Return whether some server knows a leader of each of its streams.

        Those of a cluster elect one after all servers have said that they are healthy.
        """
        return self._replicas == 1 or any(all(leaders(port).values()) for port in self._monitors)

    def kill_nats(self) -> None:
        """End them with SIGKILL."""
        for program in self._nats:
            program.kill()
        for program in self._nats:
            program.wait(time.monotonic() + END_S)

    def place(self) -> dict[str, Table]:
        """Return settings for a new database and a new stream, which is made."""
        self._places += 1
        name = f"cluster{self._places}"
        self._postgres.psql(f"CREATE DATABASE {name}")
        tables: dict[str, Table] = {
            "[database]": {
                "url": self._postgres.url(name),
                "migrate": True,
                "spill_folder": str(self.folder),
            },
            "[bus]": {
                "servers": [f"nats://{HOST}:{port}" for port in self._ports],
                "stream": name.upper(),
                "subject": f"{name}.log",
                "replicas": self._replicas,
            },
        }
        path = self.settings(tables)
        command = [sys.executable, "-m", "odds_service", "bus", "init", "--config", str(path)]
        made = subprocess.run(command, capture_output=True, timeout=START_S, check=False)
        if made.returncode:
            raise RuntimeError(f"bus init: {made.stderr.decode()}")
        return tables

    def settings(self, tables: Mapping[str, Table]) -> Path:
        """Write settings of an ingest node, and return their file."""
        path = self.folder / f"{self._places}.toml"
        path.write_text(f'role = "ingest"\n{_toml(tables)}', "utf-8")
        return path

    @contextmanager
    def node(self, role: str, tables: Mapping[str, Table]) -> Iterator[Node]:
        """Start a node, and end it at the end of the block."""
        self._nodes += 1
        node = Node(self.folder, f"{role}{self._nodes}", tables, role)
        try:
            yield node
        finally:
            node.end()

    def _write(self, program: str) -> Iterator[Spec]:
        """Write the settings of the NATS servers."""
        routes = [free_port() for _ in self._ports]
        urls = ", ".join(f'"nats://{HOST}:{port}"' for port in routes)
        for number, (port, monitor, route) in enumerate(
            zip(self._ports, self._monitors, routes, strict=True), 1
        ):
            name = f"nats{number}"
            store = self.folder / name
            text = (
                f'server_name: {name}\nlisten: "{HOST}:{port}"\nhttp: "{HOST}:{monitor}"\n'
                f'jetstream {{ store_dir: "{store}", sync_interval: always }}\n'
            )
            if len(self._ports) > 1:
                text += f'cluster {{ name: odds, listen: "{HOST}:{route}", routes: [{urls}] }}\n'
            path = self.folder / f"{name}.conf"
            path.write_text(text, "utf-8")
            yield Spec(name=name, about="NATS", command=[program, "-c", str(path)])


@contextmanager
def servers(folder: Path, replicas: int) -> Iterator[Servers]:
    """Start the servers; end them at the end, however it comes."""
    with ExitStack() as stack:
        started = Servers(folder, stack.enter_context(postgres_server(fsync=True)), replicas)
        stack.callback(started.kill_nats)
        started.start_nats()
        yield started


def _toml(tables: Mapping[str, Table]) -> str:
    lines = []
    for table, keys in tables.items():
        lines.append(table)
        # These values are written alike in JSON and in TOML.
        lines += [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def listens(address: str) -> bool:
    """Return whether something listens at an address."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except OSError:
        return False


def _healthy(port: int) -> bool:
    return monitored(port, "healthz").get("status") == "ok"
