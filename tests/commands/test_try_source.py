"""`odds-service try`: one fetch, and what the service would make of it."""

from pathlib import Path

from tests.e2e.test_life import STILL, bookmaker
from tests.support.command_line import complaint, ran, run

FILE = """
[[sources]]
kind = "the-odds-api"
name = "mine"
url = "http://127.0.0.1:{port}"
api_key = "secret-key"
sports = {sports}
interval_s = 45
"""


def written(folder: Path, port: int, sports: list[str]) -> str:
    path = folder / "odds.toml"
    path.write_text(FILE.format(port=port, sports=str(sports).replace("'", '"')))
    return str(path)


async def test_it_says_what_was_understood_and_how_often_it_would_ask(tmp_path: Path) -> None:
    async with bookmaker(STILL) as (port, table):
        config = written(tmp_path, port, sorted(map(str, table["sports"])))  # type: ignore[call-overload]  # a list of names
        tried = await ran("try", "mine", "--config", config)
        other = await ran("try", "mine", "--config", config, "--pull", "chess")
    assert tried.returncode == 0, tried
    assert "mine (the-odds-api) lists" in tried.stdout
    assert "every 45 s" in tried.stdout
    assert "complete, " in tried.stdout
    assert "credits a day" in tried.stdout
    assert "the source's id" in tried.stdout
    assert "it does not list 'chess', but" in complaint(other)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["odds.toml"]  # noqa: ASYNC240  # a look at a folder


def test_a_source_that_fails_and_one_that_is_unknown_are_one_line(tmp_path: Path) -> None:
    config = written(tmp_path, 1, ["soccer_x"])
    assert "mine: connection:" in complaint(run("try", "mine", "--config", config))
    said = complaint(run("try", "yours", "--config", config))
    assert "no source is named 'yours'; the settings have mine" in said
