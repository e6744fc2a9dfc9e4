"""The targets of the faults (bookmaker, service, proxy, database), and their witness."""

import json
import shutil
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Final

import trio

from odds_service.wire.pb.odds.v1 import odds_pb2 as pb
from tests.faults.database import StruckPostgres
from tests.faults.processes import Bookmaker, Served
from tests.faults.proxy import Proxy
from tests.faults.witness import Witness
from tests.support.ports import free_port

REFUSED_EVERY: Final = 701  # the database refuses every revision divisible by this
QUEUE_CHANGES: Final = 4_000
DRAIN_S: Final = 3.0
WAIT_S: Final = 120.0
STATEMENT_S: Final = 8  # more than a wait for a lock, which ends by an error of its own
_URL: Final = (
    "postgresql://odds@127.0.0.1:{port}/postgres"
    f"?connect_timeout=5&options=-c%20statement_timeout%3D{STATEMENT_S}s"
)


class Run(ABC):
    """The parts of one run on any database, and the counts of the faults."""

    url: str  # of the database, past any proxy

    def __init__(self, bookmaker: Bookmaker, served: Served) -> None:
        self.bookmaker = bookmaker
        self.served = served
        self.witness = Witness(served.address)
        self.counts: Counter[str] = Counter()
        self.ends: list[str] = []  # how each run of the service ended: killed, stopped

    @abstractmethod
    def rows(self, query: str) -> list[list[str]]:
        """Return a query's rows as text; NULL reads like the empty text."""

    @abstractmethod
    def struck(self) -> dict[str, int]:
        """Return further counts of strikes."""

    async def until(
        self, what: str, shows: Callable[[pb.GetStatusResponse], bool]
    ) -> pb.GetStatusResponse:
        """Wait until the status satisfies a condition."""
        with trio.move_on_after(WAIT_S):
            while True:
                status = await self.served.status()
                if shows(status):
                    return status
                self.witness.check()
                await trio.sleep(0.1)
        raise AssertionError(f"not within {WAIT_S} s: {what}\n{status}")

    async def recovered(self) -> None:
        """Wait until every revision so far is durable and seen by the witness."""
        head = (await self.served.status()).head_revision
        await self.until(f"{head} is durable", lambda status: status.durable_revision >= head)
        await self.seen(head)

    async def seen(self, revision: int) -> None:
        """Wait until the witness has seen a revision."""
        with trio.fail_after(WAIT_S):
            while not self._has_seen(revision):  # noqa: ASYNC110  # the witness is a thread
                self.witness.check()
                await trio.sleep(0.05)

    def _has_seen(self, revision: int) -> bool:
        cursor = self.witness.cursor
        return self.witness.whole and cursor is not None and cursor.revision >= revision


class Rig(Run):
    """The parts of one run on PostgreSQL."""

    def __init__(
        self, postgres: StruckPostgres, proxy: Proxy, bookmaker: Bookmaker, served: Served
    ) -> None:
        super().__init__(bookmaker, served)
        self.postgres = postgres
        self.proxy = proxy
        self.url = f"postgresql://postgres@127.0.0.1:{postgres.port}/postgres"

    def rows(self, query: str) -> list[list[str]]:
        return self.postgres.rows(query)

    def struck(self) -> dict[str, int]:
        return {
            "database kills": self.postgres.kills,
            "commit replies lost": self.proxy.lost_replies,
        }


def retries(status: pb.GetStatusResponse) -> bool:
    """Return whether the writer is retrying."""
    return status.writer.state == pb.WRITER_STATE_RETRYING


@asynccontextmanager
async def rigged(folder: Path) -> AsyncIterator[Rig]:
    """Start everything and yield it; end all processes afterwards."""
    with ExitStack() as ends:
        # Not in the test's own folder, which pytest closes to other users such as PostgreSQL's.
        at_postgres = Path(tempfile.mkdtemp(prefix="odds-postgres-"))
        ends.callback(shutil.rmtree, at_postgres, ignore_errors=True)
        postgres = StruckPostgres(at_postgres)
        ends.callback(postgres.stop)
        postgres.start()
        bookmaker = Bookmaker(folder)
        ends.callback(bookmaker.stop)
        await trio.to_thread.run_sync(_refusing, postgres)
        async with trio.open_nursery() as nursery:
            proxy = Proxy(postgres.port)
            await nursery.start(proxy.run)
            address = f"127.0.0.1:{free_port()}"  # one for all runs: the witness reconnects to it
            served = Served(folder, _settings(folder, address, proxy.port, bookmaker), address)
            ends.callback(served.discard)
            await served.start()
            rig = Rig(postgres, proxy, bookmaker, served)
            with closing(rig.witness):
                yield rig
            nursery.cancel_scope.cancel()


def _refusing(postgres: StruckPostgres) -> None:
    """Make the tables, then make the database refuse some rows.

    This must precede the service's start: later a row to be refused may be stored already.
    """
    done = subprocess.run(
        [sys.executable, "-m", "odds_service", "db", "upgrade", "--database", postgres.url()],
        capture_output=True, text=True, check=False, timeout=WAIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    postgres.psql("CREATE ROLE odds LOGIN SUPERUSER")
    postgres.psql(
        "ALTER TABLE odds_history ADD CONSTRAINT refused_by_the_test"
        f" CHECK (kind = 0 OR revision % {REFUSED_EVERY} <> 0)"
    )


def _settings(folder: Path, address: str, port: int, bookmaker: Bookmaker) -> Path:
    database = f'url = "{_URL.format(port=port)}"'
    return write_settings(folder, address, database, bookmaker, workers=1)


def write_settings(
    folder: Path, address: str, database: str, bookmaker: Bookmaker, *, workers: int = 0
) -> Path:
    """Write the settings of the service; `database` has the keys that say where it stores."""
    path = folder / "odds.toml"
    path.write_text(
        f"""
        [server]
        listen = "{address}"
        [database]
        {database}
        queue_changes = {QUEUE_CHANGES}
        [shutdown]
        drain_s = {DRAIN_S}
        [log]
        format = "json"
        [workers]
        count = {workers}
        [[sources]]
        kind = "the-odds-api"
        url = "http://127.0.0.1:{bookmaker.port}"
        api_key = "secret"
        sports = {json.dumps(bookmaker.sports)}
        markets = {json.dumps(bookmaker.markets)}
        interval_s = 0.3
        """
    )
    return path
