"""`python -m odds_service.demo`: the simulated bookmaker as a process."""

import json
import signal
import subprocess
import sys
from functools import partial

import httpx
import pytest
import trio

MODULE = [sys.executable, "-m", "odds_service.demo"]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_its_port_serves_and_ends_at_a_signal(stop: signal.Signals) -> None:
    sizes = ["--sports", "1", "--events", "2", "--only-prices", "--pace", "poll"]
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            process: trio.Process = await nursery.start(
                partial(trio.run_process, [*MODULE, *sizes], stdout=subprocess.PIPE)
            )
            assert process.stdout is not None
            line = b""
            while not line.endswith(b"\n"):
                line += await process.stdout.receive_some()
            ready = json.loads(line)
            query = {"apiKey": "k", "regions": "uk,eu", "markets": ",".join(ready["markets"])}
            path = f"http://127.0.0.1:{ready['port']}/v4/sports/{ready['sports'][0]}/odds"
            async with httpx.AsyncClient(trust_env=False, timeout=30.0) as client:
                assert len((await client.get(path, params=query)).json()) == 2
            process.send_signal(stop)
        assert process.returncode == 0


async def test_a_wrong_option_is_one_clear_line() -> None:
    for wrong, said in ((["--pace", "fast"], "poll or clock"), (["--sports", "0"], "sports must")):
        ended = await trio.run_process(
            [*MODULE, *wrong], capture_stderr=True, capture_stdout=True, check=False
        )
        assert ended.returncode == 2
        assert said in ended.stderr.decode()
        assert "Traceback" not in ended.stderr.decode()
