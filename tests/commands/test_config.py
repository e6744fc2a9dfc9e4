"""`odds-service config show`: the effective settings, where each comes from, and no secret."""

import tomllib
from pathlib import Path

from odds_service.config import load_settings
from odds_service.config_errors import sections
from tests.support.command_line import complaint, run

FILE = """
[server]
listen = "127.0.0.1:50052"
tokens = ["hunter2-hunter2"]

[database]
url = "postgresql://odds:hunter3-hunter3@127.0.0.1/odds"

[[sources]]
kind = "the-odds-api"
name = 'a "quoted" name'
api_key = "hunter4-hunter4"
sports = ["soccer_epl"]
http = { read_s = 5.5, "a b" = true }
"""


def test_every_setting_is_shown_with_its_origin_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "odds.toml"
    path.write_text(FILE)
    shown = run(
        "config", "show", "--config", str(path), "--log-level", "debug",
        ODDS_SERVER__MAX_STREAMS="7",
    )  # fmt: skip
    assert shown.returncode == 0, shown
    lines = shown.stdout.splitlines()
    assert 'role = "all"  # default' in lines
    assert 'server.listen = "127.0.0.1:50052"  # ' + str(path) in lines
    assert "server.max_streams = 7  # ODDS_SERVER__MAX_STREAMS" in lines
    assert 'log.level = "debug"  # flag' in lines
    assert "shutdown.grace_s = 5.0  # default" in lines
    assert "# retention.history_days is not set" in lines
    assert 'database.url = "postgresql://odds:***@127.0.0.1/odds"  # ' + str(path) in lines

    read = tomllib.loads(shown.stdout)
    effective = load_settings(path, log={"level": "debug"}, server={"max_streams": 7})
    for section, model in sections(type(effective)):
        for key in model.model_fields:
            value = getattr(getattr(effective, section), key)
            there = read[section].get(key)
            if (section, key) in {("server", "tokens"), ("database", "url")}:
                continue
            assert (there is None) if value is None else (there == value or there == str(value))
    (source,) = read["sources"]
    assert source["name"] == 'a "quoted" name'
    assert source["http"] == {"read_s": 5.5, "a b": True}
    assert source["api_key"] == "***"
    assert read["server"]["tokens"] == ["***"]
    assert "hunter" not in shown.stdout


def test_settings_that_are_wrong_are_refused_as_by_serve(tmp_path: Path) -> None:
    path = tmp_path / "odds.toml"
    path.write_text("[server]\nlisen = 'x'")
    said = complaint(run("config", "show", "--config", str(path)))
    assert said == complaint(run("serve", "--config", str(path)))
    assert "server.lisen: unknown key; did you mean `listen`?" in said
