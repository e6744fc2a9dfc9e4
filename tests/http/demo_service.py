"""A service with an HTTP door and odds that move, as a program: it ends when its input does.

A process of its own, since browsers and fuzzers bring event loops that do not stand trio-asyncio.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import trio

from odds_service.config import HttpSettings, ServerSettings
from odds_service.demo.bookmaker import SimulatedBookmaker, run_bookmaker
from odds_service.demo.settings import SimulationSettings
from tests.support.serving import service, settings_for, wait_until

ROOT: Final = Path(__file__).resolve().parents[2]
LIVELY: Final = SimulationSettings(
    sports=1, events=6, bookmakers=3, markets_per_bookmaker=4, change_share=0.5, lead_s=1e5
)


@contextmanager
def demo_service() -> Iterator[str]:
    """Run the program; yield the address of its HTTP door, `http://127.0.0.1:…`."""
    command = [sys.executable, "-m", "tests.http.demo_service"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        yield told["http"]
        process.stdin.close()
        assert process.wait(60) == 0


async def main() -> None:
    """Serve until the end of the input; print the address as JSON."""
    offer = SimulatedBookmaker(LIVELY)
    table = {"regions": list(LIVELY.regions), "markets": list(offer.market_keys)}
    with tempfile.TemporaryDirectory() as folder:
        async with trio.open_nursery() as nursery:
            port = await nursery.start(partial(run_bookmaker, LIVELY))
            settings = settings_for(
                Path(folder), port, offer.sport_keys, interval_s=0.5, **table
            ).model_copy(
                update={
                    "http": HttpSettings(listen="127.0.0.1:0"),
                    "server": ServerSettings(listen="127.0.0.1:0", max_requests_per_s=1e6),
                }
            )
            async with service(settings) as running:
                await wait_until(lambda: running.parts.cache.events != {}, "odds")
                door = running.server.addresses[1]
                sys.stdout.write(json.dumps({"http": f"http://{door}"}) + "\n")
                sys.stdout.flush()
                await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
            nursery.cancel_scope.cancel()


if __name__ == "__main__":
    import structlog

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    trio.run(main)
