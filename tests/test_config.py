"""Settings from file, environment and flags: errors name the setting and show no secret."""

from pathlib import Path

import pytest

from odds_service.config import load_settings, origin_of
from odds_service.errors import SettingsError
from odds_service.secrets import redact

EXAMPLE = """
[server]
listen = "127.0.0.1:50052"

[database]
url = "postgresql://odds:hunter2@127.0.0.1/odds"

[[sources]]
kind = "the-odds-api"
url = "http://127.0.0.1:8080"
api_key = "k"
sports = ["soccer_epl"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "odds.toml"
    path.write_text(EXAMPLE)
    return path


def test_flags_go_over_environment_over_file_over_defaults(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings().server.listen == "127.0.0.1:50051"
    assert load_settings(file).server.listen == "127.0.0.1:50052"
    monkeypatch.setenv("ODDS_SERVER__LISTEN", "127.0.0.1:50053")
    assert load_settings(file).server.listen == "127.0.0.1:50053"
    flagged = load_settings(file, server={"listen": "127.0.0.1:0"}, log={"level": None})
    assert flagged.server.listen == "127.0.0.1:0"
    assert flagged.log.level == "info"
    assert flagged.sources[0]["sports"] == ["soccer_epl"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[server]\nlisen = 'x'", "server.lisen: unknown key; did you mean `listen`?"),
        ("[databas]\nurl = 'x'", "databas: unknown key; did you mean `database`?"),
        ("[server]\nzzz = 'x'", "server.zzz: unknown key"),
        ("[database]\nqueue_changes = 0", "database.queue_changes"),
        ("[database]\nqueue_changes = 'few'", "database.queue_changes: 'few': Input should be a"),
        ("[log]\nlevel = 'loud'", "log.level: 'loud': Input should be 'debug'"),
        ("role = 'standby'", "role: 'standby': Input should be 'all', 'ingest' or 'read'"),
        ("role = 'read'", 'bus.servers: role = "read" needs a bus'),
        (
            "role = 'ingest'\n[bus]\nservers = ['nats://127.0.0.1']",
            'database.url: role = "ingest" needs PostgreSQL',
        ),
        ("[bus]\nservers = ['nats://127.0.0.1:4222']", 'bus.servers: role = "all" uses no bus'),
        (
            "[bus]\nservers = ['http://x']",
            "bus.servers: Value error, number 1 is not like nats",
        ),
        ("[bus]\nsubject = 'odds.>'", "bus.subject: 'odds.>'"),
        ("[server\n", "not valid TOML"),
        ("sources = 3", "sources"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "odds.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"odds\.toml") as caught:
        load_settings(path)
    assert named in str(caught.value)


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "odds.toml"
    path.write_bytes(b"# caf\xe9\n")
    with pytest.raises(SettingsError, match=r"odds\.toml: not valid TOML: 'utf-8' codec"):
        load_settings(path)


def test_a_read_node_has_no_sources_and_no_secret_of_the_bus_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "odds.toml"
    path.write_text(
        EXAMPLE.replace("[server]", 'role = "read"\n[server]')
        + '[bus]\nservers = ["nats://u:secret-1@127.0.0.1"]\npassword = "secret-2"\n'
    )
    with pytest.raises(SettingsError, match=r"sources: .* fetches nothing"):
        load_settings(path)
    assert "secret" not in redact("nats://u:secret-1@127.0.0.1 secret-2")


def test_a_wrong_flag_is_not_laid_at_the_door_of_the_file(file: Path) -> None:
    with pytest.raises(SettingsError, match=r"^flags: log\.level: ") as caught:
        load_settings(file, log={"level": "loud"})
    assert file.name not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ODDS_LOG__LEVEL", "loud", "ODDS_LOG__LEVEL: 'loud': Input should be 'debug'"),
        ("ODDS_SERVER__LISEN", "x", "ODDS_SERVER__LISEN: unknown key; did you mean `listen`?"),
        ("ODDS_SERVR__LISTEN", "x", "ODDS_SERVR__LISTEN: unknown section; did you mean `server`?"),
        ("ODDS_SERVER_LISTEN", "x", "ODDS_SERVER_LISTEN: one underscore short: set ODDS_SERVER__"),
        ("ODDS_SERVER__TOKENS", "abc", "ODDS_SERVER__TOKENS: not JSON"),
        ("ODDS_SERVER", "{", ""),
        ("ODDS_SOURCES", "{]", "ODDS_SOURCES: not JSON"),
        ("ODDS_LOG", "loud", "ODDS_LOG: not JSON"),
        ("ODDS_LOG", '{"level": "loud"}', "ODDS_LOG: 'loud': Input should be 'debug'"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_environment_is_named_by_its_variable(
    file: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    if not says:  # a client's
        load_settings(file)
        return
    with pytest.raises(SettingsError) as caught:
        load_settings(file)
    assert str(caught.value).startswith(f"environment: {says}")
    assert "abc" not in str(caught.value)
    assert "odds.toml" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "[database]\nurl = 3\n[server]\ntokens = [4711]",
        "[server]\ntokens = 'hunter2-hunter2'",
        "[server]\ntokns = 'hunter2-hunter2'",
        "[metrics]\ntls_key = ['hunter2-hunter2']",
    ],
)
def test_a_wrong_value_that_may_be_secret_is_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odds.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert "hunter2" not in str(caught.value)
    assert "4711" not in str(caught.value)
    assert "3:" not in str(caught.value)


def test_the_origin_of_a_setting(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert origin_of("server", "listen", None) == "default"
    assert origin_of("server", "listen", file) == str(file)
    assert origin_of("server", "max_streams", file) == "default"
    assert origin_of("sources", "", file) == str(file)
    monkeypatch.setenv("ODDS_SERVER__LISTEN", "127.0.0.1:50053")
    assert origin_of("server", "listen", file) == "ODDS_SERVER__LISTEN"
    monkeypatch.setenv("ODDS_LOG", '{"level": "debug"}')
    assert origin_of("log", "level", file) == "ODDS_LOG"


def test_the_address_for_clients_in_the_environment_is_no_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ODDS_SERVER", "127.0.0.1:50099")
    monkeypatch.setenv("ODDS_TOKEN", "of-a-client")
    monkeypatch.setenv("ODDS_SERVER__LISTEN", "127.0.0.1:50053")
    assert load_settings().server.listen == "127.0.0.1:50053"


def test_a_section_that_was_renamed_is_refused_by_a_message_with_its_new_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "odds.toml"
    path.write_text("[life]\ndrain_s = 5\n")
    with pytest.raises(SettingsError, match=r"odds\.toml: life: renamed: write \[shutdown\]"):
        load_settings(path)
    monkeypatch.setenv("ODDS_LIFE__DRAIN_S", "5")
    with pytest.raises(SettingsError, match="ODDS_LIFE__DRAIN_S: renamed: set ODDS_SHUTDOWN__DRAI"):
        load_settings()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml: cannot be read"):
        load_settings(tmp_path / "absent.toml")


def test_secrets_are_not_shown(file: Path) -> None:
    settings = load_settings(file)
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings.database)


@pytest.mark.parametrize(
    "text",
    [
        "GET https://h/v4/sports?apiKey=hunter2&regions=uk",
        "postgresql://odds:hunter2@127.0.0.1/odds refused",
        "authorization: Bearer hunter2",
        "{'api_key': 'hunter2'}",
        '{"token": "hunter2"}',
    ],
)
def test_logs_are_redacted(text: str) -> None:
    assert "hunter2" not in redact(text)


def test_ordinary_text_is_left_alone() -> None:
    text = "token expired at 12:30:01, see http://127.0.0.1:8080/v4/sports?regions=uk"
    assert redact(text) == text


@pytest.mark.parametrize(
    "hint",
    [
        "sources (mine): api_key: Field required; set ODDS_API_KEY",
        "--token: give one, or --token-file",
        "server.tokens: one of them is empty",
    ],
)
def test_hints_are_not_redacted(hint: str) -> None:
    assert redact(hint) == hint


@pytest.mark.parametrize(
    "text", ["token: a1b2c3d4", "x-api-key: k3y", "Authorization: Bearer abcd"]
)
def test_what_looks_secret_after_a_colon_is(text: str) -> None:
    assert redact(text).endswith(": ***")
