"""`odds-service replay`: it says what it serves, gives a source's settings, and tells its end."""

import json
import signal
import socket
import subprocess
import tomllib
from pathlib import Path

import httpx
import trio

from tests.demo.test_replay import recorded_event
from tests.support.command_line import COMMAND, ENVIRONMENT, WITHIN_S, complaint, run


def series(folder: Path) -> Path:
    bodies = folder / "bodies"
    bodies.mkdir()
    for minute in range(2):
        body = json.dumps([recorded_event(1, price=1.5 + minute)])
        (bodies / f"20260804T120{minute}00Z__soccer_x.json").write_text(body)
    return bodies


async def test_its_settings_are_ready_and_its_end_is_told(tmp_path: Path) -> None:
    process = subprocess.Popen(  # noqa: ASYNC220  # returns at once
        [*COMMAND, "replay", str(series(tmp_path)), "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    stdout, stderr = process.stdout, process.stderr

    def told() -> str:
        lines: list[str] = []
        while not lines or not lines[-1].startswith("interval_s"):
            lines.append(stdout.readline())
        return "".join(lines)

    try:
        with trio.fail_after(WITHIN_S):
            text = await trio.to_thread.run_sync(told)
            assert "# soccer_x: 2 pulls, 2026-08-04 12:00 to 2026-08-04 12:01 UTC" in text
            (source,) = tomllib.loads(text)["sources"]
            async with httpx.AsyncClient() as client:
                for _ in range(2):
                    path = f"{source['url']}/v4/sports/{source['sports'][0]}/odds"
                    answer = await client.get(path, params={"apiKey": source["api_key"]})
                    assert answer.status_code == 200
            assert "the replay is over" in await trio.to_thread.run_sync(stderr.readline)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(WITHIN_S)
        stdout.close()
        stderr.close()
    assert process.returncode == 0


def test_a_port_that_is_taken_gets_an_offer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = complaint(run("replay", str(series(tmp_path)), "--port", str(port)))
        assert f"cannot listen on 127.0.0.1:{port}" in said
        assert " is free" in said
        serving = run("serve", "--listen", f"127.0.0.1:{port}", "--database", "memory:")
        assert serving.returncode == 1
        assert " is free" in serving.stderr.splitlines()[-1]
