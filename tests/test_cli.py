"""The command line as a whole: its overview, its errors and its fast start."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from odds_service import cli
from odds_service.config import ServerSettings
from tests.commands.books import book_of
from tests.support.command_line import complaint, output_of, ran, run
from tests.support.odds_builders import serving


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["get", "--server", "127.0.0.1:1"], 1, "error: no server answers at 127.0.0.1:1"),
        (["watch", "--server", "127.0.0.1:1"], 1, "error: no server answers at 127.0.0.1:1"),
        (["status", "--server", "nowhere"], 1, "error: 'nowhere' is not host:port"),
        (["get", "--server", "h:1", "--token", "t0ken"], 1, "in the clear: use TLS"),
        (["get", "--ca", "/no/such.pem"], 1, "error: /no/such.pem cannot be read"),
        (["get", "--token-file", "/no/such"], 1, "error: --token-file: /no/such cannot be read"),
        (["watch", "--resume", "12"], 2, "is not EPOCH:REVISION"),
        (["watch", "--conflate", "much"], 2, "--conflate"),
        (["get", "--start-from", "noon"], 2, "noon"),
        (["gett"], 2, "Did you mean 'get'"),
        (["refresh"], 2, "Missing argument"),
    ],
)
def test_an_error_is_one_clear_line(arguments: list[str], code: int, says: str) -> None:
    ended = run(*arguments)
    assert ended.returncode == code, ended
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "t0ken" not in ended.stderr
    assert ended.stdout == ""
    if code == 1:
        assert len(ended.stderr.splitlines()) == 1


async def test_the_servers_refusal_is_one_line_too(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    book = book_of()
    book.stored_from = 5
    async with serving(book) as server:
        address = server.address
        for arguments, says in (
            (["refresh", "e1"], "nothing to fetch from"),
            (["get", "--sport", ""], "holds an empty value"),
            (["get", "--ca", str(garbage)], "TLS"),
            (["get", "--tls"], "TLS"),
            (["get", "--as-of", "e1:1"], "odds can be told from revision 4 on"),
            (["history", "--since", "e1:1"], "history is kept from revision 5 on"),
            (["history", "--since", "another:1"], "not of this log"),
            (["watch", "--resume", "e1:x"], ""),
        ):
            ended = await ran(*arguments, "--server", address)
            if says:
                assert says in complaint(ended), arguments
            else:
                assert ended.returncode == 2


async def test_a_refused_token_is_one_line() -> None:
    guarded = ServerSettings(listen="127.0.0.1:0", tokens=[SecretStr("open-sesame")])
    async with serving(book_of(), settings=guarded) as server:
        for command in ("get", "watch", "status", "history"):
            without = await ran(command, "--server", server.address)
            wrong = await ran(command, "--server", server.address, ODDS_TOKEN="t0ken")
            assert "token" in complaint(without) or "authenticat" in complaint(without)
            assert "t0ken" not in complaint(wrong)
        right = await ran("get", "--server", server.address, ODDS_TOKEN="open-sesame")
        assert right.returncode == 0, right.stderr


def test_the_overview_says_what_the_commands_say_and_loads_none_of_them() -> None:
    for name, line in cli.COMMANDS.items():
        own = " ".join((cli.load(name).help or "").split("\n\n")[0].split())
        assert own == line, name
    script = (
        "import sys\n"
        "from odds_service.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'grpc', 'trio', 'sqlalchemy', 'httpx', 'google'} & set(sys.modules)))\n"
    )
    shown = output_of(script)
    assert shown.splitlines()[-1] == "[]"
    for name in cli.COMMANDS:
        assert f" {name} " in shown
