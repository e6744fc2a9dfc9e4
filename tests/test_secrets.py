"""No output has secrets, or text that looks like one; all other text is unchanged."""

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from odds_service import secrets
from odds_service.config import load_settings
from odds_service.errors import SourceError
from odds_service.secrets import LEAST_CHARS, hide, hide_in_url, redact, without_known

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_hidden", set())
    monkeypatch.setattr(secrets, "_pattern", None)


@pytest.mark.parametrize("secret", ["correct horse+battery/1&x", 'quo"ted\\one', "schlüssel-1"])
def test_a_secret_is_hidden_however_it_is_quoted(secret: str) -> None:
    hide(secret)
    for shown in (secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret),
                  repr(secret)):  # fmt: skip
        assert redact(f"before {shown} after").replace('"', "").replace("'", "") == (
            "before *** after"
        )


def test_a_longer_secret_is_not_half_hidden_by_a_shorter_one() -> None:
    hide("abcdefgh")
    hide("abcdefgh-and-more")
    assert redact("x abcdefgh-and-more y abcdefgh z") == "x *** y *** z"


def test_a_short_one_does_not_take_words_out_of_the_logs() -> None:
    hide("s" * (LEAST_CHARS - 1))
    hide("")
    text = "s" * 40
    assert redact(text) == without_known(text) == text


@pytest.mark.parametrize(
    "url",
    ["postgresql://odds:p%40ssword-1@h/d", "http://user:p@ssword-1@h:80/x", "x://:p@ssword-1@h"],
)
def test_the_password_of_a_url_is_hidden_by_itself_too(url: str) -> None:
    hide_in_url(url)
    assert redact("refused p@ssword-1.") == "refused ***."


def test_settings_hide_what_they_read(tmp_path: Path) -> None:
    path = tmp_path / "odds.toml"
    path.write_text("""
        [database]
        url = "postgresql://odds:database-password@h/d"
        [[sources]]
        kind = "of-somebody"
        url = "https://user:url-password@h/"
        api_key = "source-api-key"
        login = { session_token = "source-token", user = "known-to-all" }
    """)
    settings = load_settings(path)
    said = "database-password url-password source-api-key source-token known-to-all"
    assert redact(said) == "*** *** *** *** known-to-all"
    assert "source-api-key" not in repr(settings)


def test_errors_of_ours_hold_none() -> None:
    hide("source-api-key")
    error = SourceError("truncated", "the server quotes source-api-key")
    assert str(error) == "the server quotes ***"
    assert error.kind == "truncated"


LOGGING = """
import logging, sys, threading, warnings
import structlog
from odds_service.logs import configure_logs
from odds_service.secrets import hide

configure_logs("debug", sys.argv[1])
secret = "correct horse battery"
hide(secret)

class Shown:
    def __repr__(self):
        return f"<Shown {secret}>"
    def __del__(self):
        raise LookupError(f"unraisable {secret}")

def fail(how):
    raise LookupError(f"{how} {secret}")

log = structlog.get_logger("ours")
log.debug("ours", text=secret, inside=[{"a": (secret,)}], object=Shown())
log.info(f"event {secret}")
for logger in (log, logging.getLogger("theirs")):
    try:
        fail("caught")
    except LookupError:
        logger.exception("caught")
logging.getLogger("theirs").warning("formatted %s %r", secret, Shown())
warnings.warn(f"warned {secret}")
thread = threading.Thread(target=fail, args=("thread",))
thread.start()
thread.join()
try:
    fail("inner")
except LookupError as inner:
    raise ExceptionGroup(f"group {secret}", [inner])
"""


@pytest.mark.parametrize("style", ["json", "pretty"])
def test_all_that_is_logged_goes_the_same_way(style: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LOGGING, style],
        capture_output=True, text=True, check=False, timeout=60, cwd=ROOT,
    )  # fmt: skip
    said = ended.stderr
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "horse" not in said
    for word in ("event ***", "caught ***", "formatted *** <Shown ***>", "warned ***",
                 "unraisable ***", "thread ***", "inner ***", "group ***"):  # fmt: skip
        assert word in said, (word, said)
    if style == "json":
        entries = [json.loads(line) for line in said.splitlines()]
        assert {"timestamp", "level", "event"} <= set.intersection(*map(set, entries))
        _, crash = [entry for entry in entries if entry["event"] == "crashed"]  # after the thread's
        assert crash["level"] == "critical"
        assert "Traceback" in crash["exception"]


def test_loggers_of_libraries_are_held_back() -> None:
    script = (
        "from odds_service.logs import configure_logs; configure_logs('debug', 'json')\n"
        "import logging\n"
        "for name in ('httpx', 'httpcore', 'asyncio', 'aiosqlite', 'alembic', 'hpack'):\n"
        "    assert logging.getLogger(name).getEffectiveLevel() >= logging.WARNING, name\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, cwd=ROOT)
