"""The user as whom PostgreSQL runs, made by several processes at once."""

import os
import pwd
import subprocess
import sys

import pytest

from tests.support.command_line import ENVIRONMENT
from tools.postgres_user import as_postgres

SCRIPT = """
import sys
from tools import postgres_user
postgres_user.NAME = sys.argv[1]
print(postgres_user.as_postgres()[1])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root adds users")
def test_processes_that_add_the_user_at_once_agree_on_it() -> None:
    name = f"odds_test_{os.getpid()}"
    try:
        processes = [
            subprocess.Popen([sys.executable, "-c", SCRIPT, name], env=ENVIRONMENT)
            for _ in range(6)
        ]
        assert [process.wait(120) for process in processes] == [0] * 6
        assert [each.pw_name for each in pwd.getpwall()].count(name) == 1
    finally:
        subprocess.run(["userdel", name], check=True)


def test_who_is_not_root_runs_it_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert as_postgres() == []
