"""`odds-service serve --check`: a start's faults without a start, and nothing changed."""

import socket
from pathlib import Path

from tests.support.command_line import complaint, ran, run
from tests.support.serving import service, settings_for

FILE = """
[server]
listen = "127.0.0.1:{port}"

[database]
url = "sqlite:///{folder}/odds.db"

[[sources]]
kind = "the-odds-api"
url = "http://127.0.0.1:1"
api_key = "k"
sports = ["soccer_epl"]
interval_s = 45
"""


def written(folder: Path, text: str = FILE, port: int = 0) -> str:
    path = folder / "odds.toml"
    path.write_text(text.format(folder=folder, port=port))
    return str(path)


def test_it_says_what_would_run_and_makes_nothing(tmp_path: Path) -> None:
    config = written(tmp_path)
    found = run("serve", "--check", "--config", config)
    assert found.returncode == 0, found
    assert found.stdout.splitlines() == [
        "source the-odds-api (the-odds-api): every 45 s",
        f"database {tmp_path}/odds.db: new, will be made",
        "gRPC at 127.0.0.1:0",
        "ready to start",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["odds.toml"]


async def test_beside_a_running_service_it_sees_its_database_and_its_port(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, 1, ["soccer_epl"])
    async with service(settings) as running:
        config = written(tmp_path, port=int(running.address.rpartition(":")[2]))
        found = await ran("serve", "--check", "--config", config)
        assert found.returncode == 0, found
        database, grpc = found.stdout.splitlines()[1:3]
        assert "odds.db: schema " in database
        assert "in use, by the running service" in grpc


def test_each_fault_of_a_start_is_found(tmp_path: Path) -> None:
    for old, new, says in (
        ('"the-odds-api"', '"the-odd-api"', "unknown kind 'the-odd-api'"),
        ("interval_s", "interval", "did you mean `interval_s`?"),
        ("{folder}/odds.db", "{folder}/none/odds.db", "does not exist"),
        ("127.0.0.1:{port}", "0.0.0.0:50051", "can be reached by others"),
        ("[database]", '[database]\nspill_folder = "{folder}/none"', "spill_folder"),
    ):
        config = written(tmp_path, FILE.replace(old, new))
        assert says in complaint(run("serve", "--check", "--config", config))


def test_a_database_that_does_not_answer_is_a_fault(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"postgresql://odds@127.0.0.1:{port}/odds"
    complaint(run("serve", "--check", "--config", written(tmp_path), "--database", url))
